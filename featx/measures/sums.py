"""The measures that are functions of sums over images: all but AUROC and average precision."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from featx.labels import Labels
from featx.measures.per_image import (
    THRESHOLD,
    Floats,
    brier_scores,
    correctness,
    log_losses,
)
from featx.measures.resampling import Units

CALIBRATION_BINS = 15
"""Number of bins of the calibration error (Guo et al. 2017, section 3)."""
MEANS = {"accuracy": "correct", "log_loss": "log_loss", "brier": "brier"}
"""Measure -> the sum over images that is the measure if it is divided by the sum of weights."""
Sums: TypeAlias = Mapping[str, Floats]
"""By name, k sums on b resamples (k, b): k is 1, the number of classes or the number of bins."""


@dataclass(frozen=True)
class _Terms:
    """The terms of k sums: one entry per term in each array."""

    name: str
    count: int
    """k"""
    place: NDArray[np.int64]
    """Which of the k sums the term belongs to."""
    image: NDArray[np.int64]
    value: Floats
    """Before the weight of the image is applied."""


class SumsOverImages:
    """All sums that the measures need as one matrix (sums, units): multiplied by counts, it gives them on resamples."""

    def __init__(self, probabilities: Floats, labels: Labels, units: Units) -> None:
        terms = list(_terms(probabilities, labels))
        stops = np.cumsum([term.count for term in terms])
        starts = [0, *stops[:-1]]
        rows = np.concatenate([term.place + start for term, start in zip(terms, starts, strict=True)])
        images = np.concatenate([term.image for term in terms])
        values = labels.weights[images] * np.concatenate([term.value for term in terms])
        self._matrix = csr_array((values, (rows, units.of_image[images])), shape=(int(stops[-1]), units.count))
        self._names = [term.name for term in terms]
        self._stops = stops[:-1]
        self._multilabel = labels.multilabel

    def measure(self, counts: NDArray[np.uint8]) -> dict[str, Floats]:
        """The measures on these resamples (units, b), as `measure_sums` gives them."""
        summed = np.split(self._matrix @ counts.astype(np.float64), self._stops)
        return measure_sums(dict(zip(self._names, summed, strict=True)), multilabel=self._multilabel)


def _terms(probabilities: Floats, labels: Labels) -> Iterator[_Terms]:
    classes = len(labels.classes)
    images = np.arange(len(labels))
    single = np.zeros(len(labels), np.int64)
    correct = correctness(probabilities, labels)
    yield _Terms("weight", 1, single, images, np.ones(len(labels)))
    yield _Terms("correct", 1, single, images, correct)
    yield _Terms("log_loss", 1, single, images, log_losses(probabilities, labels))
    yield _Terms("brier", 1, single, images, brier_scores(probabilities, labels))
    image, column, share = labels.entries
    yield _Terms("actual", classes, column, image, share)
    if labels.multilabel:
        image, column = np.nonzero(probabilities > THRESHOLD)
        yield _Terms("predicted", classes, column, image, np.ones(len(image)))
        yield _Terms("true_positive", classes, column, image, labels.shares[image, column])
    else:
        predicted = probabilities.argmax(axis=1)
        highest = probabilities.max(axis=1)
        yield _Terms("predicted", classes, predicted, images, np.ones(len(labels)))
        yield _Terms("true_positive", classes, predicted, images, correct)
        bins = np.clip(np.ceil(highest * CALIBRATION_BINS).astype(np.int64) - 1, 0, CALIBRATION_BINS - 1)
        yield _Terms("gap", CALIBRATION_BINS, bins, images, highest - correct)


def measure_sums(sums: Sums, *, multilabel: bool) -> dict[str, Floats]:
    """The measures on each of b resamples: (b,), of classes (classes, b), of bins (bins, b); NaN if undefined."""
    weight = sums["weight"][0]
    actual = sums["actual"]
    predicted = sums["predicted"]
    true_positive = sums["true_positive"]
    with np.errstate(divide="ignore", invalid="ignore"):
        recall = true_positive / actual
        f1 = 2 * true_positive / (actual + predicted)
        found = {name: sums[of_images][0] / weight for name, of_images in MEANS.items()}
        found["macro_f1"] = mean_over_classes(f1)
        if multilabel:
            wrong = (actual + predicted - 2 * true_positive).sum(axis=0)
            found["hamming_loss"] = wrong / (weight * len(actual))
            found["micro_f1"] = 2 * true_positive.sum(axis=0) / (actual + predicted).sum(axis=0)
        else:
            found["balanced_accuracy"] = mean_over_classes(recall)
            found["bin.gap"] = sums["gap"] / weight
            found["ece"] = np.abs(found["bin.gap"]).sum(axis=0)
        return found | {"class.precision": true_positive / predicted, "class.recall": recall, "class.f1": f1}


def mean_over_classes(values: Floats) -> Floats:
    """The mean of (classes, b) over the classes for which it is defined, (b,); NaN if it is defined for none."""
    defined = np.isfinite(values)
    means: Floats = np.where(defined, values, 0).sum(axis=0) / defined.sum(axis=0)
    return means
