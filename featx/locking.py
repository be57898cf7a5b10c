"""A lock on a file: one process at a time holds it, and it ends with that process, however the process ends."""

import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from errno import EEXIST, EWOULDBLOCK
from pathlib import Path

NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
"""Opening a file fails if it is a symbolic link; Windows has no such flag."""
NO_WAITING = getattr(os, "O_NONBLOCK", 0)
"""Opening a FIFO does not wait for its other end."""
MARK = b"featx lock\n"
"""First line of every lock file of featx; those of version 0.1 are empty."""
UNFINISHED = re.compile(r".+\.[0-9a-f]{8}\.new|\.featx-[0-9a-f]{8}", re.DOTALL)
"""Names of unfinished files and folders. Nothing else is removed, as a lock file of a stranger may name any file."""


@dataclass(frozen=True)
class Lock:
    """A lock that this process holds."""

    path: Path
    _descriptor: int
    _created: bool
    """Whether this process created the file, so that it may write into it."""

    def record(self, name: str) -> None:
        """Write into the lock file that an unfinished file or folder of this name will be created next to it.

        If this process is killed, the next one that takes the lock removes what is recorded under a name of UNFINISHED.
        Raises OSError.
        """
        if self._created:
            os.write(self._descriptor, json.dumps(name).encode() + b"\n")
            os.fsync(self._descriptor)

    def release(self) -> None:
        """Remove the lock file if featx created it, and end the lock."""
        with suppress(OSError):  # a lock file that stays behind locks nothing
            if (self._created or _is_own(self._descriptor)) and _is_at(self.path, self._descriptor):
                self.path.unlink()
        os.close(self._descriptor)


@contextmanager
def hold_lock(path: Path, *, wait: bool = False) -> Iterator[Lock]:
    """Hold the lock file `path` in the block; it is created if it is missing, and removed after the block.

    A process that is killed leaves the file, but not the lock; the next holder removes the unfinished files that are
    recorded there. An empty file of this name is locked and stays. If another holder has the lock: with `wait`, block
    until it is free, else raise BlockingIOError. Raises FileExistsError if something else has this name: a file with
    other content, a link, a folder; and OSError if the file cannot be opened.
    """
    lock = _take(path, wait=wait)
    try:
        yield lock
    finally:
        lock.release()


def _take(path: Path, *, wait: bool) -> Lock:
    while True:
        descriptor, created = _open(path)
        lock = Lock(path, descriptor, created)
        try:
            lock_descriptor(descriptor, path, wait=wait)
            if _is_at(path, descriptor) and (created or not _clear(lock)):
                return lock
        except BaseException:  # an interrupt too: the lock lasts as long as the descriptor is open
            os.close(descriptor)
            raise
        os.close(descriptor)  # the file does not have this name any more: try again with a new file


def _open(path: Path) -> tuple[int, bool]:
    """A descriptor of the lock file, and whether it was created. Raises FileExistsError if it is not one of featx."""
    while True:
        with suppress(FileExistsError):
            return _create(path), True
        with suppress(FileNotFoundError):  # its holder has removed it since
            return _open_existing(path), False


def _create(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | NO_LINKS, 0o666)
    try:
        os.write(descriptor, MARK)
    except BaseException:  # an interrupt too: a lock file without the mark would never be removed
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise
    return descriptor


def _open_existing(path: Path) -> int:
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise _foreign(path)
    try:
        descriptor = os.open(path, os.O_RDWR | NO_LINKS | NO_WAITING)
    except PermissionError:
        descriptor = os.open(path, os.O_RDONLY | NO_LINKS | NO_WAITING)
    if stat.S_ISREG(os.fstat(descriptor).st_mode) and _may_be_own(descriptor):
        return descriptor
    os.close(descriptor)
    raise _foreign(path)


def _foreign(path: Path) -> FileExistsError:
    return FileExistsError(EEXIST, "is not a lock file of featx", str(path))


def _is_own(descriptor: int) -> bool:
    return os.pread(descriptor, len(MARK), 0) == MARK


def _may_be_own(descriptor: int) -> bool:
    """Whether the file begins with the mark, or is empty, or holds only the zeros that a power cut leaves.

    It is read once: its creator may write the mark between two reads.
    """
    start = os.pread(descriptor, len(MARK), 0)
    return start == MARK or not start.strip(b"\0")


def _clear(lock: Lock) -> bool:
    """Remove what a killed process left: the unfinished files recorded in its lock file, and then that file.

    Returns whether the lock file is gone.
    """
    if not _is_own(lock._descriptor):
        return False
    for name in _recorded(lock._descriptor):
        with suppress(OSError):
            _remove(lock.path.with_name(name))
    with suppress(OSError):
        lock.path.unlink()
        return True
    return False


def _recorded(descriptor: int) -> Iterator[str]:
    """The names in the lock file; a power cut may have left the last one incomplete."""
    size = os.fstat(descriptor).st_size
    for line in os.pread(descriptor, size, 0)[len(MARK) :].splitlines():
        with suppress(ValueError):
            name = json.loads(line)
            if isinstance(name, str) and Path(name).name == name and UNFINISHED.fullmatch(name):
                yield name


def _remove(path: Path) -> None:
    mode = os.lstat(path).st_mode
    if stat.S_ISREG(mode):
        path.unlink()
    elif stat.S_ISDIR(mode):
        shutil.rmtree(path)


def lock_descriptor(descriptor: int, path: Path, *, wait: bool = False) -> None:
    """Lock the open file at `path` until its descriptor is closed. Raises as hold_lock does."""
    import filelock

    if not filelock.lock_descriptor(descriptor, blocking=wait):
        raise BlockingIOError(EWOULDBLOCK, "another process holds the lock", str(path))


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether this open file still has this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False
