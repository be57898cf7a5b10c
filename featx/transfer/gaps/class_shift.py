"""The shares of the source's classes in the target, by a head of the source that saw neither the row nor its unit."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from featx.estimators import SoftmaxRegression, class_scores
from featx.labels import Labels
from featx.measures import bbse_shares, em_shares, fit_temperature, to_probabilities
from featx.transfer.gaps.rows import Floats, GapRows, Indices

L2 = 30.0
"""Penalty of the head, for coordinates whose mean square is 1."""
FLOOR = 0.1
"""Part of its weight that every image of the source keeps."""


@dataclass(frozen=True)
class ClassShift:
    """What a cross-fitted, calibrated head of the source says about classes."""

    labels: Labels
    """Of the k labelled rows of the source; without classes that are in one fold only."""
    labelled: Indices
    """(k,): which rows of the source these are."""
    source_probabilities: Floats
    """(k, K): of the labelled rows of the source."""
    target_probabilities: Floats
    """(m, K): of the rows of the target, each from the head of one fold."""
    em: Floats
    """(K,): the shares in the target by EM."""

    @cached_property
    def bbse(self) -> Floats:
        """(K,): the shares in the target by black-box shift estimation."""
        in_target, in_source = predictions(self.target_probabilities), predictions(self.source_probabilities)
        return bbse_shares(in_target, in_source, self.labels.codes)

    @property
    def source_shares(self) -> Floats:
        """(K,): the share of each class in the source."""
        return shares_of(self.labels)

    @property
    def weights(self) -> Floats:
        """(k,): what makes the labelled rows of the source have the target's shares of classes, for the most part."""
        ratio = (1 - FLOOR) * self.em / self.source_shares + FLOOR
        given = self.labels.given_shares
        weights: Floats = ratio[self.labels.codes] if given is None else given @ ratio
        return weights


def estimate_shares(rows: GapRows, folds: Indices) -> ClassShift | None:
    """The shares of classes in the target; None unless the source has labels of two classes that are in two folds."""
    kept = _learnable(rows.labels, folds[rows.labelled])
    labels, labelled = _without_absent(rows.labels.take(kept)), rows.labelled[kept]
    if len(labels.classes) < 2 or labels.multilabel:
        return None
    of_source, of_target = _cross_fit(rows, folds, labelled=labelled, labels=labels)
    temperature = fit_temperature(of_source, labels)
    of_source, of_target = (to_probabilities(one, temperature=temperature) for one in (of_source, of_target))
    return ClassShift(
        labels=labels,
        labelled=labelled,
        source_probabilities=of_source,
        target_probabilities=of_target,
        em=em_shares(of_target, shares_of(labels)),
    )


def shares_of(labels: Labels) -> Floats:
    """(K,): the share of each class, by the weights of images."""
    shares: Floats = labels.class_totals / labels.class_totals.sum()
    return shares


def predictions(probabilities: Floats) -> Floats:
    """Rows (n, classes) that have 1 for the most probable class of an image, and 0 for all others."""
    predicted: Floats = np.eye(probabilities.shape[1])[probabilities.argmax(axis=1)]
    return predicted


def _learnable(labels: Labels, folds: Indices) -> Indices:
    """The rows whose class is in two folds, so that a head which has not seen one of them knows the class."""
    pairs = np.unique(np.stack([labels.codes, folds]), axis=1)
    in_folds = np.bincount(pairs[0], minlength=len(labels.classes)) if len(labels) else np.zeros(0, np.int64)
    return np.flatnonzero(in_folds[labels.codes] > 1)


def _without_absent(labels: Labels) -> Labels:
    """The labels with only the classes that some image has."""
    present = np.flatnonzero(labels.class_totals > 0)
    given = None if labels.given_shares is None else labels.given_shares[:, present]
    return replace(
        labels,
        classes=tuple(labels.classes[number] for number in present),
        codes=np.searchsorted(present, labels.codes),
        given_shares=None if given is None else given / given.sum(axis=1, keepdims=True),
    )


def _cross_fit(rows: GapRows, folds: Indices, *, labelled: Indices, labels: Labels) -> tuple[Floats, Floats]:
    """The class scores of the labelled rows of the source and of all rows of the target, fold by fold."""
    count = len(rows.source)
    target = rows.directions[count:]
    own, of_target = folds[labelled], folds[count:]
    source_scores = np.empty((len(labels), len(labels.classes)))
    target_scores = np.empty((len(target), len(labels.classes)))
    for fold in np.unique(folds):
        learnt, tested = labelled[own != fold], labelled[own == fold]
        head = SoftmaxRegression(L2).fit_soft(
            rows.directions[learnt], labels.shares[own != fold], sample_weight=labels.weights[own != fold]
        )
        if len(tested):
            source_scores[own == fold] = class_scores(head, rows.directions[tested])
        if (of_target == fold).any():
            target_scores[of_target == fold] = class_scores(head, target[of_target == fold])
    return source_scores, target_scores
