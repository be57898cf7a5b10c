"""Locks a cache for one writer, and checks what the writer may replace."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from featx.cache.disk import locked_error, write_error
from featx.cache.file import new_path, partial_path
from featx.cache.opening import is_cache
from featx.errors import CacheError
from featx.locking import hold_lock, lock_descriptor


@contextmanager
def lock_cache(path: Path) -> Iterator[None]:
    """Hold the lock for writing the cache at `path` in the block; its folder is created if it is missing.

    Raises CacheLockedError if another process holds it, CacheError if something that is not a file is in the way or
    the folder cannot be written.
    """
    lock = path.with_name(path.name + ".lock")
    with ExitStack() as held:
        try:
            _check_places(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(hold_lock(lock))
            _check_not_written(partial_path(path))
        except CacheError:
            raise
        except BlockingIOError as error:
            raise locked_error(lock) from error
        except OSError as error:
            raise write_error(lock if os.path.lexists(lock) else path, error) from error
        yield


def _check_not_written(partial: Path) -> None:
    """Raise BlockingIOError if a process writes this file, although its lock file was deleted."""
    with suppress(FileNotFoundError):
        descriptor = os.open(partial, os.O_RDONLY)
        try:
            lock_descriptor(descriptor, partial)
        finally:
            os.close(descriptor)


def _check_places(path: Path) -> None:
    for place in (path, partial_path(path), new_path(path)):
        if place.exists() and not place.is_file():
            raise CacheError(f"{place}: already exists and is not a file; choose another --into")


def check_overwrite(path: Path, *, overwrite: bool) -> None:
    """Raise CacheError if a cache may not be written to `path`.

    A file of another kind is never replaced. A cache, complete or not, is replaced only with `overwrite`.
    """
    check_replaceable(path)
    for existing in (path, partial_path(path)):
        if existing.exists() and not overwrite:
            raise CacheError(f"{existing}: already exists; choose another --into, or replace it with --overwrite")


def check_replaceable(path: Path) -> None:
    """Raise CacheError if `path` is a file of another kind than a cache: not even --overwrite replaces that."""
    if path.exists() and not is_cache(path):
        raise CacheError(f"{path}: already exists and is not a featx cache; choose another --into, or delete it")
