"""Probabilities and what is true in; which class was taken for which, with intervals, out."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from featx.labels import Labels
from featx.measures.images import Floats, class_share
from featx.measures.metrics import Interval
from featx.measures.resampling import Units, find_interval

MOST_CLASSES = 100
"""Of more classes there is no confusion, whose numbers are their square."""

Counts: TypeAlias = tuple[tuple[int, ...], ...]
Weights: TypeAlias = tuple[tuple[float, ...], ...]
Intervals: TypeAlias = tuple[tuple[Interval | None, ...], ...]


def has_confusion(truth: Labels) -> bool:
    """Whether an image is taken for one class, of not too many."""
    return not truth.multilabel and len(truth.classes) <= MOST_CLASSES


def count_confused(probabilities: Floats, truth: Labels) -> Counts:
    """Images of row's class, of soft labels the largest share, that were taken for column's."""
    classes = len(truth.classes)
    pairs = truth.codes * classes + probabilities.argmax(axis=1)
    return tuple(map(tuple, np.bincount(pairs, minlength=classes**2).reshape(classes, classes).tolist()))


def weigh_confused(
    probabilities: Floats, truth: Labels, units: Units, *, rounds: Sequence[NDArray[np.uint8]]
) -> tuple[Weights, Intervals]:
    """The same as sums of weight times share; and of each as a share of its row the interval.

    That is None where all resamples give the same. `rounds`: how often each unit is in each resample, as `Units.draw`
    gives it.
    """
    classes, guess = len(truth.classes), probabilities.argmax(axis=1)
    found = []
    for row in range(classes):
        value = truth.weights * class_share(truth, row)
        images = np.flatnonzero(value)
        some, unit = np.unique(units.of_image[images], return_inverse=True)
        taken = csr_array((value[images], (guess[images], unit.ravel())), shape=(classes, len(some)))
        drawn = np.hstack([taken @ counts[some].astype(np.float64) for counts in rounds])
        found.append((tuple(drawn[:, 0].tolist()), _bound_row(drawn)))
    weights, intervals = zip(*found, strict=True)
    return weights, intervals


def _bound_row(drawn: Floats) -> tuple[Interval | None, ...]:
    with np.errstate(invalid="ignore"):
        shares = drawn / drawn.sum(axis=0)
    return tuple(find_interval(share) for share in shares)
