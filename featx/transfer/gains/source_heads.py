"""A head of one domain, and what it predicts of the images of another."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from featx.compare import Outcome, SplitImages
from featx.heads import ROWS_AT_ONCE, Head, Result
from featx.labels import Labels
from featx.measures import accuracy_interval, class_correctness, resample_measure, row_values
from featx.transfer.domains import Pair
from featx.transfer.gains.judging import interval_against_nothing
from featx.transfer.gains.predictors import Predictor
from featx.transfer.scores.rows import Floats, Indices

UNKNOWN = -1
"""Predicted class of an image if the target has no such class."""


@dataclass(frozen=True)
class SourceHead:
    """A head that was trained on the source, with what it predicts of the target."""

    pair: Pair
    head: Head
    result: Result
    """On test images of the source."""

    @cached_property
    def probabilities(self) -> Floats:
        """(n, classes of the target): of every image of the target; 0 for classes that the head does not know."""
        found = np.zeros((len(self.pair.target), len(self.pair.target.classes)))
        found[:, self._known] = self._predicted[:, self._columns]
        return found

    @cached_property
    def guesses(self) -> Indices:
        """(n,): predicted class of every image of the target; UNKNOWN if the target has no such class."""
        place = {name: index for index, name in enumerate(self.pair.target.classes)}
        of_class = np.array([place.get(name, UNKNOWN) for name in self.head.classes])
        return np.asarray(of_class[self._predicted.argmax(axis=1)])

    @cached_property
    def _predicted(self) -> Floats:
        """(n, classes of the head): of every image of the target."""
        table = self.pair.target
        self.head.check(table.sources)
        starts = range(0, len(table), ROWS_AT_ONCE)
        rows = (np.arange(start, min(start + ROWS_AT_ONCE, len(table))) for start in starts)
        return np.vstack([self.head.predict_probabilities(table.take(some)) for some in rows])

    @cached_property
    def _known(self) -> list[int]:
        """Positions of the classes of the target that the head knows."""
        return [place for place, name in enumerate(self.pair.target.classes) if name in self.head.classes]

    @property
    def _columns(self) -> list[int]:
        """Their positions in the classes of the head."""
        return [self.head.classes.index(self.pair.target.classes[place]) for place in self._known]

    def predictor(self, images: SplitImages) -> Predictor:
        """What the head reached on these test images of the target."""
        source = self.pair.source.sources[0]
        correct = () if images.multilabel else tuple(map(self._correct, images.rows, images.labels))
        found = Predictor(
            label=self.pair.label,
            backbone=source.name,
            output=source.output,
            head=self.head.name,
            validated=np.nan,
            validated_loss=np.inf,
            outcomes=tuple(self._outcome(images, place) for place in range(len(images.splits))),
            correct=correct,
        )
        if len(images.splits) > 1:
            return found
        plain = not images.multilabel and not images.balanced
        exact = accuracy_interval(correct[0], images.labels[0]) if plain else interval_against_nothing(found, images)
        return replace(found, interval=exact)

    def _correct(self, rows: Indices, labels: Labels) -> Floats:
        """(n,): how much of each of these images is right."""
        guesses = self.guesses[rows]
        return np.where(guesses == UNKNOWN, 0.0, class_correctness(np.maximum(guesses, 0), labels))

    def _outcome(self, images: SplitImages, place: int) -> Outcome:
        rows, labels = images.rows[place], images.labels[place]
        if images.multilabel:
            drawn = resample_measure(self.probabilities[rows], labels, measure="average_precision", seed=images.seed)
            return Outcome(float(drawn[0]), drawn)
        correct = self._correct(rows, labels)
        if images.balanced:
            return Outcome(_mean_recall(self.guesses[rows], labels), self.guesses[rows])
        return Outcome(float(np.average(correct, weights=labels.weights)), correct)

    def log_loss(self, images: SplitImages) -> float | None:
        """Mean log loss in nats on the test images whose classes the head knows; None if there are none."""
        rows = np.unique(np.concatenate(images.rows))
        labels = images.table.labels_of(rows)
        unknown = np.setdiff1d(np.arange(len(labels.classes)), self._known)
        kept = np.flatnonzero(labels.shares[:, unknown].sum(axis=1) == 0)
        if not len(kept):
            return None
        losses = _log_losses(self.probabilities[rows[kept]], labels.take(kept))
        return float(np.average(losses, weights=labels.weights[kept]))


def _mean_recall(guesses: Indices, labels: Labels) -> float:
    image, column, share = labels.entries
    weight = labels.weights[image] * share
    totals = np.bincount(column, weight, len(labels.classes))
    right = np.bincount(column, weight * (guesses[image] == column), len(labels.classes))
    return float((right[totals > 0] / totals[totals > 0]).mean())


def _log_losses(probabilities: Floats, labels: Labels) -> Floats:
    """(n,): nats of each image; what the head gives to classes that the target lacks counts as one more class."""
    if labels.multilabel:
        return row_values(probabilities, labels, measure="log_loss")
    rest = np.clip(1 - probabilities.sum(axis=1, keepdims=True), 0, 1)
    shares = labels.given_shares
    wider = replace(
        labels,
        classes=(*labels.classes, "another class"),
        given_shares=None if shares is None else np.hstack([shares, np.zeros_like(rest)]),
    )
    return row_values(np.hstack([probabilities, rest]), wider, measure="log_loss")
