"""What is known of images before one is opened: names, labels, splits, groups and weights, in one fixed order."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.hashing import hash_columns

NO_LABEL = -1
SPLITS = ("train", "validation", "test")
SPLIT_ALIASES = {"val": "validation", "valid": "validation"}
CHUNK = 4_096
"""Rows that are Python objects at once while columns are made: ten million names never are."""


@dataclass(frozen=True, kw_only=True)
class ImageColumns:
    """One entry an image in every array, or None where nothing was given."""

    names: NDArray[np.bytes_]
    """UTF-8, `/`-separated."""
    classes: tuple[str, ...] = ()
    labels: NDArray[np.int32] | None = None
    """Positions in `classes`; -1 where an image has no label."""
    splits: NDArray[np.bytes_] | None = None
    """`train`, `validation` or `test`."""
    groups: NDArray[np.bytes_] | None = None
    """Images of one group (patient, scene, module) never stand on both sides of a split."""
    weights: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def name(self, row: int) -> str:
        """Name of the image in this row."""
        return bytes(self.names[row]).decode()

    @cached_property
    def hash(self) -> str:
        """sha256 over names, classes, labels, splits, groups and weights, not over the images' bytes."""
        classes = as_texts(self.classes) if self.classes else None
        return hash_columns((self.names, classes, self.labels, self.splits, self.groups, self.weights))


def take(values: NDArray[Any] | None, rows: slice | NDArray[np.int64]) -> NDArray[Any] | None:
    """These rows of a column, or None of a column that was not given."""
    return None if values is None else values[rows]


def as_name(path: str) -> str:
    """The path as images are named: without `.`, doubled or trailing slashes; itself where it has none."""
    plain = path and "//" not in path and "./" not in path and not path.endswith(("/", "/."))
    return path if plain else str(PurePosixPath(path))


def as_texts(values: Sequence[str]) -> NDArray[np.bytes_]:
    """The texts as one array of UTF-8, as wide as the longest."""
    return np.array([value.encode() for value in values], np.bytes_)


class TextsBuilder:
    """Takes texts one by one, of which never all are Python objects at once."""

    def __init__(self) -> None:
        self._chunks: list[NDArray[Any]] = []
        self._last: list[str] = []

    def add(self, text: str) -> None:
        """Add this text behind those that are there."""
        self._last.append(text)
        if len(self._last) == CHUNK:
            self._chunks.append(as_texts(self._last))
            self._last = []

    def build(self) -> NDArray[np.bytes_]:
        """The texts as one array of UTF-8, as wide as the longest; the builder is empty then."""
        chunks, last = self._chunks, self._last
        self._chunks, self._last = [], []
        return concatenate([*chunks, as_texts(last)])


def concatenate(chunks: list[NDArray[Any]]) -> NDArray[Any]:
    """The chunks one after the other; the list is emptied on the way, so that nothing is held twice."""
    if not chunks:
        return np.empty(0, "S1")
    whole = np.empty(sum(map(len, chunks)), max((chunk.dtype for chunk in chunks), key=lambda dtype: dtype.itemsize))
    stop = len(whole)
    while chunks:
        chunk = chunks.pop()
        whole[stop - len(chunk) : stop] = chunk
        stop -= len(chunk)
    return whole


def sort_classes(values: Iterable[str]) -> tuple[str, ...]:
    """The class names in order: of their numbers where all are whole numbers, else of their letters."""
    found = list(values)
    numbers = all(re.fullmatch(r"-?[0-9]+", value) for value in found)
    return tuple(sorted(found, key=lambda value: (int(value) if numbers else 0, value)))
