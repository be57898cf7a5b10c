"""Files, settings and columns to sha256, in hexadecimal: what is equal has equal hashes."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROWS_HASHED = 4_096
"""Rows of a column that are copied at once to be hashed."""


class Column(Protocol):
    """Values of which some rows are taken at once: an array, or what stands in a file."""

    @property
    def dtype(self) -> "np.dtype[Any]":
        """Of its values."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, and what one row is."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> "NDArray[Any]": ...


def hash_file(path: Path) -> str:
    """sha256 of the bytes of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_settings(settings: Mapping[str, object]) -> str:
    """sha256 of settings as canonical JSON, in hexadecimal."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def hash_columns(columns: Iterable[Column | None]) -> str:
    """sha256 over columns in this order, their types and shapes included; None stands for a column not given."""
    digest = hashlib.sha256()
    for values in columns:
        if values is None:
            digest.update(b"-")
            continue
        digest.update(f"{values.dtype.str}{values.shape}".encode())
        for start in range(0, len(values), ROWS_HASHED):
            digest.update(values[start : start + ROWS_HASHED].tobytes())
    return digest.hexdigest()
