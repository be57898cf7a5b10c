"""Some images and outputs of a complete cache, handed out block by block, every row checked on the way."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.cache.file import (
    DONE,
    Cache,
    feature_path,
)
from featx.cache.verifying import checked_rows
from featx.columns import NO_LABEL

GIVEN = ("name", "label", "split", "group", "weight")


@dataclass(frozen=True)
class Block:
    """Some rows: their features, one array (n, d) an output, and what is known of their images."""

    features: tuple[NDArray[Any], ...]
    columns: Mapping[str, NDArray[Any]]
    """Of GIVEN, those that the image set has: text as bytes, labels as positions in the classes."""

    def texts(self, name: str) -> list[str]:
        """The values of a column of text."""
        return [value.decode(errors="surrogateescape") for value in self.columns[name].tolist()]

    def classes(self, names: Sequence[str]) -> list[str | None]:
        """The class of every image, or None where it has no label."""
        if "label" not in self.columns:
            return [None] * len(self.columns["name"])
        return [None if label == NO_LABEL else names[label] for label in self.columns["label"].tolist()]


@dataclass(frozen=True)
class Selection:
    """Images that are meant, of which those with a feature are handed out."""

    cache: Cache
    outputs: Sequence[str]
    meant: NDArray[np.bool_]

    @cached_property
    def _kept(self) -> NDArray[np.bool_]:
        return np.asarray(self.meant & (self.cache.read("status") == DONE))

    @cached_property
    def count(self) -> int:
        """Rows that are handed out."""
        return int(np.count_nonzero(self._kept))

    @cached_property
    def left_out(self) -> int:
        """Images that are meant but have no feature."""
        return int(np.count_nonzero(self.meant)) - self.count

    @property
    def dims(self) -> dict[str, int]:
        """Name and dimension of every output."""
        return {name: self.cache.outputs[name] for name in self.outputs}

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the features."""
        return np.dtype(self.cache.storage)

    @property
    def given(self) -> tuple[str, ...]:
        """What is known of the images: always a name, the rest where the image set has it."""
        return tuple(name for name in GIVEN if f"images/{name}" in self.cache.fields)

    def blocks(self) -> Iterator[Block]:
        """The rows, in the image set's order, some at a time. Raises CacheError where one is rotten."""
        for rows in self.cache.blocks():
            kept = self._kept[rows]
            if not kept.any():
                continue
            stored = checked_rows(self.cache, rows)
            yield Block(
                tuple(stored[feature_path(name)][kept] for name in self.outputs),
                {name: self.cache.read(f"images/{name}", rows)[kept] for name in self.given},
            )
