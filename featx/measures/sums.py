"""Sums over images, and the measures that are functions of such sums: all but those of rankings."""

from collections.abc import Iterator, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from featx.labels import Labels
from featx.measures.images import (
    THRESHOLD,
    Floats,
    brier_scores,
    log_losses,
    right_share,
)
from featx.measures.resampling import Units

BINS = 15
"""Of the calibration error (Guo et al. 2017, section 3)."""
Sums: TypeAlias = Mapping[str, Floats]
"""By name, (k, b): k sums, one or one a class or one a bin, on b resamples."""
_Terms: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64], Floats]
"""To which of the k sums each term belongs, of which image it is, and its value."""


class SumsOverImages:
    """The sums that the measures need, as a matrix: what they are on resamples is its product with their counts."""

    def __init__(self, probabilities: Floats, truth: Labels, units: Units) -> None:
        self._multilabel = truth.multilabel
        terms = dict(_terms(probabilities, truth))
        sizes = {"actual": len(truth.classes), "named": len(truth.classes), "hit": len(truth.classes), "gap": BINS}
        stops = np.cumsum([sizes.get(name, 1) for name in terms])
        rows = np.concatenate([row + stop for (row, _, _), stop in zip(terms.values(), [0, *stops[:-1]], strict=True)])
        images = np.concatenate([image for _, image, _ in terms.values()])
        values = truth.weights[images] * np.concatenate([value for _, _, value in terms.values()])
        self._matrix = csr_array((values, (rows, units.of_image[images])), shape=(int(stops[-1]), units.count))
        self._names, self._stops = tuple(terms), stops[:-1]

    def measure(self, counts: NDArray[np.uint8]) -> dict[str, Floats]:
        """The measures on these resamples (units, b), as `measure_sums` gives them."""
        summed = np.split(self._matrix @ counts.astype(np.float64), self._stops)
        return measure_sums(dict(zip(self._names, summed, strict=True)), multilabel=self._multilabel)


def _terms(probabilities: Floats, truth: Labels) -> Iterator[tuple[str, _Terms]]:
    images, right = np.arange(len(truth)), right_share(probabilities, truth)
    one = np.zeros(len(truth), np.int64)
    yield "weight", (one, images, np.ones(len(truth)))
    yield "right", (one, images, right)
    yield "log_loss", (one, images, log_losses(probabilities, truth))
    yield "brier", (one, images, brier_scores(probabilities, truth))
    of, column, share = truth.entries
    yield "actual", (column, of, share)
    if truth.multilabel:
        of, column = np.nonzero(probabilities > THRESHOLD)
        yield "named", (column, of, np.ones(len(of)))
        yield "hit", (column, of, truth.shares[of, column])
    else:
        guess, highest = probabilities.argmax(axis=1), probabilities.max(axis=1)
        yield "named", (guess, images, np.ones(len(truth)))
        yield "hit", (guess, images, right)
        bins = np.clip(np.ceil(highest * BINS).astype(np.int64) - 1, 0, BINS - 1)
        yield "gap", (bins, images, highest - right)


def measure_sums(sums: Sums, *, multilabel: bool) -> dict[str, Floats]:
    """The measures on each of b resamples, (b,), (classes, b) and (BINS, b); NaN where one is not defined."""
    weight, actual, named, hit = sums["weight"][0], sums["actual"], sums["named"], sums["hit"]
    with np.errstate(divide="ignore", invalid="ignore"):
        precision, recall, f1 = hit / named, hit / truth, 2 * hit / (truth + named)
        found = {name: sums[key][0] / weight for name, key in _MEANS.items()}
        found |= {"macro_f1": mean_over_classes(f1)}
        if multilabel:
            wrong = (truth + named - 2 * hit).sum(axis=0)
            found["hamming_loss"] = wrong / (weight * len(truth))
            found["micro_f1"] = 2 * hit.sum(axis=0) / (truth + named).sum(axis=0)
        else:
            found["balanced_accuracy"] = mean_over_classes(recall)
            found["bin.gap"] = sums["gap"] / weight
            found["ece"] = np.abs(found["bin.gap"]).sum(axis=0)
    return found | {"class.precision": precision, "class.recall": recall, "class.f1": f1}


_MEANS = {"accuracy": "right", "log_loss": "log_loss", "brier": "brier"}


def mean_over_classes(values: Floats) -> Floats:
    """(b,): the mean of (classes, b) over the classes where it is defined; NaN where it is for none."""
    defined = np.isfinite(values)
    means: Floats = np.where(defined, values, 0).sum(axis=0) / defined.sum(axis=0)
    return means
