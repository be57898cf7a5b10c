"""Measures of how a class's probability ranks the images: area under the ROC curve and average precision."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from featx.labels import Labels
from featx.measures.images import Floats, class_share
from featx.measures.resampling import Units
from featx.measures.sums import mean_over_classes


def rank_classes(
    probabilities: Floats, truth: Labels, units: Units, *, rounds: Sequence[NDArray[np.uint8]]
) -> dict[str, Floats]:
    """AUROC and average precision on each of b resamples, (b,), and those of each class, (classes, b).

    `rounds`: how often each unit is in each resample, as `Units.draw` gives it. A class that none or all of a
    resample's images are of is not ranked there: NaN, and no part of the mean.
    """
    areas, precisions = np.full((2, len(truth.classes), sum(counts.shape[1] for counts in rounds)), np.nan)
    for column in np.flatnonzero(truth.class_totals).tolist():
        ranked = _Ranked(np.ascontiguousarray(probabilities[:, column]), class_share(truth, column), truth, units)
        areas[column], precisions[column] = np.hstack([ranked.measure(counts) for counts in rounds])
    with np.errstate(invalid="ignore"):
        means = {"auroc": mean_over_classes(areas), "average_precision": mean_over_classes(precisions)}
    return means | {"class.auroc": areas, "class.average_precision": precisions}


class _Ranked:
    """The images in order of falling score, by steps: those of equal score, or a run of none that is of the class.

    Between two steps that hold images of the class, the order of the others changes nothing.
    """

    def __init__(self, scores: Floats, share: Floats, truth: Labels, units: Units) -> None:
        order = np.argsort(-scores, kind="stable")
        step, unit = _steps(scores[order], share[order]), units.of_image[order]
        self._inside = _by_step(step, unit, (truth.weights * share)[order], units=units)
        self._outside = _by_step(step, unit, (truth.weights * (1 - share))[order], units=units)

    def measure(self, counts: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """AUROC and average precision (b,) on these resamples (units, b); images of equal score count as one step."""
        drawn = counts.astype(np.float64)
        inside, outside = self._inside @ drawn, self._outside @ drawn
        inside_above, outside_above = inside.cumsum(axis=0), outside.cumsum(axis=0)
        total, total_outside = inside_above[-1], outside_above[-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            precision = np.where(inside > 0, inside_above / (inside_above + outside_above), 0)
            average = np.einsum("sb,sb->b", inside, precision) / total
            before = np.einsum("sb,sb->b", inside, outside_above) - np.einsum("sb,sb->b", inside, outside) / 2
            area = 1 - before / (total * total_outside)
        ranked = (total > 0) & (total_outside > 0)
        return np.where(ranked, np.clip(area, 0, 1), np.nan), np.where(ranked, np.minimum(average, 1), np.nan)


def _steps(scores: Floats, share: Floats) -> NDArray[np.int64]:
    """(n,): the step of each image, from 0, where they stand in order of falling score."""
    equal = np.concatenate([[0], np.cumsum(scores[1:] != scores[:-1])])
    holds = np.bincount(equal, share) > 0
    starts = np.concatenate([[False], holds[1:] | holds[:-1]])
    steps: NDArray[np.int64] = np.cumsum(starts)[equal]
    return steps


def _by_step(step: NDArray[np.int64], unit: NDArray[np.int64], value: Floats, *, units: Units) -> csr_array:
    """(steps, units): the values of each step's images."""
    some = value > 0
    ends = np.cumsum(np.bincount(step[some], minlength=step[-1] + 1))
    return csr_array((value[some], unit[some], np.concatenate([[0], ends])), shape=(len(ends), units.count))
