"""What the disk is asked for: space before the work, bytes in their place; and what its refusals mean."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featx.cache.file import Field, runs
from featx.errors import CacheError


def allocate(path: Path, size: int) -> None:
    """Take the space on disk now, so that a full disk is met here and not after hours of work."""
    with path.open("r+b" if path.exists() else "wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        os.fsync(file.fileno())


def write_rows(descriptor: int, field: Field, rows: slice | NDArray[np.int64], values: NDArray[np.generic]) -> None:
    """Write these rows of the dataset straight to their places, in the dataset's own type. Raises OSError."""
    values = np.ascontiguousarray(values, field.dtype)
    if isinstance(rows, slice):
        _pwrite(descriptor, values.tobytes(), field.offset + rows.start * field.stride)
    else:
        for where, run in runs(rows):
            _pwrite(descriptor, values[where].tobytes(), field.offset + run.start * field.stride)


def _pwrite(descriptor: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def sync_folder(folder: Path) -> None:
    """Bring the names in this folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_error(path: Path, error: OSError | RuntimeError) -> CacheError:
    """What is told of a disk that refuses; h5py tells one that fails in the middle as RuntimeError."""
    if isinstance(error, RuntimeError):
        return CacheError(f"{path}: cannot be written ({error}); mend that and run the same command again")
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        free = shutil.disk_usage(path.parent).free
        return CacheError(f"{path}: no space for it ({free / 1e9:.1f} GB free); free some, or choose another --into")
    return CacheError(
        f"{path}: cannot be written ({error.strerror or error}); mend that and run the same command again"
    )
