"""What predicts the classes of test images, on every split of one kind: a head on a source, or the majority class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable
from featx.compare import Candidate, Outcome, SplitImages, predicted_classes
from featx.heads import Result
from featx.labels import Labels
from featx.measures import Interval, class_correctness, resample_measure
from featx.tables import Split, tuning_folds
from featx.transfer.gains.gain import MAJORITY
from featx.transfer.scores.rows import Floats

TIE = 1e-9
"""Classes whose weights differ by less, relative to the largest, are equally frequent."""


@dataclass(frozen=True)
class Predictor:
    """A head on one source, or the majority class, with what it reached on every split."""

    label: str
    """The backbone, with its output if several sources are of it."""
    backbone: str
    output: str
    head: str
    validated: float
    """Mean over the splits of the measure on validation images."""
    validated_loss: float
    """Mean over the splits of the log loss there; infinite if it is not known."""
    outcomes: tuple[Outcome, ...]
    """On the test images of each split."""
    correct: tuple[Floats, ...]
    """For each split, how much of each test image (n,) is right; empty for images with several labels."""
    interval: Interval | None = None
    """95 % interval of the measure if there is one split."""
    fixed: bool = False
    """Whether it always predicts the same single class."""

    @property
    def name(self) -> str:
        """Differs between all predictors of one kind of split."""
        return f"{self.head} on {self.label}" if self.head else self.label

    @property
    def values(self) -> Floats:
        """(splits,): the measure on the test images of each."""
        return np.array([outcome.value for outcome in self.outcomes])

    @property
    def validity(self) -> tuple[float, float]:
        """What the best of several is chosen by, larger is better."""
        return float(np.nan_to_num(self.validated, nan=-np.inf)), -self.validated_loss


def join_results(
    candidates: Sequence[Candidate], results: Mapping[str, Result], images: SplitImages
) -> Predictor | None:
    """The predictor of candidates that differ only in their split, one for each; None if a split has no result."""
    if not all(candidate.key in results for candidate in candidates):
        return None
    found = [results[candidate.key] for candidate in candidates]
    first = candidates[0]
    source = first.table.sources[0]
    losses = [np.inf if result.validated_loss is None else result.validated_loss for result in found]
    return Predictor(
        label=first.backbones[0],
        backbone=source.name,
        output=source.output,
        head=first.head,
        validated=float(np.mean([result.validated for result in found])),
        validated_loss=float(np.mean(losses)),
        outcomes=tuple(images.outcome(result, place) for place, result in enumerate(found)),
        correct=() if images.multilabel else tuple(map(_correct, found, images.labels)),
        interval=getattr(found[0].metrics, f"{found[0].measure}_ci") if len(found) == 1 else None,
    )


def _correct(result: Result, labels: Labels) -> Floats:
    return class_correctness(predicted_classes(result, labels), labels)


def majority_predictor(table: FeatureTable, images: SplitImages, *, folds: Sequence[int | None]) -> Predictor:
    """The baseline that always predicts the class with the most weight among the rows that heads are fitted on.

    Among classes of equal weight a fair choice is made: its expectation counts. `folds` has the number of folds that
    heads are tuned in for each split, so that validation is on the same images. For several labels, every image has the
    same probabilities, the shares of the classes.
    """
    outcomes = [_outcome(table, images, place) for place in range(len(images.splits))]
    return Predictor(
        label=MAJORITY,
        backbone=MAJORITY,
        output="",
        head="",
        validated=_validate(table, images, folds),
        validated_loss=np.inf,
        outcomes=tuple(outcomes),
        correct=() if images.multilabel else tuple(_share_right(table, split) for split in images.splits),
        fixed=all(len(most_frequent(table.labels_of(split.fitted))) == 1 for split in images.splits),
    )


def most_frequent(labels: Labels) -> NDArray[np.int64]:
    """The positions of the classes that have the most weight; several if these are equal."""
    totals = labels.class_totals
    return np.flatnonzero(totals >= totals.max() * (1 - TIE))


def _share_right(table: FeatureTable, split: Split) -> Floats:
    """(n,): how often each test image is right if the majority class is chosen among equals."""
    return _mean_correct(most_frequent(table.labels_of(split.fitted)), table.labels_of(split.test))


def _mean_correct(classes: NDArray[np.int64], labels: Labels) -> Floats:
    guesses = (np.full(len(labels), one) for one in classes)
    return np.asarray(np.mean([class_correctness(guess, labels) for guess in guesses], axis=0))


def _outcome(table: FeatureTable, images: SplitImages, place: int) -> Outcome:
    split, labels = images.splits[place], images.labels[place]
    fitted = table.labels_of(split.fitted)
    if images.multilabel:
        same = np.tile(_shares(fitted), (len(labels), 1))
        drawn = resample_measure(same, labels, measure="average_precision", seed=images.seed)
        return Outcome(float(drawn[0]), drawn)
    if images.balanced:
        chosen = _first_present(most_frequent(fitted), labels)
        return Outcome(_mean_recall(most_frequent(fitted), labels), np.full(len(labels), chosen))
    right = _mean_correct(most_frequent(fitted), labels)
    return Outcome(float(np.average(right, weights=labels.weights)), right)


def _validate(table: FeatureTable, images: SplitImages, folds: Sequence[int | None]) -> float:
    """The mean over the splits of the measure of the majority class on the images that heads are validated on."""
    of_splits = []
    for split, number in zip(images.splits, folds, strict=True):
        values, weights = [], []
        for fit, held_out in tuning_folds(table, split, folds=number, seed=images.seed):
            labels = table.labels_of(held_out)
            values.append(_measure(table.labels_of(fit), labels, balanced=images.balanced))
            weights.append(labels.weights.sum())
        of_splits.append(np.average(values, weights=weights))
    return float(np.mean(of_splits))


def _measure(fitted: Labels, labels: Labels, *, balanced: bool) -> float:
    if labels.multilabel:
        positives = labels.class_totals
        return float((positives[positives > 0] / labels.weights.sum()).mean())
    classes = most_frequent(fitted)
    if balanced:
        return _mean_recall(classes, labels)
    return float(np.average(_mean_correct(classes, labels), weights=labels.weights))


def _shares(labels: Labels) -> Floats:
    return np.asarray(labels.class_totals / labels.weights.sum())


def _mean_recall(classes: NDArray[np.int64], labels: Labels) -> float:
    """The balanced accuracy of always naming one of these classes, which some image has: its recall is 1, others 0."""
    present = labels.class_totals > 0
    return float(present[classes].any() / present.sum())


def _first_present(classes: NDArray[np.int64], labels: Labels) -> int:
    """The first of these classes that some image has; the first one if none has any."""
    present = classes[labels.class_totals[classes] > 0]
    return int((present if len(present) else classes)[0])
