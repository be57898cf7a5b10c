"""fetch: a model from an address, and only the one whose hash was pinned; against a real server on this machine."""

import gc
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto

from featx.backbones import open_session
from featx.backbones.store import load_backbone
from featx.convert.adding import Description, add_backbone
from featx.convert.fetch import fetch_model, is_url
from featx.errors import BackboneError
from featx.hashing import hash_file
from tests.conftest import Ran
from tests.support.graphs import (
    assert_same,
    classifier,
    normalised,
    random_pixels,
    rewrite,
    run,
)

pytestmark = pytest.mark.filterwarnings("ignore:unclosed", "ignore::pytest.PytestUnraisableExceptionWarning")
"""requests leaves the socket of an answer that it refuses to be collected as garbage."""

Answer = tuple[int, dict[str, str], bytes]


class Server(ThreadingHTTPServer):
    """A server that answers what it is told to, and notes what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.pause = 0.0
        self.daemon_threads = True

    def offer(self, path: str, content: bytes, *, code: int = 200, **headers: str) -> str:
        """Answer this path with these bytes; its address."""
        self.answers[path] = (code, headers, content)
        return self.address(path)

    def address(self, path: str) -> str:
        """The address of a path."""
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def handle_error(self, *_: object) -> None:
        """Say nothing of a client that hangs up: what is printed here would be taken for what the command printed."""


class Handler(BaseHTTPRequestHandler):
    """Looks up the answer."""

    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        time.sleep(self.server.pause)
        code, headers, content = self.server.answers.get(self.path.partition("?")[0], (404, {}, b"not here"))
        self.send_response(code)
        for key, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server on this machine, which no proxy stands before."""
    for key in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(key, "127.0.0.1")
    gc.freeze()  # what other tests left takes a second to look through
    with Server() as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served
        gc.collect()
        served.shutdown()
        thread.join()
    gc.unfreeze()


@pytest.fixture
def into(tmp_path: Path) -> Path:
    """Where files are fetched to."""
    return tmp_path / "into"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def left(folder: Path) -> list[Path]:
    """Every file that is left below the folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


def refused(url: str, into: Path, *words: str, sha256: str = "0" * 64) -> str:
    """What is told, once nothing was fetched and the line names the address and all of these words."""
    with pytest.raises(BackboneError) as caught:
        fetch_model(url, sha256=sha256, into=into)
    told = str(caught.value)
    assert "\n" not in told
    assert told.startswith(url)
    for word in words:
        assert word in told
    assert not left(into)
    return told


def test_the_right_file_is_fetched_under_its_own_name(server: Server, into: Path) -> None:
    url = server.offer("/models/net.onnx", b"the model")
    found = fetch_model(url, sha256=digest(b"the model"), into=into)
    assert (found.name, found.read_bytes()) == ("net.onnx", b"the model")
    assert left(into) == [found]


def test_a_query_is_sent_and_is_no_part_of_the_name(server: Server, into: Path) -> None:
    url = server.offer("/net.onnx", b"the model") + "?download=true"
    assert fetch_model(url, sha256=digest(b"the model"), into=into).name == "net.onnx"
    assert server.asked == ["/net.onnx?download=true"]


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_a_redirect_is_followed_and_the_hash_checked_behind_it(server: Server, into: Path, code: int) -> None:
    server.offer("/there", b"the model")
    url = server.offer("/net.onnx", b"", code=code, Location="/there")
    assert fetch_model(url, sha256=digest(b"the model"), into=into).read_bytes() == b"the model"
    assert server.asked == ["/net.onnx", "/there"]


def test_a_redirect_to_another_file_is_refused_by_its_hash(server: Server, into: Path) -> None:
    server.offer("/there", b"another")
    url = server.offer("/net.onnx", b"", code=302, Location="/there")
    told = refused(url, into, digest(b"another"), digest(b"the model"), sha256=digest(b"the model"))
    assert "check the address and --sha256" in told


def test_redirects_without_end_are_refused(server: Server, into: Path) -> None:
    url = server.offer("/net.onnx", b"", code=302, Location="/net.onnx")
    refused(url, into, "cannot be fetched", "check the address")


def test_a_redirect_away_from_http_is_refused(server: Server, into: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"the model")
    url = server.offer("/net.onnx", b"", code=302, Location=f"file://{tmp_path / 'secret'}")
    refused(url, into, "check", sha256=digest(b"the model"))


def test_another_file_is_refused_with_both_hashes_and_removed(server: Server, into: Path) -> None:
    url = server.offer("/net.onnx", b"another")
    told = refused(url, into, "check the address and --sha256", sha256=digest(b"the model"))
    assert f"its sha256 is {digest(b'another')} but {digest(b'the model')} was expected" in told


@pytest.mark.parametrize("code", [401, 403, 404, 500, 503])
def test_an_answer_that_is_no_file_is_refused_with_its_code(server: Server, into: Path, code: int) -> None:
    refused(server.offer("/net.onnx", b"sorry", code=code), into, str(code), "check the address")


def test_a_file_that_breaks_off_is_refused(server: Server, into: Path) -> None:
    url = server.offer("/net.onnx", b"the mo", Content_Length="9")
    refused(url, into, "check", sha256=digest(b"the model"))


def test_a_server_that_is_not_there_is_told(server: Server, into: Path) -> None:
    url = server.address("/net.onnx")
    server.server_close()
    refused(url, into, "cannot be fetched", "check the address")


def test_a_server_that_says_nothing_is_not_waited_for(
    server: Server, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featx.convert.fetch.SERVER_TIMEOUT", 0.1)
    server.pause = 1.0
    started = time.monotonic()
    refused(server.offer("/net.onnx", b"the model"), into, "cannot be fetched", sha256=digest(b"the model"))
    assert time.monotonic() - started < server.pause


@pytest.mark.parametrize("name", ["http://there/m.onnx", "https://there/m.onnx", "HTTPS://there/m.onnx"])
def test_an_address_is_told_by_its_scheme(name: str) -> None:
    assert is_url(name)


@pytest.mark.parametrize("name", ["m.onnx", "/http://m.onnx", "http/m.onnx", "ftp://there/m.onnx", "file:///m.onnx"])
def test_everything_else_is_a_file(name: str) -> None:
    assert not is_url(name)


# ---- from an address to a backbone


def test_a_model_at_an_address_becomes_a_backbone(server: Server, tmp_path: Path, models: Path) -> None:
    path, pixels = classifier(tmp_path), random_pixels(2)
    url = server.offer("/net.onnx", path.read_bytes())
    card = add_backbone(url, Description(name="mine"), into=models, sha256=hash_file(path)).backbone.card
    assert (card.source, card.sha256) == (url, hash_file(path))
    backbone = load_backbone("mine", folder=models)
    images = normalised(pixels) * 64 + 127
    mean, std = (
        np.array(values, np.float32).reshape(3, 1, 1) for values in (card.input.pixels.mean, card.input.pixels.std)
    )
    expected = run(path, (images - mean) / std, "pooled")[0]
    assert_same(open_session(backbone, device="cpu")(pixels), expected)


def test_notes_on_a_model_at_an_address_name_the_address(server: Server, tmp_path: Path, models: Path) -> None:
    def note(model: ModelProto) -> None:
        model.metadata_props.add(key="Image.NominalPixelRange", value="Normalized_0_1")

    path = rewrite(classifier(tmp_path), note)
    url = server.offer("/net.onnx", path.read_bytes())
    added = add_backbone(f"{url}?token=secret", Description(name="mine"), into=models, sha256=hash_file(path))
    assert f"preprocessing from {url} (its metadata)" in added.notes


def test_a_source_that_is_said_goes_before_the_address(server: Server, tmp_path: Path, models: Path) -> None:
    path = classifier(tmp_path)
    url = server.offer("/net.onnx", path.read_bytes())
    said = Description(name="mine", source="the paper")
    assert add_backbone(url, said, into=models, sha256=hash_file(path)).backbone.card.source == "the paper"


def test_an_address_without_a_hash_is_refused_before_it_is_asked(server: Server, models: Path) -> None:
    url = server.offer("/net.onnx", b"the model")
    with pytest.raises(BackboneError, match=r"net\.onnx: .*hash.*--sha256"):
        add_backbone(url, Description(name="mine"), into=models)
    assert not server.asked
    assert not models.exists()


@pytest.mark.usefixtures("tiny")
def test_a_name_that_is_taken_is_refused_before_anything_is_fetched(server: Server, models: Path) -> None:
    url = server.offer("/net.onnx", b"the model")
    with pytest.raises(BackboneError, match="already exists"):
        add_backbone(url, Description(name="tiny"), into=models, sha256=digest(b"the model"))
    assert not server.asked


def test_the_command_fetches_and_tells_the_hash_of_another_file(
    server: Server, tmp_path: Path, featx: Callable[..., Ran]
) -> None:
    path, models = classifier(tmp_path), tmp_path / "models"
    url = server.offer("/net.onnx", path.read_bytes())
    flags = ["--name", "mine", "--models", models, "--json"]
    wrong = featx("backbones", "add", url, *flags, "--sha256", "0" * 64)
    assert (wrong.code, wrong.out, wrong.err.count("\n")) == (1, "", 1)
    assert hash_file(path) in wrong.err
    assert not models.exists()
    right = featx("backbones", "add", url, *flags, "--sha256", hash_file(path))
    assert (right.code, right.json["source"]) == (0, url)


@pytest.mark.filterwarnings("ignore:unclosed", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_no_message_holds_a_password(server: Server, tmp_path: Path) -> None:
    url = server.address("/nowhere.onnx").replace("//", "//user:geheim@")
    said = Description(name="mine")
    for sha256 in ("", "0" * 64):
        with pytest.raises(BackboneError) as caught:
            add_backbone(url, said, into=tmp_path / "models", sha256=sha256)
        assert "geheim" not in str(caught.value)


def test_an_address_that_cannot_be_taken_apart_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackboneError):
        add_backbone("http://[::1", Description(name="mine"), into=tmp_path / "models", sha256="0" * 64)


@pytest.mark.filterwarnings("ignore:unclosed", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_fetched_file_that_is_no_model_is_told_by_its_address(server: Server, tmp_path: Path) -> None:
    import hashlib

    url = server.offer("/net.onnx", b"no model")
    with pytest.raises(BackboneError) as caught:
        add_backbone(
            url, Description(name="mine"), into=tmp_path / "models", sha256=hashlib.sha256(b"no model").hexdigest()
        )
    assert url in str(caught.value)


def test_a_file_larger_than_any_model_is_refused_before_it_fills_the_disk(
    server: Server, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featx.convert.fetch.LARGEST_MODEL", 5000)
    content = bytes(5001)
    refused(server.offer("/net.onnx", content), into, "more than 5000 bytes", sha256=digest(content))
    assert left(into) == []
