"""Reserves space on disk, writes rows in place, and turns errors of the disk into errors of the cache."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featx.cache.file import Field, runs
from featx.errors import CacheError, CacheLockedError
from featx.targets import explain_failure


def allocate(path: Path, size: int) -> None:
    """Reserve `size` bytes on disk, so that a full disk is noticed now and not after hours of work."""
    with path.open("r+b" if path.exists() else "wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        os.fsync(file.fileno())


def write_rows(descriptor: int, field: Field, rows: slice | NDArray[np.int64], values: NDArray[np.generic]) -> None:
    """Write these rows of the dataset in place, converted to the dataset's type. Raises OSError."""
    values = np.ascontiguousarray(values, field.dtype)
    if isinstance(rows, slice):
        _pwrite(descriptor, values.tobytes(), field.offset + rows.start * field.stride)
    else:
        for where, run in runs(rows):
            _pwrite(descriptor, values[where].tobytes(), field.offset + run.start * field.stride)


def _pwrite(descriptor: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data = data[written:]
        offset += written


def write_error(path: Path, error: OSError | RuntimeError) -> CacheError:
    """The error to raise when a write fails."""
    return CacheError(explain_failure(path, error))


def locked_error(path: Path) -> CacheLockedError:
    """The error to raise when another process holds the lock at `path`."""
    return CacheLockedError(f"{path}: another process is writing this cache; wait for it or choose another --into")
