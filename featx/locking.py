"""A lock on a file: one process at a time holds it, and it ends with that process, however the process ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EWOULDBLOCK
from pathlib import Path

NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
"""Opening a lock file fails if it is a symbolic link; Windows has no such flag."""


@contextmanager
def hold_lock(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock file `path` in the block; it is created if it is missing, and removed after the block.

    What is in the file is neither read nor changed. A process that is killed leaves the file, but not the lock.
    If another holder has it: with `wait`, block until it is free, else raise BlockingIOError. Raises OSError if the
    file cannot be opened, also if it is a symbolic link.
    """
    descriptor = _lock(path, wait=wait)
    try:
        yield
    finally:
        with suppress(OSError):  # a lock file that stays behind locks nothing
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _lock(path: Path, *, wait: bool) -> int:
    """A descriptor that holds the lock on the file which has this name now."""
    while True:
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | NO_LINKS, 0o644)
        try:
            lock_descriptor(descriptor, path, wait=wait)
            if _is_at(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its last holder removed the file after it was opened here: try again with a new file


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
