"""Holds a cache for one writer, and checks what the writer may replace."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from featx.cache.disk import locked_error, write_error
from featx.cache.file import partial_path
from featx.cache.opening import is_cache
from featx.errors import CacheError, CacheLockedError
from featx.locking import NO_LINKS, lock_descriptor
from featx.targets import Kind, Target, identify, reserve

CACHE = Kind(
    name="a featx cache",
    endings=(".h5", ".hdf5"),
    is_own=is_cache,
    error=CacheError,
    locked=CacheLockedError,
    writing="writing this cache",
)


@contextmanager
def lock_cache(path: Path, *, overwrite: bool = False, may_exist: bool = True) -> Iterator[Target]:
    """Hold the cache at `path`, or at the file that it links to, for writing in the block; returns the file.

    Its folder is created if it is missing. A cache that exists there, complete or not, is accepted with `overwrite`, or
    if it `may_exist`; a file of another kind never is.

    Raises CacheLockedError if another process holds it, CacheError if it must not be replaced or cannot be written.
    """
    with reserve(path, CACHE, overwrite=overwrite, may_exist=may_exist) as target:
        partial = partial_path(target.path)
        target.check(partial, may_exist=may_exist)
        try:
            _check_not_written(partial)
            _drop_second_name(partial, target.path)
        except BlockingIOError as error:
            raise locked_error(partial) from error
        except OSError as error:
            raise write_error(partial, error) from error
        yield target


def as_target(path: Path | Target) -> Target:
    """The target itself; of a path, a target that nobody holds."""
    return path if isinstance(path, Target) else Target(path, CACHE, before=identify(path))


def unfinished(target: Target) -> Target:
    """The unfinished cache beside the target, as it is now."""
    path = partial_path(target.path)
    return Target(path, CACHE, overwrite=target.overwrite, lock=target.lock, before=identify(path))


def _check_not_written(partial: Path) -> None:
    """Raise BlockingIOError if a process writes this file, although its lock file was deleted."""
    with suppress(FileNotFoundError):
        descriptor = os.open(partial, os.O_RDWR | NO_LINKS)
        try:
            lock_descriptor(descriptor, partial)
        finally:
            os.close(descriptor)


def _drop_second_name(partial: Path, path: Path) -> None:
    """A run that was killed while it gave the complete cache its name may have left both names: keep the new one."""
    if partial.exists() and path.exists() and partial.samefile(path):
        partial.unlink()
