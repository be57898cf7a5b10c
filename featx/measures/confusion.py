"""Confusion matrices: which class was predicted for which, as counts, as weights, and with intervals."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from featx.labels import Labels
from featx.measures.intervals import score_interval
from featx.measures.metrics import Interval
from featx.measures.per_image import Floats, class_share
from featx.measures.resampling import Units

MOST_CLASSES = 100
"""There is no confusion matrix of more classes, as its size is their square."""

ConfusionCounts: TypeAlias = tuple[tuple[int, ...], ...]
ConfusionWeights: TypeAlias = tuple[tuple[float, ...], ...]
ConfusionIntervals: TypeAlias = tuple[tuple[Interval | None, ...], ...]


def has_confusion(labels: Labels) -> bool:
    """Whether a confusion matrix is computed: not for multi-label images, nor for more than MOST_CLASSES classes."""
    return not labels.multilabel and len(labels.classes) <= MOST_CLASSES


def count_confusion(probabilities: Floats, labels: Labels) -> ConfusionCounts:
    """Number of images by their class (row; for soft labels that of the largest share) and predicted class (column)."""
    classes = len(labels.classes)
    pairs = labels.codes * classes + probabilities.argmax(axis=1)
    return tuple(map(tuple, np.bincount(pairs, minlength=classes**2).reshape(classes, classes).tolist()))


def weigh_confusion(
    probabilities: Floats, labels: Labels, units: Units, *, rounds: Sequence[NDArray[np.uint8]]
) -> tuple[ConfusionWeights, ConfusionIntervals]:
    """Sums of weight times share by class (row) and predicted class (column), and the interval of each cell.

    An interval is of the cell's share of its row, None if all resamples are equal. `rounds` says how often each unit
    is in each resample, as `Units.draw` does.
    """
    predicted = probabilities.argmax(axis=1)
    weights = []
    intervals = []
    for row in range(len(labels.classes)):
        resampled = _resample_row(row, predicted, labels, units, rounds=rounds)
        weights.append(tuple(resampled[:, 0].tolist()))
        intervals.append(_row_intervals(resampled, units))
    return tuple(weights), tuple(intervals)


def _resample_row(
    row: int, predicted: NDArray[np.int64], labels: Labels, units: Units, *, rounds: Sequence[NDArray[np.uint8]]
) -> Floats:
    """The cells of one row of the confusion matrix on each of b resamples, (classes, b)."""
    value = labels.weights * class_share(labels, row)
    images = np.flatnonzero(value)
    present, unit = np.unique(units.of_image[images], return_inverse=True)
    cells = csr_array((value[images], (predicted[images], unit.ravel())), shape=(len(labels.classes), len(present)))
    resampled: Floats = np.hstack([cells @ counts[present].astype(np.float64) for counts in rounds])
    return resampled


def _row_intervals(resampled: Floats, units: Units) -> tuple[Interval | None, ...]:
    with np.errstate(invalid="ignore"):
        shares = resampled / resampled.sum(axis=0)
    return tuple(score_interval(share, widening=units.widening) for share in shares)
