"""Locks: one holder at a time, none after its process has ended, and nothing done to a file that is not ours."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from featx.locking import MARK, hold_lock

HOLD = """
import sys, time
from pathlib import Path
from featx.locking import hold_lock
with hold_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a lock file may be."""
    return tmp_path / "a.lock"


def start_holder(path: Path) -> subprocess.Popen[str]:
    """Another process that holds the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def is_free(path: Path) -> bool:
    """Whether nobody holds the lock."""
    try:
        with hold_lock(path):
            return True
    except BlockingIOError:
        return False


def test_a_lock_has_one_holder_and_leaves_no_file(path: Path) -> None:
    with hold_lock(path):
        assert path.exists()
        with pytest.raises(BlockingIOError, match=r"another process holds the lock.*a\.lock"):
            hold_lock(path).__enter__()
    assert not path.exists()
    assert is_free(path)


def test_a_lock_ends_with_its_process(path: Path) -> None:
    process = start_holder(path)
    assert not is_free(path)
    process.kill()
    process.communicate()
    assert path.exists()
    assert is_free(path)
    assert not path.exists()


def test_who_waits_gets_the_lock_when_it_is_free(path: Path) -> None:
    process = start_holder(path)
    threading.Timer(0.3, process.send_signal, [signal.SIGKILL]).start()
    start = time.monotonic()
    with hold_lock(path, wait=True):
        assert time.monotonic() - start > 0.2
        assert path.exists()
    process.communicate()


def test_many_that_wait_hold_it_one_after_the_other(path: Path) -> None:
    inside, most = 0, 0

    def hold() -> None:
        nonlocal inside, most
        with hold_lock(path, wait=True):
            inside += 1
            most = max(most, inside)
            time.sleep(0.01)
            inside -= 1

    threads = [threading.Thread(target=hold) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert not path.exists()


def test_a_lock_file_that_was_removed_between_opening_and_locking_is_not_taken(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    real = os.open

    def remove_first(*arguments: object) -> int:
        descriptor = real(*arguments)  # type: ignore[arg-type]
        opened.append(descriptor)
        if len(opened) == 1:
            path.unlink()
        return descriptor

    monkeypatch.setattr(os, "open", remove_first)
    with hold_lock(path):
        assert len(opened) == 2
        assert os.path.samestat(os.fstat(opened[1]), path.stat())


@pytest.mark.parametrize("mode", [0o644, 0o444])
def test_a_file_of_somebody_else_is_no_lock_and_stays_as_it_is(path: Path, mode: int) -> None:
    path.write_text("mine")
    path.chmod(mode)
    for wait in (True, False):
        with pytest.raises(FileExistsError, match="is not a lock file of featx"):
            hold_lock(path, wait=wait).__enter__()
    assert path.read_text() == "mine"


def test_an_empty_file_such_as_older_versions_left_is_locked_and_stays(path: Path) -> None:
    path.touch()
    with hold_lock(path):
        assert not is_free(path)
    assert path.read_bytes() == b""
    assert is_free(path)


@pytest.mark.parametrize("kind", ["fifo", "folder", "link to a lock"])
def test_what_is_not_a_regular_file_is_no_lock(path: Path, tmp_path: Path, kind: str) -> None:
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        (tmp_path / "other.lock").write_bytes(MARK)
        path.symlink_to(tmp_path / "other.lock")
    before = os.lstat(path)
    with pytest.raises(FileExistsError, match="is not a lock file of featx"):
        hold_lock(path).__enter__()
    assert os.path.samestat(before, os.lstat(path))


def test_what_a_killed_holder_recorded_is_removed_and_nothing_else(path: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / ".featx-01234567" / "inner").mkdir(parents=True)
    link = "link.00000000.new"
    kept = {"a.00000002.new", "thesis.doc", "mine.new"}
    for name in (*kept, "a.00000001.new", "outside/precious", ".featx-01234567/inner/half"):
        (tmp_path / name).write_text("x")
    (tmp_path / link).symlink_to(tmp_path / "a.00000002.new")
    recorded = [
        "a.00000001.new",
        "outside/precious",
        "../b",
        link,
        ".featx-01234567",
        17,
        "outside",
        *kept - {"a.00000002.new"},
    ]
    path.write_bytes(MARK + "".join(f"{json.dumps(name)}\n" for name in recorded).encode() + b'"a.00000002.n')
    assert is_free(path)
    assert {found.name for found in tmp_path.iterdir()} == kept | {"outside", link}
    assert (tmp_path / "outside" / "precious").exists()


def test_a_holder_that_ends_records_nothing_for_the_next(path: Path, tmp_path: Path) -> None:
    with hold_lock(path) as lock:
        lock.record("a.new")
        (tmp_path / "a.new").touch()
    assert is_free(path)
    assert (tmp_path / "a.new").exists()


def test_a_lock_that_another_process_has_replaced_is_not_removed(path: Path) -> None:
    with hold_lock(path):
        path.unlink()
        path.write_bytes(MARK)
    assert path.exists()


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    path.symlink_to(target)
    with pytest.raises(OSError, match=r"a\.lock"):
        hold_lock(path).__enter__()
    assert path.is_symlink()
    assert not target.exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_neither_frees_the_lock_nor_keeps_it(path: Path) -> None:
    with hold_lock(path):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        assert not is_free(path)
        other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert is_free(path)
    other.kill()
    other.wait()
