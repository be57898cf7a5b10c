"""Targets: what stands under or beside the name that a command writes to is lost only if it is featx's own."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from featx.errors import CacheLockedError, HeadError
from featx.targets import AppearedError, Kind, Target, follow, identify, reserve

OWN = b"ours\n"


def is_ours(path: Path) -> bool:
    """Whether the file begins as those of the tests do."""
    return path.read_bytes().startswith(OWN)


KIND = Kind(
    name="a test file",
    endings=(".h5",),
    is_own=is_ours,
    error=HeadError,
    locked=CacheLockedError,
    writing="writing this test file",
)


def write(path: Path, text: str = "", *, overwrite: bool = False, during: Callable[[], object] = lambda: None) -> None:
    """Write a file of ours to the target, after something else has happened."""
    with reserve(path, KIND, overwrite=overwrite) as target, target.new_file() as new:
        new.write_bytes(OWN + text.encode())
        during()
        target.publish(new)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where nothing is yet."""
    return tmp_path / "c.h5"


def names(folder: Path) -> set[str]:
    """What lies in the folder."""
    return {found.name for found in folder.iterdir()}


def test_a_file_is_written_whole_and_nothing_is_left_beside_it(path: Path) -> None:
    write(path, "one")
    assert path.read_bytes() == OWN + b"one"
    assert names(path.parent) == {"c.h5"}


def test_an_older_file_is_replaced_only_when_told(path: Path) -> None:
    write(path, "one")
    with pytest.raises(HeadError, match=r"c\.h5: already exists; .*--overwrite"):
        write(path, "two")
    write(path, "two", overwrite=True)
    assert path.read_bytes() == OWN + b"two"


@pytest.mark.parametrize("kind", ["text", "empty", "folder", "fifo", "device", "link to a folder", "link in a circle"])
@pytest.mark.parametrize("overwrite", [True, False])
def test_what_is_no_file_of_ours_is_never_replaced(path: Path, kind: str, overwrite: bool) -> None:
    if kind in ("text", "empty"):
        path.write_text("precious" if kind == "text" else "")
    elif kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to({"device": Path("/dev/null"), "link to a folder": path.parent}.get(kind, path))
    before = os.lstat(path)
    with pytest.raises(HeadError, match=r"c\.h5: (already exists and is not|is a link to)"):
        write(path, overwrite=overwrite)
    assert os.path.samestat(before, os.lstat(path))
    assert before.st_size == os.lstat(path).st_size
    assert names(path.parent) == {"c.h5"}


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_a_link_and_its_file_is_written(path: Path, tmp_path: Path, exists: bool) -> None:
    real = tmp_path / "disk" / "real.h5"
    real.parent.mkdir()
    if exists:
        write(real, "old")
    path.symlink_to(real)
    seen: set[str] = set()
    write(path, "new", overwrite=True, during=lambda: seen.update(names(real.parent)))
    assert path.is_symlink()
    assert real.read_bytes() == OWN + b"new"
    assert names(tmp_path) == {"c.h5", "disk"}
    assert names(real.parent) == {"real.h5"}
    assert {name for name in seen if name.endswith(".new")}


def test_a_link_into_a_folder_that_is_missing_is_refused(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "not mounted" / "c.h5")
    with pytest.raises(HeadError, match=r"is a link to .*not mounted.*mount its disk"):
        write(path)
    assert names(tmp_path) == {"c.h5"}


@pytest.mark.parametrize("began", ["nothing", "ours"])
@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
def test_what_appears_while_a_command_runs_is_not_replaced_and_the_finished_file_is_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch, began: str, links: bool
) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr("os.link", refuse)
    if began == "ours":
        write(path, "old")
    with (
        pytest.raises(AppearedError, match="is not replaced; move it away, and give its name to"),
        reserve(path, KIND, may_exist=True) as target,
        target.new_file() as new,
    ):
        new.write_bytes(OWN + b"finished")
        path.write_bytes(OWN + b"of somebody else")
        target.publish(new)
    assert path.read_bytes() == OWN + b"of somebody else"
    assert new.read_bytes() == OWN + b"finished"
    assert names(path.parent) == {"c.h5", new.name}


def test_what_appears_while_a_command_runs_is_replaced_when_told_but_only_if_it_is_of_the_kind(path: Path) -> None:
    write(path, "new", overwrite=True, during=lambda: path.write_bytes(OWN + b"other"))
    assert path.read_bytes() == OWN + b"new"
    with pytest.raises(AppearedError):
        write(path, "newer", overwrite=True, during=lambda: path.write_text("precious"))
    assert path.read_text() == "precious"


def test_a_file_that_vanishes_while_it_is_updated_is_written_anew(path: Path) -> None:
    write(path, "old")
    write(path, "new", overwrite=True, during=path.unlink)
    assert path.read_bytes() == OWN + b"new"


def test_without_hard_links_a_file_is_renamed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("os.link", refuse)
    write(path, "one")
    assert path.read_bytes() == OWN + b"one"
    assert names(path.parent) == {"c.h5"}


def test_after_an_error_nothing_is_left(path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        write(path, during=lambda: 1 // 0)
    assert names(path.parent) == set()


def test_two_commands_do_not_write_one_file_at_the_same_time(path: Path) -> None:
    with reserve(path, KIND), pytest.raises(CacheLockedError, match="another process is writing this test file"):
        write(path)
    write(path)


@pytest.mark.parametrize("name", ["c.h5.lock", "c.h5.new", "c.h5.partial"])
@pytest.mark.parametrize("linked", [True, False])
def test_files_of_others_beside_the_target_stay_as_they_are(
    path: Path, tmp_path: Path, name: str, linked: bool
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    if linked:
        (tmp_path / name).symlink_to(victim)
    else:
        (tmp_path / name).write_text("precious")
    try:
        write(path)
    except HeadError as error:
        assert name in str(error)
        assert "move it away" in str(error)
    assert victim.read_text() == "precious"
    assert (tmp_path / name).read_text() == "precious"
    assert (tmp_path / name).is_symlink() == linked


def test_files_have_the_modes_of_the_umask(path: Path) -> None:
    modes: set[int] = set()

    def look() -> None:
        modes.update(stat.S_IMODE(found.stat().st_mode) for found in path.parent.iterdir())

    before = os.umask(0o027)
    try:
        write(path, during=look)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert modes == {0o640}


@pytest.mark.parametrize("name", ["a.npy", "A.NPY", "a.featx", "a.jsonl", "a.csv", "c.h5.partial", "a.pkl"])
def test_an_ending_of_another_kind_of_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        HeadError, match=r"would be a test file, but files that end in \.\w+ are .*; end --into in \.h5"
    ):
        write(tmp_path / name)
    assert names(tmp_path) == set()


def test_a_dash_is_not_taken_for_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HeadError, match=r"-: --into names a file, .* name one that ends in \.h5"):
        write(Path("-"))
    assert names(tmp_path) == set()


@pytest.mark.parametrize("name", ["a", "a.hdf", "a.H5", "v1.2", "a.h5.2026"])
def test_other_endings_are_taken(tmp_path: Path, name: str) -> None:
    write(tmp_path / name)
    assert names(tmp_path) == {name}


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "away").write_text("a file")
    with pytest.raises(HeadError, match="away"):
        write(tmp_path / "away" / "c.h5")
    with pytest.raises(HeadError, match="away"):
        write(tmp_path / "away" / "deeper" / "c.h5")


def test_a_target_that_nobody_holds_knows_what_was_there(path: Path) -> None:
    write(path, "old")
    target = Target(path, KIND, before=identify(path))
    with target.new_file() as new:
        new.write_bytes(OWN)
        target.publish(new)
    assert path.read_bytes() == OWN
    assert follow(path, KIND) == path
