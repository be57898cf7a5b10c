"""Hashes files, settings and columns with sha256, written in hexadecimal."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROWS_HASHED = 4_096
"""Number of rows that are copied into memory at once to be hashed."""


class Column(Protocol):
    """An array, or a dataset in a file, that is read by slices of rows."""

    @property
    def dtype(self) -> "np.dtype[Any]":
        """Type of its values."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of rows, then the shape of one row."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> "NDArray[Any]": ...


def hash_file(path: Path) -> str:
    """The sha256 of the bytes of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_settings(settings: Mapping[str, object]) -> str:
    """The sha256 of settings as JSON with sorted keys, in hexadecimal."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def hash_columns(columns: Iterable[Column | None]) -> str:
    """The sha256 over columns in this order, with their types and shapes; None stands for a missing column."""
    digest = hashlib.sha256()
    for values in columns:
        if values is None:
            digest.update(b"-")
            continue
        digest.update(f"{values.dtype.str}{values.shape}".encode())
        for start in range(0, len(values), ROWS_HASHED):
            digest.update(values[start : start + ROWS_HASHED].tobytes())
    return digest.hexdigest()


def hash_image_set(columns: Iterable[Column | None], domains: Column | None) -> str:
    """The sha256 over the columns of images; without domains it is that of featx versions that know no domains."""
    return hash_columns(columns if domains is None else (*columns, domains))
