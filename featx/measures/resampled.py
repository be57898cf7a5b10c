"""Every measure of a head on resamples of the test images, from which intervals and paired tests are computed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featx.errors import TableError
from featx.labels import Labels
from featx.measures.curves import curve_measures
from featx.measures.intervals import (
    RARE,
    effective_size,
    logit_interval,
    loss_interval,
    percentile_interval,
    score_interval,
    wilson,
)
from featx.measures.metrics import Interval
from featx.measures.per_image import Floats, correctness
from featx.measures.resampling import (
    ENDS,
    Units,
    affordable,
    kish_size,
    units_of,
)
from featx.measures.sums import SumsOverImages

RESAMPLES = 2000
MEASURES = (
    "balanced_accuracy",
    "macro_f1",
    "micro_f1",
    "auroc",
    "average_precision",
    "log_loss",
    "brier",
    "ece",
    "hamming_loss",
)
"""The measures over all classes, without accuracy, which may have another kind of interval."""
LOSSES: Mapping[str, Interval] = {"log_loss": (0.0, np.inf), "brier": (0.0, 2.0)}
"""The means of losses over images, and their range; all other measures are between 0 and 1."""
MEANS_OF_CLASSES: Mapping[str, float] = {"balanced_accuracy": 1.0, "macro_f1": 1.0, "average_precision": 0.5}
"""The means over classes that are like shares, and what an image counts for where the measure is perfect.

A perfect ranking may depend on the images of the rarer side alone, which are half of all images if all classes weigh
the same.
"""
LEAST_WRONG = 5
"""With fewer wrong images, the rare large losses that make up most of a mean are hardly in the sample."""


@dataclass(frozen=True)
class ResampledMeasures:
    """All measures on the test images (first) and on resamples of them."""

    values: Mapping[str, Floats]
    """By name (1 + b,), of classes ("class.recall") (classes, 1 + b); NaN if undefined."""
    units: Units
    resamples: int
    """Number of resamples."""
    curve_resamples: int
    """Number of resamples for AUROC, average precision and confusion, which cost more: the first of all resamples."""
    rounds: Sequence[NDArray[np.uint8]]
    """How often each unit is in each of these first resamples, as `Units.draw` gives it."""
    sizes: "EffectiveSizes"

    def value(self, name: str) -> float | None:
        """The measure on the test images, or None if it is undefined."""
        return value_or_none(self.values[name]) if name in self.values else None

    def interval(self, name: str) -> Interval | None:
        """The interval of the measure; None if it is undefined, equal on all resamples or too uncertain."""
        if name not in self.values or (name in LOSSES and self.sizes.wrong < LEAST_WRONG):
            return None
        resampled = self.values[name]
        widening = self.units.widening
        if name == "accuracy":
            return self._interval_of_accuracy()
        if name in LOSSES:
            return loss_interval(resampled, bounds=LOSSES[name], widening=widening)
        if name == "ece":
            interval = percentile_interval(resampled, widening=widening)
            return interval and _widen(interval, self.values["bin.gap"], widening=widening)
        if name == "auroc":
            return logit_interval(resampled, widening=widening, perfect=self.sizes.perfect / 2)
        counted = MEANS_OF_CLASSES.get(name)
        perfect = counted and self.sizes.perfect * counted
        most = self.sizes.balanced if counted else np.inf
        return score_interval(resampled, widening=widening, most=most, perfect=perfect)

    def _interval_of_accuracy(self) -> Interval:
        """Percentiles if images are many; else, and of groups, Wilson's interval."""
        resampled = self.values["accuracy"]
        interval = None if self.accuracy_is_rare else percentile_interval(resampled, widening=self.units.widening)
        return interval or wilson(float(resampled[0]), self.sizes.accuracy)

    @property
    def accuracy_is_rare(self) -> bool:
        """Whether accuracy has Wilson's interval: few images are wrong or few are correct, or groups were sampled."""
        share = float(self.values["accuracy"][0])
        # a whole number of images stays whole, whatever the scale of the weights
        return self.units.grouped or round(self.sizes.accuracy * min(share, 1 - share), 6) < RARE


@dataclass(frozen=True)
class EffectiveSizes:
    """How many images of equal weight these images are worth."""

    accuracy: float
    """The size that determines the accuracy as well as these images do (`effective_size`)."""
    balanced: float
    """Kish's size of the images if all classes weigh the same: few images of one class are worth little."""
    perfect: float
    """Kish's size of the units if all classes weigh the same: the images of a group may all be alike, so that a measure
    that is perfect on all images is known from this number only."""
    wrong: float
    """Kish's size of all images, times the share of those that are wrong."""

    @classmethod
    def of(cls, labels: Labels, units: Units, *, correct: Floats) -> "EffectiveSizes":
        """The sizes of images with these labels, of which these are correct (n,)."""
        image, column, share = labels.entries
        value = labels.weights[image] * share
        totals = np.bincount(column, value, len(labels.classes))
        shares = value / np.where(totals > 0, totals, 1)[column]
        weights = np.bincount(image, shares, len(labels)).astype(np.float64) if shares.any() else labels.weights
        wrong = kish_size(labels.weights) * (1 - float(np.average(correct, weights=labels.weights)))
        return cls(
            accuracy=effective_size(correct, labels.weights, units),
            balanced=kish_size(weights),
            perfect=kish_size(units.sum(weights)),
            wrong=round(wrong, 6),
        )


def value_or_none(resampled: Floats) -> float | None:
    """The value on the test images (the first of `resampled`), or None if it is undefined."""
    return float(resampled[0]) if np.isfinite(resampled[0]) else None


def resample_all(
    probabilities: Floats, labels: Labels, *, seed: int, resamples: tuple[int, int] | None = None
) -> ResampledMeasures:
    """All measures of probabilities (n, classes) on resamples of the images, or of whole groups if there are groups.

    `resamples`: their number, and the number for AUROC, average precision and confusion; by default RESAMPLES, if that
    is affordable. Raises TableError if probabilities and labels do not fit together.
    """
    probabilities = check_probabilities(probabilities, labels)
    units = units_of(labels)
    if resamples is None:
        resamples = (affordable(len(labels), RESAMPLES), affordable(probabilities.size, RESAMPLES))
    count, curve_count = resamples
    sums = SumsOverImages(probabilities, labels, units)
    measured = []
    kept = []
    left = curve_count + 1
    for counts in units.draw(count, seed=seed):
        measured.append(sums.measure(counts))
        kept.append(counts[:, :left].copy())  # a view would keep all columns in memory
        left -= kept[-1].shape[1]
    values = {name: np.concatenate([part[name] for part in measured], axis=-1) for name in measured[0]}
    rounds = [counts for counts in kept if counts.shape[1]]
    curves = curve_measures(probabilities, labels, units, rounds=rounds)
    sizes = EffectiveSizes.of(labels, units, correct=correctness(probabilities, labels))
    return ResampledMeasures(values | curves, units, count, curve_count, rounds, sizes)


def check_probabilities(probabilities: Floats, labels: Labels) -> Floats:
    """The probabilities as float64. Raises TableError if they and the labels do not fit together."""
    shape = len(labels), len(labels.classes)
    if probabilities.shape != shape:
        raise TableError(
            f"the probabilities have shape {probabilities.shape}, but there are {shape[0]} images and {shape[1]} "
            "classes; give one row per image and one column per class"
        )
    check_labels(labels)
    values: Floats = probabilities.astype(np.float64, copy=False)
    lowest = values.min()
    highest = values.max()
    if not (lowest >= -1e-6 and highest <= 1 + 1e-6):
        raise TableError(f"probabilities range from {lowest:g} to {highest:g}, not from 0 to 1; normalise them")
    if not labels.multilabel and not np.allclose(total := values.sum(axis=1), 1, atol=1e-3):
        row = int(np.abs(total - 1).argmax())
        raise TableError(f"the probabilities of row {row} sum to {total[row]:g}, not 1; normalise them")
    return values


def check_labels(labels: Labels) -> None:
    """Raise TableError if there are no images, if one has no label, or if the weights are all 0 or some negative."""
    if not len(labels):
        raise TableError("there are no images to measure on; give some with labels")
    weights = labels.weights
    if not (weights >= 0).all() or not 0 < weights.sum() < np.inf:
        raise TableError("the weights of the evaluated images are all 0, or some are negative; give positive weights")
    unknown = labels.codes < 0 if labels.given_shares is None else ~np.isfinite(labels.given_shares).all(axis=1)
    if unknown.any():
        row = int(unknown.argmax())
        raise TableError(f"row {row} has no label to compare with ({unknown.sum()} rows in total); leave them out")


def _widen(interval: Interval, gaps: Floats, *, widening: float) -> Interval:
    """The interval of the calibration error (ECE), with its lower end moved down by the bias that ECE may have.

    ECE is biased upwards, on resamples twice: even a perfectly calibrated head has an ECE above 0 on a sample. The bias
    is at most the sum of the errors of its bins' gaps (bins, 1 + b), so the new lower end is the ECE minus what that
    sum stays below on 97.5 % of the resamples.
    """
    errors = np.abs(gaps[:, 1:] - gaps[:, :1]).sum(axis=0)
    error = widening * float(np.quantile(errors[np.isfinite(errors)], ENDS[1]))
    least = float(np.abs(gaps[:, 0]).sum()) - error
    return max(0.0, min(least, interval[0])), interval[1]
