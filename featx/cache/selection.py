"""Reads chosen images and outputs of a complete cache block by block, and verifies every checksum."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.cache.file import DONE, Cache, feature_path
from featx.cache.verifying import checked_rows
from featx.columns import NO_LABEL

IMAGE_COLUMNS = ("name", "label", "split", "group", "domain", "weight")


@dataclass(frozen=True)
class Block:
    """The features of n rows, and the columns of their images."""

    features: tuple[NDArray[Any], ...]
    """One array (n, d) for each output."""
    columns: Mapping[str, NDArray[Any]]
    """The columns that the image set has, by name: texts as bytes, labels as positions in the classes."""

    def texts(self, name: str) -> list[str]:
        """The values of a column of texts."""
        return [value.decode(errors="surrogateescape") for value in self.columns[name].tolist()]

    def classes(self, names: Sequence[str]) -> list[str | None]:
        """The class of every image, or None for an image without a label."""
        if "label" not in self.columns:
            return [None] * len(self.columns["name"])
        return [None if label == NO_LABEL else names[label] for label in self.columns["label"].tolist()]


@dataclass(frozen=True)
class Selection:
    """The chosen outputs and images of a cache; only images with a feature are read."""

    cache: Cache
    outputs: Sequence[str]
    chosen: NDArray[np.bool_]
    """(N,): which images of the cache are chosen, with or without a feature."""

    @cached_property
    def _kept(self) -> NDArray[np.bool_]:
        return np.asarray(self.chosen & (self.cache.read("status") == DONE))

    @cached_property
    def count(self) -> int:
        """Number of chosen images with a feature."""
        return int(np.count_nonzero(self._kept))

    @cached_property
    def left_out(self) -> int:
        """Number of chosen images without a feature."""
        return int(np.count_nonzero(self.chosen)) - self.count

    @property
    def dims(self) -> dict[str, int]:
        """Name and dimension of every output."""
        return {name: self.cache.outputs[name] for name in self.outputs}

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the features."""
        return np.dtype(self.cache.storage)

    @property
    def known(self) -> tuple[str, ...]:
        """The names in IMAGE_COLUMNS that the image set has; `name` is always among them."""
        return tuple(name for name in IMAGE_COLUMNS if f"images/{name}" in self.cache.fields)

    def blocks(self) -> Iterator[Block]:
        """The rows in the image set's order, block by block. Raises CacheError if a row's checksum is wrong."""
        for rows in self.cache.blocks():
            kept = self._kept[rows]
            if not kept.any():
                continue
            stored = checked_rows(self.cache, rows)
            features = tuple(stored[feature_path(name)][kept] for name in self.outputs)
            columns = {name: self.cache.read(f"images/{name}", rows)[kept] for name in self.known}
            yield Block(features, columns)
