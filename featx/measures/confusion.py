"""Probabilities and what is true in; which class was taken for which, with intervals, out."""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from featx.measures.images import Floats, class_share
from featx.measures.metrics import Interval
from featx.measures.resampling import Units, find_interval
from featx.truth import Truth

MOST_CLASSES = 100
"""Of more classes there is no confusion, whose numbers are their square."""

Counts: TypeAlias = tuple[tuple[int, ...], ...]
Weights: TypeAlias = tuple[tuple[float, ...], ...]
Intervals: TypeAlias = tuple[tuple[Interval | None, ...], ...]


def has_confusion(truth: Truth) -> bool:
    """Whether an image is taken for one class, of not too many."""
    return not truth.multilabel and len(truth.classes) <= MOST_CLASSES


def count_confused(probabilities: Floats, truth: Truth) -> Counts:
    """Images of row's class, of soft labels the largest share, that were taken for column's."""
    classes = len(truth.classes)
    pairs = truth.labels * classes + probabilities.argmax(axis=1)
    return tuple(map(tuple, np.bincount(pairs, minlength=classes**2).reshape(classes, classes).tolist()))


def weigh_confused(probabilities: Floats, truth: Truth) -> Weights | None:
    """The same as sums of weight times share; None where all weigh alike and are of one class."""
    if truth.given is None and truth.weights is None:
        return None
    classes, guess = len(truth.classes), probabilities.argmax(axis=1)
    rows = (np.bincount(guess, truth.weight * class_share(truth, row), classes) for row in range(classes))
    return tuple(tuple(row.tolist()) for row in rows)


def bound_confused(
    probabilities: Floats, truth: Truth, units: Units, *, rounds: Sequence[NDArray[np.uint8]]
) -> Intervals:
    """The interval of each cell as a share of its row, weighted; None where all resamples give the same.

    `rounds`: how often each unit is in each resample, as `Units.draw` gives it.
    """
    classes, (image, row, share) = len(truth.classes), truth.entries
    pair, cell = np.unique(row * classes + probabilities.argmax(axis=1)[image], return_inverse=True)
    value, unit = truth.weight[image] * share, units.of_image[image]
    taken = csr_array((value, (cell.ravel(), unit)), shape=(len(pair), units.count))
    total = csr_array((value, (row, unit)), shape=(classes, units.count))
    table: list[list[Interval | None]] = [[None] * classes for _ in range(classes)]
    with np.errstate(invalid="ignore"):
        drawn = np.hstack([taken @ times / (total @ times)[pair // classes] for times in _floats(rounds)])
    for place, shares in zip(pair.tolist(), drawn, strict=True):
        table[place // classes][place % classes] = find_interval(shares)
    return tuple(map(tuple, table))


def _floats(rounds: Sequence[NDArray[np.uint8]]) -> Iterator[Floats]:
    return (counts.astype(np.float64) for counts in rounds)
