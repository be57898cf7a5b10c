"""remote: the same image sets from a web server and from fsspec's memory as from a disk; and what failing ones tell."""

import base64
import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import fsspec
import h5py
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from featx.errors import ImageSetError
from featx.inputs import ImageSet, hide_secrets, images_of_array, list_images
from tests.support.image_sets import names


@dataclass
class Web:
    """A web server on this machine, and how it behaves."""

    address: str = ""
    ranges: bool = True
    password: str = ""
    answers: list[int] = field(default_factory=list)
    """What the next requests for files are answered instead of what is there."""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and range of every request that was answered in full."""


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder: Python's own handler, with ranges of bytes, and failing when it is told to."""

    web: Web

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def send_head(self) -> Any:
        """Answer with the headers; what comes back is what is sent behind them."""
        wanted = f"Basic {base64.b64encode(f'user:{self.web.password}'.encode()).decode()}"
        if self.web.password and self.headers["Authorization"] != wanted:
            self.send_error(401)
            return None
        if self.web.answers and not self.path.endswith("/"):
            self.send_error(self.web.answers.pop(0))
            return None
        self.web.asked.append((self.path, self.headers["Range"]))
        head = super().send_head()
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"] or "")
        if head is None or not asked or not self.web.ranges:
            return head
        with head:
            head.seek(int(asked[1]))
            return io.BytesIO(head.read(int(asked[2]) - int(asked[1]) + 1))

    def send_response(self, code: int, message: str | None = None) -> None:
        """A range is answered as one."""
        partial_content = code == 200 and self.web.ranges and self.headers["Range"]
        super().send_response(206 if partial_content else code, message)

    def end_headers(self) -> None:
        """Tell when the file changed, as servers do."""
        path = Path(self.translate_path(self.path))
        if path.is_file():
            super().send_header("ETag", f'"{path.stat().st_mtime_ns}"')
        super().end_headers()

    def send_header(self, keyword: str, value: str) -> None:
        """A range is as long as was asked, cut at the file's end."""
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"] or "")
        if keyword == "Content-Length" and asked and self.web.ranges and int(value) > int(asked[1]):
            value = str(min(int(asked[2]) + 1, int(value)) - int(asked[1]))
        super().send_header(keyword, value)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """A web server of what lies in `served`."""
    folder = tmp_path / "served"
    folder.mkdir()
    state = Web()
    handler = type("Serving", (Handler,), {"web": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    state.address = f"http://127.0.0.1:{server.server_port}"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other at once."""
    monkeypatch.setattr("featx.inputs.sets.remote.RETRY_WAITS", (0.0, 0.0, 0.0))


@pytest.fixture
def fill(tmp_path: Path) -> Path:
    """A folder with an image set in each of the forms that there are."""
    root = tmp_path / "here"
    for name in ("cat/1 ä.png", "cat/100%.png", "dog/a&b.png", "dog/x/#1?.png"):
        (root / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "photos" / name).write_bytes(name.encode())
    paths = sorted(path for path in (root / "photos").rglob("*.png"))
    listed = [str(path.relative_to(root)) for path in paths]
    (root / "list.csv").write_text("path,label\n" + "".join(f"{name},x\n" for name in listed))
    parquet.write_table(pa.table({"path": listed}), root / "list.parquet")
    (root / "tars").mkdir()
    for number in range(2):
        with tarfile.open(root / "tars" / f"{number}.tar", "w") as file:
            for path in paths:
                file.add(path, path.name)
    images = pa.array([{"bytes": path.read_bytes(), "path": None} for path in paths])
    parquet.write_table(pa.table({"image": images}), root / "images.parquet", row_group_size=1)
    pixels = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)
    np.save(root / "array.npy", pixels)
    with h5py.File(root / "array.h5", "w") as h5:
        h5.create_dataset("a/x", data=pixels)
        h5.create_dataset("a/z", data=pixels, chunks=(2, 5, 6), compression="gzip")
        h5.create_dataset("a/label", data=np.array(["one", "two"] * 2, "S3"))
    with zipfile.ZipFile(root / "photos.zip", "w") as archive:
        for path in paths:
            archive.write(path, path.relative_to(root))
    return root


@pytest.fixture
def memory() -> Any:
    """fsspec's memory, empty: all tests of a process share it."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    return system


FORMS = [
    *("photos", "photos/cat", "list.csv", "list.parquet", "tars", "tars/0.tar", "tars/{0..1}.tar", "tars/*.tar"),
    *("images.parquet", "*s.parquet", "array.npy", "array.h5/a/x", "array.h5/a/z"),
]


def contents(images: ImageSet) -> list[Any]:
    """What every image is stored as."""
    return [np.asarray(images.read(row)).tolist() for row in range(len(images))]


@pytest.mark.parametrize("form", FORMS)
def test_a_web_server_gives_the_image_set_that_the_disk_gives(fill: Path, web: Web, tmp_path: Path, form: str) -> None:
    shutil.copytree(fill, tmp_path / "served", dirs_exist_ok=True)
    here, there = list_images(f"{fill}/{form}"), list_images(f"{web.address}/{form}")
    assert there.hash == here.hash
    assert contents(pickle.loads(pickle.dumps(there))) == contents(here)
    assert there.source.remote
    assert contents(there.shard(len(here) - 1, len(here))) == contents(here)[-1:]


@pytest.mark.parametrize("form", FORMS)
def test_memory_gives_the_image_set_that_the_disk_gives(fill: Path, memory: Any, form: str) -> None:
    memory.put(str(fill), "/set", recursive=True)
    here, there = list_images(f"{fill}/{form}"), list_images(f"memory://set/{form}")
    assert there.hash == here.hash
    assert contents(there) == contents(here)


@pytest.mark.parametrize("address", ["zip://photos::{}/photos.zip", "zip://photos/::file://{}/photos.zip"])
def test_a_folder_in_a_zip_gives_the_image_set_that_the_disk_gives(fill: Path, address: str) -> None:
    there, here = list_images(address.format(fill)), list_images(fill / "photos")
    assert there.hash == here.hash
    assert contents(there) == contents(here)


@pytest.mark.parametrize("root", ["memory://", "zip://::{}/photos.zip"])
def test_the_root_of_a_file_system_is_listed(fill: Path, memory: Any, root: str) -> None:
    memory.put(str(fill / "photos"), "/photos", recursive=True)
    images = list_images(root.format(fill))
    assert names(images) == [f"photos/{name}" for name in names(list_images(fill / "photos"))]
    assert images.classes == ("cat", "dog")


def test_a_remote_root_moves_the_paths_of_a_manifest_that_lies_here(fill: Path, web: Web, tmp_path: Path) -> None:
    shutil.copytree(fill / "photos", tmp_path / "served" / "photos")
    images = list_images(fill / "list.csv", root=web.address)
    assert contents(images) == contents(list_images(fill / "list.csv"))


def test_a_root_that_lies_here_moves_the_paths_of_a_remote_manifest(fill: Path, memory: Any) -> None:
    memory.put(str(fill / "list.csv"), "/list.csv")
    images = list_images("memory://list.csv", root=fill)
    assert contents(images) == contents(list_images(fill / "list.csv"))


def test_stat_changes_with_the_file(web: Web, tmp_path: Path) -> None:
    path = tmp_path / "served" / "a.png"
    path.write_bytes(b"12345")
    images = list_images(f"{web.address}/")
    before = images.stat(0)
    assert before[0] == 5
    assert images.stat(0) == before
    path.write_bytes(b"54321")
    os.utime(path, (0, 0))
    assert images.stat(0)[1] != before[1]
    assert 0 < before[1] < 2**63


def test_images_in_a_tar_are_read_by_ranges(fill: Path, web: Web, tmp_path: Path) -> None:
    shutil.copytree(fill / "tars", tmp_path / "served", dirs_exist_ok=True)
    images = list_images(f"{web.address}/0.tar")
    web.asked.clear()
    images.read(1)
    assert [path for path, _ in web.asked] == ["/0.tar"]
    start, stop = map(int, str(web.asked[0][1]).removeprefix("bytes=").split("-"))
    assert stop - start + 1 == images.stat(1)[0]


# ---- what fails


@pytest.mark.usefixtures("no_waits")
@pytest.mark.parametrize("answers", [[503], [500, 503, 429], [502, 504]])
def test_a_server_that_is_busy_for_a_moment_fails_no_image(web: Web, tmp_path: Path, answers: list[int]) -> None:
    (tmp_path / "served" / "a.png").write_bytes(b"1")
    images = list_images(web.address)
    web.answers = list(answers)
    assert images.read(0) == b"1"
    assert not web.answers


@pytest.mark.usefixtures("no_waits")
@pytest.mark.parametrize(
    ("answers", "kind"),
    [([404], FileNotFoundError), ([410], FileNotFoundError), ([403], PermissionError), ([503] * 8, OSError)],
)
def test_a_server_that_refuses_an_image_fails_its_row_alone(
    web: Web, tmp_path: Path, answers: list[int], kind: type[OSError]
) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / "served" / name).write_bytes(b"1")
    images = list_images(web.address)
    web.answers = list(answers)
    with pytest.raises(OSError, match=r"/a\.png") as caught:
        images.read(0)
    assert type(caught.value) is kind
    web.answers = [answer for answer in answers * 2 if kind is not OSError or answer == 503]
    with pytest.raises(OSError, match=r"/a\.png") as caught:
        images.stat(0)
    assert type(caught.value) is kind
    web.answers = []
    assert images.read(1) == b"1"


@pytest.mark.usefixtures("no_waits")
def test_a_server_that_is_gone_fails_rows_with_the_reason(web: Web, tmp_path: Path) -> None:
    (tmp_path / "served" / "a.png").write_bytes(b"1")
    images = list_images(web.address)
    images.source.files.__dict__["inner"] = "http://127.0.0.1:1/"  # type: ignore[attr-defined]
    for ask in (images.read, images.stat):
        with pytest.raises(OSError, match="Connect call failed"):
            ask(0)


@pytest.mark.parametrize("form", ["0.tar", "array.npy", "images.parquet", "array.h5"])
def test_a_server_without_ranges_is_told_when_images_are_listed(
    fill: Path, web: Web, tmp_path: Path, form: str
) -> None:
    shutil.copy(next(fill.rglob(form)), tmp_path / "served" / form)
    web.ranges = False
    with pytest.raises(ImageSetError, match="the server does not support ranges of bytes; use another server, or copy"):
        list_images(f"{web.address}/{form}")


def test_a_csv_manifest_needs_no_ranges(fill: Path, web: Web, tmp_path: Path) -> None:
    shutil.copytree(fill, tmp_path / "served", dirs_exist_ok=True)
    web.ranges = False
    assert contents(list_images(f"{web.address}/list.csv")) == contents(list_images(fill / "list.csv"))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("memory://nowhere", "memory://nowhere: no such file or folder"),
        ("memory://nowhere.csv", r"memory://nowhere\.csv: no such file or folder"),
        ("memory://nowhere/*.tar", "no file matches this pattern"),
        ("nonsense://photos", "nonsense://photos: Protocol not known: nonsense; check the protocol"),
        ("zip://a::/nowhere.zip", "zip://a::/nowhere.zip: cannot be reached"),
    ],
)
def test_an_address_of_nothing_is_told_so(address: str, message: str) -> None:
    with pytest.raises(ImageSetError, match=message):
        list_images(address)


def test_a_page_that_is_missing_or_has_no_images_is_told_so(web: Web, tmp_path: Path) -> None:
    with pytest.raises(ImageSetError, match="nowhere: no such file or folder"):
        list_images(f"{web.address}/nowhere")
    (tmp_path / "served" / "sub").mkdir()
    (tmp_path / "served" / "sub" / "notes.txt").touch()
    with pytest.raises(ImageSetError, match=r"sub: no images in it, but 1 other files, such as notes\.txt"):
        list_images(f"{web.address}/sub")


def test_user_and_password_and_query_reach_the_server_and_no_message(fill: Path, web: Web, tmp_path: Path) -> None:
    shutil.copytree(fill, tmp_path / "served", dirs_exist_ok=True)
    web.password = "geheim"
    there = web.address.replace("http://", "http://user:geheim@")
    for form in FORMS:
        images = list_images(f"{there}/{form}?token=secret")
        assert contents(images) == contents(list_images(f"{fill}/{form}"))
        assert not re.search("geheim|secret", repr(images))
        assert not any(re.search("geheim|secret", name) for name in names(images))
    web.password = "other"
    for form in FORMS:
        with pytest.raises(ImageSetError) as caught:
            list_images(f"{there}/{form}?token=secret")
        assert not re.search("geheim|secret", str(caught.value))
        assert "401" in str(caught.value)
    images = list_images(fill / "list.csv", root=f"{there}?token=secret")
    with pytest.raises(PermissionError) as denied:
        images.read(0)
    assert not re.search("geheim|secret", str(denied.value))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ftp://user:pass@word@host/a.tar", "ftp://host/a.tar"),
        ("https://host/a.csv?token=se@cret", "https://host/a.csv"),
        ("zip://::s3://key:secret@bucket/a.zip and https://u:p@host/x", "zip://::s3://bucket/a.zip and https://host/x"),
    ],
)
def test_no_part_of_a_password_or_query_is_shown(text: str, shown: str) -> None:
    assert hide_secrets(text) == shown


def test_a_root_or_a_path_that_is_refused_shows_no_secret(fill: Path, tmp_path: Path) -> None:
    secret = "https://user:geheim@host/photos?token=secret"
    (tmp_path / "signed.csv").write_text(f"path\n{secret}\n")
    calls: list[Callable[[], ImageSet]] = [
        lambda: list_images(fill / "photos", root=secret),
        lambda: list_images(tmp_path / "signed.csv"),
        lambda: images_of_array([secret]),
        lambda: images_of_array(np.zeros((2, 4, 4), np.uint8), root=secret),
    ]
    for refused in calls:
        with pytest.raises(ImageSetError, match="host/photos") as caught:
            refused()
        assert not re.search("geheim|secret", str(caught.value))


@pytest.mark.parametrize("missing", ["fsspec", "aiohttp"])
def test_what_is_not_installed_is_named(missing: str) -> None:
    program = (
        "import json, sys; sys.modules[sys.argv[1]] = None\n"
        "from featx.inputs import list_images\n"
        "try: list_images('http://user:geheim@127.0.0.1:1/photos')\n"
        "except Exception as error: print(json.dumps([type(error).__name__, str(error)]))\n"
    )
    ran = subprocess.run([sys.executable, "-c", program, missing], capture_output=True, text=True, check=True)
    kind, message = json.loads(ran.stdout)
    assert kind == "ImageSetError"
    assert missing in message
    assert "geheim" not in message
