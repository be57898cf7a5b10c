"""Where a command writes: the file that is named, or the one that its link points to, and what stands beside it.

Nothing of somebody else is replaced, removed or written through a link, whatever its name is. New files are created
exclusively under names that nobody can foresee; they get the name of the target when they are complete.
"""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeAlias

from featx.errors import FeatxError
from featx.locking import NO_LINKS, Lock, hold_lock

Identity: TypeAlias = tuple[int, int, int, int]
"""Device, number, size and time of change of a file: another file, or other content, has another identity."""

WITHOUT_HARD_LINKS = {errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
"""Errors of a file system that has no hard links, or does not allow this one."""
OWNERS = {
    ".h5": "a cache, which `featx extract` writes",
    ".hdf5": "a cache, which `featx extract` writes",
    ".featx": "a head, which `featx train` writes",
    ".jsonl": "results, which `featx compare` writes",
    ".npy": "features for other programs: extract into a cache C.h5, then run `featx cache export C.h5 --into X.npy`",
    ".parquet": "features for other programs: extract into a cache C.h5, then run "
    "`featx cache export C.h5 --into X.parquet`",
    ".csv": "a table",
    ".md": "Markdown",
    ".tex": "LaTeX",
    ".html": "a page",
    ".htm": "a page",
    ".npz": "arrays of NumPy",
    ".onnx": "a model",
    ".toml": "the card of a backbone",
    ".pkl": "a pickle, which featx neither writes nor reads",
    ".pickle": "a pickle, which featx neither writes nor reads",
    ".joblib": "a pickle, which featx neither writes nor reads",
    ".png": "an image",
    ".jpg": "an image",
    ".jpeg": "an image",
    ".svg": "an image",
    ".pdf": "a figure",
    ".tar": "an archive",
    ".zip": "an archive",
    ".partial": "an unfinished cache, which `featx extract` continues",
    ".lock": "a lock file",
}
"""Ending of a file -> what such files are: none is written under the ending of another kind."""


class AppearedError(FileExistsError):
    """Something else has the name of the target now; the finished file is kept under its own name."""


@dataclass(frozen=True)
class Kind:
    """A kind of file that featx writes."""

    name: str
    """What such a file is called in messages, with its article."""
    endings: tuple[str, ...]
    """The first one is the usual ending; files may also have an ending that is not in OWNERS."""
    is_own: Callable[[Path], bool]
    """Whether this regular file is of this kind, by its content. Raises OSError if it cannot be read."""
    error: type[FeatxError]
    """The error to raise if a file cannot be written."""
    locked: type[FeatxError]
    """The error to raise if another process holds the target."""
    writing: str
    """What that process does."""
    instead: str = "choose another --into"
    """What the user can do if the name is taken."""
    option: str = "--into"
    """The option of a command that names the file."""


@dataclass(frozen=True)
class Target:
    """The file that a command writes, and how it was when the command began."""

    path: Path
    kind: Kind
    overwrite: bool = False
    lock: Lock | None = None
    before: Identity | None = None

    @classmethod
    def at(cls, path: Path, kind: Kind, *, overwrite: bool) -> "Target":
        """The file `path`, or the one that it links to, which nobody holds.

        Whether it may be replaced is not checked. Raises the error of the kind if it is not a file.
        """
        place = follow(path, kind)
        return cls(place, kind, overwrite, before=identify(place))

    def check(self, path: Path | None = None, *, may_exist: bool = False) -> None:
        """Raise the error of the kind if the target, or a file `path` beside it, must not be replaced."""
        place = path or self.path
        check_replaceable(place, self.kind)
        if os.path.lexists(place) and not (self.overwrite or may_exist):
            raise self.kind.error(f"{place}: already exists; {self.kind.instead}, or replace it with --overwrite")

    @contextmanager
    def new_file(self) -> Iterator[Path]:
        """Path of a new, empty file beside the target, in which its content is put together. Raises OSError.

        After the block it is removed, if it was not published, unless something else has the target's name.
        """
        with new_file(self.path, self.lock) as new:
            yield new

    @contextmanager
    def written(self) -> Iterator[Path]:
        """Path of a new file, which gets the name of the target after the block. Raises the error of the kind."""
        try:
            with self.new_file() as new:
                yield new
                self.publish(new)
        except OSError as error:
            raise self.kind.error(explain_failure(self.path, error)) from error

    def publish(self, new: Path) -> None:
        """Give the finished file the name of the target. Raises OSError, and AppearedError if it must not be replaced.

        What did not exist when the command began, or has changed since, is replaced only with `overwrite`, and only
        if it is of this kind.
        """
        found = identify(self.path)
        if found is None:
            _publish_first(new, self.path)
        elif found == self.before or (self.overwrite and _is_of_kind(self.path, self.kind)):
            os.replace(new, self.path)
        else:
            _refuse(new, self.path)
        sync_folder(self.path.parent)


@contextmanager
def reserve(
    path: Path | str, kind: Kind, *, overwrite: bool = False, may_exist: bool = False, wait: bool = False
) -> Iterator[Target]:
    """Hold the file `path`, or the one that it links to, against other processes of featx while it is written.

    Its folder is created if it is missing. A file of another kind is never replaced; one of this kind is, with
    `overwrite`, or if it `may_exist`. With `wait`, block until no other process writes it.

    Raises the errors of the kind if the target is held, must not be replaced or cannot be written.
    """
    check_ending(Path(path), kind)
    place = follow(Path(path), kind)
    Target(place, kind, overwrite).check(may_exist=may_exist)
    with ExitStack() as held:
        lock = held.enter_context(_held(place, kind, wait=wait))
        target = Target(place, kind, overwrite, lock, identify(place))
        target.check(may_exist=may_exist)
        yield target


@contextmanager
def _held(place: Path, kind: Kind, *, wait: bool) -> Iterator[Lock]:
    path = place.with_name(f"{place.name}.lock")
    with ExitStack() as held:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            lock = held.enter_context(hold_lock(path, wait=wait))
        except BlockingIOError as error:
            raise kind.locked(f"{path}: another process is {kind.writing}; wait for it or {kind.instead}") from error
        except FileExistsError as error:
            at_fault = path if os.path.lexists(path) else place
            what = error.strerror if at_fault == path else "its folder is not a folder"
            raise kind.error(f"{at_fault}: already exists and {what}; move it away, or {kind.instead}") from error
        except OSError as error:
            at_fault = path if os.path.lexists(path) else place
            raise kind.error(explain_failure(at_fault, error)) from error
        yield lock


def explain_failure(path: Path, error: OSError | RuntimeError) -> str:
    """Why the file could not be written, and the next step; h5py raises RuntimeError if it fails in the middle."""
    if isinstance(error, AppearedError):
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        free = shutil.disk_usage(path.parent).free
        return f"{path}: no space for it ({free / 1e9:.1f} GB free); free some, or choose another --into"
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return f"{path}: cannot be written ({reason}); fix that and run the same command again"


def check_ending(path: Path, kind: Kind) -> None:
    """Raise the error of the kind if the path is `-`, or if its ending belongs to another kind of file."""
    if str(path) == "-":
        raise kind.error(
            f"{path}: {kind.option} names a file, and nothing is written to standard output by it; name one that ends "
            f"in {kind.endings[0]}, or ./- for a file that is called -"
        )
    ending = path.suffix.lower()
    if ending in OWNERS and ending not in kind.endings:
        raise kind.error(
            f"{path}: would be {kind.name}, but files that end in {ending} are {OWNERS[ending]}; "
            f"end {kind.option} in {kind.endings[0]}"
        )


def follow(path: Path, kind: Kind) -> Path:
    """The path, or if it is a symbolic link, the file that the link points to, which need not exist.

    Raises the error of the kind if the folder that the link points into does not exist: its disk may not be mounted.
    """
    if path.exists() and not path.is_file():
        raise kind.error(f"{path}: already exists and is not a file; {kind.instead}")
    if not path.is_symlink():
        return path
    place = Path(os.path.realpath(path))
    if not place.parent.is_dir() or place.is_symlink():
        raise kind.error(f"{path}: is a link to {place}, which cannot be written; correct the link, or mount its disk")
    return place


def check_replaceable(path: Path, kind: Kind) -> None:
    """Raise the error of the kind if `path` is a file of another kind, which not even --overwrite replaces."""
    try:
        if not os.path.lexists(path) or _is_of_kind(path, kind):
            return
        mode = os.lstat(path).st_mode
    except OSError as error:
        raise kind.error(
            f"{path}: cannot be read ({error.strerror or error}); fix that and run the same command again"
        ) from error
    what = f"not {kind.name}" if stat.S_ISREG(mode) else "a link" if stat.S_ISLNK(mode) else "not a file"
    raise kind.error(f"{path}: already exists and is {what}; {kind.instead}, or move it away, or delete it")


def _is_of_kind(path: Path, kind: Kind) -> bool:
    return stat.S_ISREG(os.lstat(path).st_mode) and kind.is_own(path)


def identify(path: Path) -> Identity | None:
    """The identity of what has this name, links not followed; None if nothing has it."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@contextmanager
def new_file(beside: Path, lock: Lock | None = None) -> Iterator[Path]:
    """Path of a new, empty file whose name is that of `beside` with some random letters; as Target.new_file."""
    new = beside.with_name(f"{beside.name}.{secrets.token_hex(4)}.new")
    if lock is not None:
        lock.record(new.name)
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINKS, 0o666))
    keep = False
    try:
        yield new
    except AppearedError:
        keep = True
        raise
    finally:
        if not keep:
            _remove(new)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


def _publish_first(new: Path, path: Path) -> None:
    """Give the file a name that nothing has, so that nothing is replaced if something appears at this moment.

    A hard link does that. Where the file system has none, a file that another program creates between the check and
    the renaming would be replaced; one of featx would not, because the lock is held.
    """
    try:
        os.link(new, path)
    except FileExistsError:
        _refuse(new, path)
    except OSError as error:
        if error.errno not in WITHOUT_HARD_LINKS:
            raise
        if os.path.lexists(path):
            _refuse(new, path)
        os.rename(new, path)
    else:
        _remove(new)


def _refuse(new: Path, path: Path) -> NoReturn:
    raise AppearedError(
        errno.EEXIST,
        f"appeared or changed while this command ran, and is not replaced; move it away, and give its name to {new}, "
        "which is complete",
        str(path),
    )


def sync_folder(folder: Path) -> None:
    """Sync the folder, so that the names of its files are on disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
