"""One writer a cache: a lock that ends with its process, and what may be written over."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from featx.cache.disk import write_error
from featx.cache.file import new_path, partial_path
from featx.cache.opening import is_cache
from featx.errors import CacheError, CacheLockedError


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the cache for writing; a lock ends with its process. Raises CacheLockedError where another holds it."""
    lock = path.with_name(path.name + ".lock")
    try:
        for place in (path, partial_path(path), new_path(path)):
            if place.exists() and not place.is_file():
                raise CacheError(f"{place}: is there and is no file; choose another --into")
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _lock(lock)
    except CacheError:
        raise
    except OSError as error:
        raise write_error(path, error) from error
    try:
        yield
    finally:
        with suppress(OSError):  # a lock file that stays behind locks nothing
            lock.unlink(missing_ok=True)
        os.close(descriptor)


def _lock(lock: Path) -> int:
    while True:
        try:
            descriptor = os.open(lock, os.O_RDONLY | os.O_CREAT, 0o644)
        except OSError as error:
            raise write_error(lock if lock.exists() else lock.with_suffix(""), error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise CacheLockedError(
                f"{lock}: another process is writing this cache; wait for it or choose another --into"
            ) from error
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(lock)):
                return descriptor
        os.close(descriptor)  # its last holder removed the file between our two calls


def check_target(path: Path, *, overwrite: bool) -> None:
    """Raise CacheError where something is there that may not be given up: a file of another kind never may."""
    if path.exists() and not is_cache(path):
        raise CacheError(f"{path}: is there and is no featx cache; choose another --into, or delete it")
    for there in (path, partial_path(path)):
        if there.exists() and not overwrite:
            raise CacheError(f"{there}: is there; choose another --into, or give it up with --overwrite")
