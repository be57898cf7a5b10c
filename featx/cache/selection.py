"""Reads chosen images, outputs and views of a complete cache block by block, and verifies every checksum."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.cache.file import DONE, Cache, feature_path
from featx.cache.table import join_views
from featx.cache.verifying import checked_rows
from featx.columns import NO_LABEL
from featx.settings import CENTER, ExportedViews

IMAGE_COLUMNS = ("name", "label", "split", "group", "domain", "weight")


@dataclass(frozen=True)
class Block:
    """The features of n rows, and the columns of their images."""

    features: tuple[NDArray[Any], ...]
    """One array (n, d) for each output, or (n, views, d) if each view is read."""
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
    view_rule: ExportedViews = "first"
    """Which views are read, and whether they are averaged."""

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
    def views(self) -> tuple[str, ...]:
        """Names of the views that are read."""
        return (CENTER,) if self.view_rule == "first" else self.cache.views

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the features: as they are stored, but float32 for means, so that these are not rounded."""
        return np.dtype("float32" if self.view_rule == "mean" else self.cache.storage)

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
            features = tuple(self._of_views(stored[feature_path(name)][kept]) for name in self.outputs)
            columns = {name: self.cache.read(f"images/{name}", rows)[kept] for name in self.known}
            yield Block(features, columns)

    def _of_views(self, features: NDArray[Any]) -> NDArray[Any]:
        """What is read of the features (n, d) or (n, views, d) of one output."""
        if features.ndim == 2 or self.view_rule == "all":
            return features
        return join_views(features.astype(np.float32), "mean") if self.view_rule == "mean" else features[:, 0]
