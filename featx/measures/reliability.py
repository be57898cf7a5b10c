"""Reliability: how often a head is right when it gives its predictions a certain probability."""

from dataclasses import dataclass

import numpy as np

from featx.labels import Labels
from featx.measures.means import accuracy_interval
from featx.measures.metrics import Interval
from featx.measures.per_image import Floats, class_correctness

BINS = 10
"""Number of bins of equal width between 0 and 1."""


@dataclass(frozen=True)
class ReliabilityBin:
    """The images whose highest probability is between two numbers."""

    low: float
    high: float
    n: int
    """Number of images."""
    probability: float
    """Mean of their highest probability by weight; of a calibrated head it is the accuracy."""
    accuracy: float
    ci: Interval
    """Wilson's 95 % interval of the accuracy."""


def measure_reliability(probabilities: Floats, labels: Labels) -> tuple[ReliabilityBin, ...]:
    """The bins that have images, from the lowest probability (Guo et al. 2017, arXiv 1706.04599, figure 1).

    The probabilities are (n, classes), in the order of the classes of the labels. A bin of images without weight is
    left out. Images with several labels have no such bins.

    >>> import numpy as np
    >>> from featx.labels import Labels
    >>> from featx.measures import measure_reliability
    >>> labels = Labels(("cat", "dog"), codes=np.array([0, 0, 1, 1]))
    >>> bins = measure_reliability(np.array([[0.95, 0.05], [0.94, 0.06], [0.4, 0.6], [0.65, 0.35]]), labels)
    >>> [(one.n, round(one.probability, 3), one.accuracy) for one in bins]
    [(2, 0.625, 0.5), (2, 0.945, 1.0)]
    """
    if labels.multilabel:
        return ()
    highest = probabilities.max(axis=1)
    correct = class_correctness(probabilities.argmax(axis=1), labels)
    place = np.minimum((highest * BINS).astype(np.int64), BINS - 1)
    found = []
    for number in range(BINS):
        images = np.flatnonzero((place == number) & (labels.weights > 0))
        if len(images):
            own = labels.take(images)
            found.append(
                ReliabilityBin(
                    low=number / BINS,
                    high=(number + 1) / BINS,
                    n=len(images),
                    probability=float(np.average(highest[images], weights=own.weights)),
                    accuracy=float(np.average(correct[images], weights=own.weights)),
                    ci=accuracy_interval(correct[images], own),
                )
            )
    return tuple(found)
