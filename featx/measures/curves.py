"""Measures of how a class's probability ranks the images: area under the ROC curve and average precision."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from featx.labels import Labels
from featx.measures.per_image import Floats, class_share
from featx.measures.resampling import Units
from featx.measures.sums import mean_over_classes


def curve_measures(
    probabilities: Floats, labels: Labels, units: Units, *, rounds: Sequence[NDArray[np.uint8]]
) -> dict[str, Floats]:
    """AUROC and average precision on each of b resamples: means over classes (b,), and of each class (classes, b).

    `rounds` says how often each unit is in each resample, as `Units.draw` does. A class with none or all of a
    resample's images is undefined there (NaN) and is left out of the mean.
    """
    resamples = sum(counts.shape[1] for counts in rounds)
    areas, precisions = np.full((2, len(labels.classes), resamples), np.nan)
    for column in np.flatnonzero(labels.class_totals).tolist():
        ranked = _RankedImages(
            np.ascontiguousarray(probabilities[:, column]), class_share(labels, column), labels, units
        )
        areas[column], precisions[column] = np.hstack([ranked.measure(counts) for counts in rounds])
    with np.errstate(invalid="ignore"):
        means = {"auroc": mean_over_classes(areas), "average_precision": mean_over_classes(precisions)}
    return means | {"class.auroc": areas, "class.average_precision": precisions}


class _RankedImages:
    """The images by falling score, gathered into steps: images of equal score, or a run of images without the class.

    Between two steps with images of the class, the order of the other images does not matter.
    """

    def __init__(self, scores: Floats, share: Floats, labels: Labels, units: Units) -> None:
        order = np.argsort(-scores, kind="stable")
        step = _steps(scores[order], share[order])
        unit = units.of_image[order]
        self._inside = _sum_by_step(step, unit, (labels.weights * share)[order], units=units)
        self._outside = _sum_by_step(step, unit, (labels.weights * (1 - share))[order], units=units)

    def measure(self, counts: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """AUROC and average precision (b,) on these resamples (units, b); images of equal score are one step."""
        drawn = counts.astype(np.float64)
        inside = self._inside @ drawn
        outside = self._outside @ drawn
        inside_above = inside.cumsum(axis=0)
        outside_above = outside.cumsum(axis=0)
        total = inside_above[-1]
        total_outside = outside_above[-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            precision = np.where(inside > 0, inside_above / (inside_above + outside_above), 0)
            average = np.einsum("sb,sb->b", inside, precision) / total
            before = np.einsum("sb,sb->b", inside, outside_above) - np.einsum("sb,sb->b", inside, outside) / 2
            area = 1 - before / (total * total_outside)
        defined = (total > 0) & (total_outside > 0)
        return np.where(defined, np.clip(area, 0, 1), np.nan), np.where(defined, np.minimum(average, 1), np.nan)


def _steps(scores: Floats, share: Floats) -> NDArray[np.int64]:
    """The step of each image (n,), from 0, for images in the order of falling score."""
    equal = np.concatenate([[0], np.cumsum(scores[1:] != scores[:-1])])
    with_class = np.bincount(equal, share) > 0
    starts = np.concatenate([[False], with_class[1:] | with_class[:-1]])
    steps: NDArray[np.int64] = np.cumsum(starts)[equal]
    return steps


def _sum_by_step(step: NDArray[np.int64], unit: NDArray[np.int64], value: Floats, *, units: Units) -> csr_array:
    """The values of the images of each step and unit, (steps, units)."""
    some = value > 0
    ends = np.cumsum(np.bincount(step[some], minlength=step[-1] + 1))
    return csr_array((value[some], unit[some], np.concatenate([[0], ends])), shape=(len(ends), units.count))
