"""Web servers that never end, fall silent or lie about sizes: a read has an end, and so has what it keeps."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from featx.errors import ImageSetError
from featx.inputs import list_images
from featx.inputs.sets import remote, web
from featx.inputs.sets.waiting import call_within

LIMIT = 1 << 20


class Hostile(BaseHTTPRequestHandler):
    """Answers as the name of the file says; `ended` is set once no request may wait any longer."""

    protocol_version = "HTTP/1.1"
    ended: Event
    tries: list[str]

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        """The same headers as for GET."""
        self.do_GET()

    def do_GET(self) -> None:
        """The headers, then what the name says."""
        kind = self.path.rpartition("/")[2].partition(".")[0]
        if self.command == "GET":
            self.tries.append(kind)
        length = {"small": "3", "silent": "1000", "trickle": "1000", "huge": str(LIMIT + 1)}.get(kind)
        self.send_response(200)
        self.send_header("Content-Length" if length else "Connection", length or "close")
        self.end_headers()
        if self.command == "GET":
            try:
                getattr(self, f"send_{kind}")()
            except OSError:
                self.close_connection = True

    def send_small(self) -> None:
        """Three bytes."""
        self.wfile.write(b"abc")

    def send_endless(self) -> None:
        """Bytes for ever."""
        while not self.ended.is_set():
            self.wfile.write(bytes(1 << 16))

    def send_silent(self) -> None:
        """One byte, then nothing."""
        self.wfile.write(b"x")
        self.ended.wait(30)

    def send_trickle(self) -> None:
        """One byte now and then."""
        while not self.ended.wait(0.05):
            self.wfile.write(b"x")

    send_huge = send_endless


@pytest.fixture
def tries() -> list[str]:
    """The names of all files that were asked for."""
    return []


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tries: list[str]) -> Iterator[str]:
    """The address of a hostile server, with limits that it reaches soon."""
    monkeypatch.setattr(web, "SILENCE_SECONDS", 0.3)
    monkeypatch.setattr(web, "ANSWER_SECONDS", 0.6)
    monkeypatch.setattr(web, "LARGEST_ANSWER", LIMIT)
    monkeypatch.setattr(web, "LARGEST_OF_UNKNOWN_SIZE", LIMIT)
    monkeypatch.setattr(remote, "LARGEST_STREAM", LIMIT)
    monkeypatch.setattr(remote, "RETRY_WAITS", (0.0, 0.0, 0.0))
    ended = Event()
    listening = ThreadingHTTPServer(("127.0.0.1", 0), type("Answering", (Hostile,), {"ended": ended, "tries": tries}))
    listening.daemon_threads = True
    thread = Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.server_port}"
    ended.set()
    listening.shutdown()
    listening.server_close()
    thread.join()


OUTCOMES = {
    "endless": ("more than 1 MB, and the server does not send the size; download the file", 1),
    "huge": ("above the limit of 1 MB; download the file", 1),
    "silent": ("(?i)timeout", 2),
    "trickle": ("no whole answer in time", 1),
}
"""Name of a file -> why it cannot be read, and how often it is asked for."""


@pytest.mark.parametrize("kind", OUTCOMES)
def test_an_answer_without_an_end_fails_its_image_alone(
    server: str, tries: list[str], tmp_path: Path, kind: str
) -> None:
    reason, asked = OUTCOMES[kind]
    (tmp_path / "list.csv").write_text(f"path\n{kind}.png\nsmall.png\n")
    images = list_images(tmp_path / "list.csv", root=server)
    with pytest.raises(OSError, match=reason):
        images.read(0)
    assert images.read(1) == b"abc"
    assert tries == [kind] * asked + ["small"]


@pytest.mark.parametrize("name", ["endless.csv", "silent.csv", "trickle.csv"])
def test_a_manifest_without_an_end_is_refused(server: str, name: str) -> None:
    with pytest.raises(ImageSetError, match=name):
        list_images(f"{server}/{name}")


def test_a_call_that_hangs_in_a_library_is_given_up() -> None:
    hangs = Event()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.1 seconds"):
        call_within(0.1, lambda: hangs.wait(60))
    hangs.set()


def test_a_call_within_its_time_returns_or_raises_what_it_would_alone() -> None:
    assert call_within(30, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        call_within(30, lambda: 1 // 0)
