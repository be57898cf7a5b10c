"""Every measure of probabilities on resamples of their images: what intervals and paired tests are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featx.errors import TableError
from featx.labels import Labels
from featx.measures.curves import rank_classes
from featx.measures.images import Floats
from featx.measures.metrics import Interval
from featx.measures.resampling import (
    ENDS,
    Units,
    affordable,
    find_interval,
    units_of,
)
from featx.measures.sums import SumsOverImages

RESAMPLES = 2000
MEASURES = (
    *("balanced_accuracy", "macro_f1", "micro_f1", "auroc", "average_precision"),
    *("log_loss", "brier", "ece", "hamming_loss"),
)
"""Of all classes together, but accuracy, whose interval may be another."""
BOUNDS: Mapping[str, Interval] = {"log_loss": (0.0, np.inf), "brier": (0.0, 2.0)}
"""Between what a measure lies, where that is not 0 and 1."""


@dataclass(frozen=True)
class Draws:
    """Measures on the images themselves, which come first, and on resamples of them."""

    values: Mapping[str, Floats]
    """By name (1 + b,), of classes ("class.recall") (classes, 1 + b); NaN where a measure is not defined."""
    units: Units
    resamples: int
    ranked: int
    """Resamples of rankings and confusions, which cost more: the first so many."""
    rounds: Sequence[NDArray[np.uint8]]
    """How often each unit is in each of those, as `Units.draw` gives it."""

    def value(self, name: str) -> float | None:
        """The measure, or None where it is not defined."""
        return defined(self.values[name]) if name in self.values else None

    def interval(self, name: str) -> Interval | None:
        """Its interval, or None where it is not defined or the resamples all give the same."""
        if name not in self.values:
            return None
        interval = find_interval(self.values[name], bounds=BOUNDS.get(name, (0.0, 1.0)))
        return _widen(interval, self.values["bin.gap"]) if name == "ece" and interval else interval


def defined(draws: Floats) -> float | None:
    """The value on the images themselves, or None where there is none."""
    return float(draws[0]) if np.isfinite(draws[0]) else None


def draw_measures(
    probabilities: Floats, truth: Labels, *, seed: int, resamples: tuple[int, int] | None = None
) -> Draws:
    """The measures of probabilities (n, classes) on resamples: of images, or of whole groups where there are some.

    `resamples`: how many, and how many of rankings; RESAMPLES where that does not cost too much.

    Raises TableError where they cannot be measured against what is true.
    """
    probabilities, units = check_probabilities(probabilities, truth), units_of(truth)
    count, ranked = resamples or (affordable(len(truth), RESAMPLES), affordable(probabilities.size, RESAMPLES))
    summed, measured, held, left = SumsOverImages(probabilities, truth, units), [], [], ranked + 1
    for counts in units.draw(count, seed=seed):
        measured.append(summed.measure(counts))
        held.append(counts[:, :left].copy())  # a view would keep all of them
        left -= held[-1].shape[1]
    values = {name: np.concatenate([part[name] for part in measured], axis=-1) for name in measured[0]}
    rounds = [counts for counts in held if counts.shape[1]]
    return Draws(values | rank_classes(probabilities, truth, units, rounds=rounds), units, count, ranked, rounds)


def check_probabilities(probabilities: Floats, truth: Labels) -> Floats:
    """The probabilities as float64. Raises TableError where they cannot be measured against what is true."""
    shape = len(truth), len(truth.classes)
    if probabilities.shape != shape:
        raise TableError(f"the probabilities are {probabilities.shape} but images and classes are {shape}; align them")
    _check_truth(truth)
    values: Floats = probabilities.astype(np.float64, copy=False)
    lowest, highest = values.min(), values.max()
    if not (lowest >= -1e-6 and highest <= 1 + 1e-6):
        raise TableError(f"probabilities lie between {lowest:g} and {highest:g}, not 0 and 1; normalise them")
    if not truth.multilabel and not np.allclose(total := values.sum(axis=1), 1, atol=1e-3):
        row = int(np.abs(total - 1).argmax())
        raise TableError(f"the probabilities of row {row} sum to {total[row]:g}, not 1; normalise them")
    return values


def _check_truth(truth: Labels) -> None:
    if not len(truth):
        raise TableError("there is no image to measure on; give some with labels")
    weight = truth.weights
    if not (weight >= 0).all() or not 0 < weight.sum() < np.inf:
        raise TableError("the weights of the evaluated images are all 0, or one is below 0; give some of them a weight")
    unknown = truth.codes < 0 if truth.given_shares is None else ~np.isfinite(truth.given_shares).all(axis=1)
    if unknown.any():
        row = int(unknown.argmax())
        raise TableError(f"row {row} has no label to compare with ({unknown.sum()} in all); leave such rows out")


def _widen(interval: Interval, gaps: Floats) -> Interval:
    """The interval of the calibration error, its lower end no higher than the error's own noise allows.

    The error is biased upwards, resamples of it twice, and even a head without any has some in a sample. But it is off
    by no more than its bins' gaps (bins, 1 + b) are, all together: by what that is on 97.5 % of the resamples.
    """
    apart = np.abs(gaps[:, 1:] - gaps[:, :1]).sum(axis=0)
    least = float(np.abs(gaps[:, 0]).sum() - np.quantile(apart[np.isfinite(apart)], ENDS[1]))
    return max(0.0, min(least, interval[0])), interval[1]
