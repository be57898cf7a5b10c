"""Labelled rows that are read in blocks, so that scoring a source never holds all its features."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from featx.errors import TableError
from featx.labels import Labels

Floats: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.int64]

BLOCK_BYTES = 2**25
"""Bytes of float64 features in a block: products of a block are as fast as those of a larger one."""
MANY = 4
"""With more rows for each column, what is left out hardly changes a fit, and float32 shows it exactly enough."""


@dataclass(frozen=True)
class LabelledRows:
    """Features of n images with labels; every image has a weight above 0, and every class an image."""

    read: Callable[[Indices], NDArray[Any]]
    """The features (b, D) of these rows, as an array of their own."""
    labels: Labels
    columns: int
    dtype: DTypeLike = np.float32
    """Type of the features."""
    class_scores: bool = False
    """Whether the columns are not features, but class scores of the source's own task."""
    kind: str = ""
    """What the class scores are, as `classifier_kind` of a card says; empty if it does not."""

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def weights(self) -> Floats:
        """(n,): the weight of each row, 1 on average."""
        weights = self.labels.weights
        return np.asarray(weights / weights.mean())

    @cached_property
    def totals(self) -> Floats:
        """(K,): for each class, the sum of weight x share over all rows."""
        return np.asarray(self.labels.class_totals / self.labels.weights.mean())

    @cached_property
    def squares(self) -> Floats:
        """(K,): for each class, the sum of weight x squared share over all rows."""
        shares = self.labels.given_shares
        return self.totals if shares is None else np.asarray(self.weights @ np.square(shares))

    def shares(self, rows: Indices) -> Floats:
        """(b, K): the share of each class in these rows; those of all rows might not fit into memory."""
        return self.labels.take(rows).shares

    def mass(self, rows: Indices) -> Floats:
        """(b, K): weight of the row x share of the class in it."""
        return np.asarray(self.shares(rows) * self.weights[rows, None])

    @property
    def precision(self) -> type[np.floating[Any]]:
        """The type of the products of single rows: float32, if the features are float32 and there are many."""
        many = len(self) > MANY * self.columns
        return np.float32 if many and np.dtype(self.dtype).itemsize <= 4 else np.float64

    def read_all(self) -> Floats:
        """(n, D): all features."""
        return self.read(np.arange(len(self))).astype(np.float64)

    def blocks(self, dtype: DTypeLike = np.float64) -> Iterator[tuple[Indices, NDArray[Any]]]:
        """Rows and their features in this type, a block (b, D) at a time, which the caller may overwrite.

        The rows of one group are in one block, however large it is.
        """
        for rows in self._blocks_of_rows():
            yield rows, self.read(rows).astype(dtype, copy=False)

    def rows_of(self, number: int) -> Indices:
        """The rows of one class, if each has one."""
        return np.flatnonzero(self.labels.codes == number)

    def blocks_of(self, number: int) -> Iterator[Floats]:
        """The features of the rows of one class, a block (b, D) at a time, which the caller may overwrite."""
        own = self.rows_of(number)
        for start in range(0, len(own), self._step):
            yield self.read(own[start : start + self._step]).astype(np.float64)

    def groups_in(self, rows: Indices) -> list[slice]:
        """The parts of a block that have one group each; single rows if there are no groups."""
        if self.labels.groups is None:
            return [slice(place, place + 1) for place in range(len(rows))]
        starts = np.flatnonzero(np.r_[True, np.diff(self._group_of[rows]) != 0])
        return [slice(int(start), int(stop)) for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True)]

    @property
    def _step(self) -> int:
        """Number of rows in a block."""
        return max(1, BLOCK_BYTES // (8 * max(1, self.columns)))

    def _blocks_of_rows(self) -> Iterator[Indices]:
        step = self._step
        if self.labels.groups is None:
            yield from (np.arange(start, min(start + step, len(self))) for start in range(0, len(self), step))
            return
        order = np.argsort(self._group_of, kind="stable")
        ends = np.flatnonzero(np.r_[np.diff(self._group_of[order]) != 0, True]) + 1
        start = 0
        while start < len(order):
            within = ends[(ends > start) & (ends <= start + step)]
            stop = int(within[-1] if len(within) else ends[ends > start][0])
            yield order[start:stop]
            start = stop

    @cached_property
    def _group_of(self) -> Indices:
        return np.unique(self.labels.groups, return_inverse=True)[1] if self.labels.groups is not None else self._none

    @property
    def _none(self) -> Indices:
        return np.zeros(len(self), np.int64)


def rows_of_arrays(features: ArrayLike, labels: ArrayLike, *, weights: ArrayLike | None = None) -> LabelledRows:
    """The labelled rows of features (n, D), one label each (n,), and weights (n,). Raises TableError."""
    given = np.asarray(features)
    if given.ndim != 2 or len(given) != np.shape(labels)[0]:
        raise TableError(
            f"there are features of shape {given.shape} and {np.shape(labels)[0]} labels; give each row one label"
        )
    names, codes = np.unique(np.asarray(labels), return_inverse=True)
    weighed = None if weights is None else np.asarray(weights, np.float64)
    whole = Labels(tuple(map(str, names)), codes.astype(np.int64), given_weights=weighed)
    return replace(usable_rows(given.__getitem__, whole, columns=given.shape[1]), dtype=given.dtype)


def usable_rows(
    read: Callable[[Indices], NDArray[Any]], labels: Labels, *, columns: int, class_scores: bool = False, kind: str = ""
) -> LabelledRows:
    """The rows that weigh anything, with the classes that they have. Raises TableError for fewer than two classes."""
    kept = np.flatnonzero(labels.weights > 0)
    labels = _without_absent_classes(labels.take(kept))
    if len(labels.classes) < 2:
        raise TableError(f"the images have {len(labels.classes)} class; a source is scored by two classes or more")
    return LabelledRows(lambda rows: read(kept[rows]), labels, columns, class_scores=class_scores, kind=kind)


def _without_absent_classes(labels: Labels) -> Labels:
    present = np.flatnonzero(labels.class_totals > 0)
    if len(present) == len(labels.classes):
        return labels
    shares = labels.given_shares
    return replace(
        labels,
        classes=tuple(labels.classes[index] for index in present),
        codes=labels.codes if labels.multilabel else np.searchsorted(present, labels.codes),
        given_shares=None if shares is None else shares[:, present],
    )
