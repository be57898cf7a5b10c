"""What a score of a source comes to."""

from dataclasses import dataclass

import numpy as np

from featx.labels import Labels
from featx.measures import Interval, accuracy_interval
from featx.transfer.scores.rows import Floats


@dataclass(frozen=True)
class Measured:
    """The value of a score, and its interval if it is an accuracy."""

    value: float | None
    ci: Interval | None = None


def measured_accuracy(correct: Floats, labels: Labels) -> Measured:
    """The accuracy by weight of predictions that are right in `correct` (n,), with its 95 % interval."""
    return Measured(float(np.average(correct, weights=labels.weights)), accuracy_interval(correct, labels))
