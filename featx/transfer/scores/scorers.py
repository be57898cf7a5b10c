"""The scores by name: what each collects from the rows of a source, and the value that follows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from sklearn.metrics import average_precision_score

from featx.labels import Labels
from featx.transfer.scores.class_means import ClassMeans
from featx.transfer.scores.evidence import evidence_of
from featx.transfer.scores.gaussians import Clusters, Overlap
from featx.transfer.scores.h_score import HScore
from featx.transfer.scores.left_out import LeaveOut
from featx.transfer.scores.measured import Measured, measured_accuracy
from featx.transfer.scores.neighbours import Neighbours
from featx.transfer.scores.pac_bound import GaussianBound
from featx.transfer.scores.rows import Floats, Indices, LabelledRows
from featx.transfer.scores.source_classes import leep_of, nce_of
from featx.transfer.scores.spectrum import Spectrum, collect
from featx.transfer.scores.transrate import transrate_of


class Scorer(Protocol):
    """One score of one source."""

    def add(self, places: Indices, *, centred: Floats, turned: Floats) -> None:
        """Count these rows: minus the mean of all (b, D), and along the axes (b, k)."""

    def measured(self) -> Measured:
        """The score, after all rows."""


@dataclass(frozen=True)
class _OfAllRows:
    """A score that follows from what was collected for another one."""

    measure: Callable[[], Measured]

    def add(self, places: Indices, *, centred: Floats, turned: Floats) -> None:
        """Nothing is collected."""

    def measured(self) -> Measured:
        """The score."""
        return self.measure()


def _ridge(rows: LabelledRows, spectrum: Spectrum, leave_out: LeaveOut) -> Measured:
    """Accuracy; of images with several labels the mean average precision over the classes, with the best penalty."""
    left_out = leave_out.result()
    if not rows.labels.multilabel:
        return measured_accuracy(left_out.correct, rows.labels)
    scores = _LeftOutScores(LeaveOut(rows, spectrum, penalties=np.array([left_out.penalty])), rows)
    collect(rows, spectrum, [scores])
    return Measured(float(average_precision_score(rows.labels.shares, scores.values, sample_weight=rows.weights)))


class _LeftOutScores:
    """Collects the left-out class scores of all rows."""

    def __init__(self, leave_out: LeaveOut, rows: LabelledRows) -> None:
        self._leave_out = leave_out
        self.values = np.empty((len(rows), len(rows.totals)))

    def add(self, places: Indices, *, centred: Floats, turned: Floats) -> None:
        """Predict these rows."""
        self.values[places] = self._leave_out.scores(places, turned)


Make: TypeAlias = Callable[[LabelledRows, Spectrum, LeaveOut, int], Scorer]
SCORERS: dict[str, Make] = {
    "ridge": lambda rows, spectrum, leave_out, seed: _OfAllRows(lambda: _ridge(rows, spectrum, leave_out)),
    "press": lambda rows, spectrum, leave_out, seed: _OfAllRows(lambda: Measured(leave_out.result().press)),
    "logme": lambda rows, spectrum, leave_out, seed: _OfAllRows(lambda: Measured(evidence_of(rows, spectrum))),
    "knn": lambda rows, spectrum, leave_out, seed: Neighbours(rows, spectrum, seed=seed),
    "class-mean": lambda rows, spectrum, leave_out, seed: ClassMeans(rows, spectrum),
    "leep": lambda rows, spectrum, leave_out, seed: _OfAllRows(lambda: Measured(leep_of(rows))),
    "nce": lambda rows, spectrum, leave_out, seed: _OfAllRows(lambda: Measured(nce_of(rows))),
    "nleep": lambda rows, spectrum, leave_out, seed: Clusters(rows, spectrum, seed=seed),
    "gbc": lambda rows, spectrum, leave_out, seed: Overlap(rows, spectrum),
    "transrate": lambda rows, spectrum, leave_out, seed: _OfAllRows(lambda: Measured(transrate_of(rows, spectrum))),
    "h-score": lambda rows, spectrum, leave_out, seed: HScore(rows, spectrum),
    "pactran": lambda rows, spectrum, leave_out, seed: GaussianBound(rows, spectrum, seed=seed),
}
OF_SEVERAL_LABELS = ("ridge", "press", "logme")
OF_CLASS_SCORES = ("leep", "nce")
"""Scores that read the classes of the source, not its features."""
OF_PLAIN_LABELS = ("nleep", "transrate", "h-score")
"""Scores of images that have one class each, and the same weight."""


def is_defined(score: str, labels: Labels) -> bool:
    """Whether there is such a score for these labels: one or several an image, soft, weighted."""
    if labels.multilabel:
        return score in OF_SEVERAL_LABELS
    plain = labels.given_weights is None and labels.given_shares is None
    return plain or score not in OF_PLAIN_LABELS


def is_known(score: str, rows: LabelledRows) -> bool:
    """Whether these rows of a source have the score."""
    return is_defined(score, rows.labels) and (rows.class_scores or score not in OF_CLASS_SCORES)
