"""Finds images whose label is probably wrong, by classifiers that did not see them and by their nearest images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from featx.cache import FeatureTable
from featx.errors import TableError
from featx.estimators import SoftmaxRegression, converging
from featx.tables import (
    GivenTables,
    RowIndices,
    as_table,
    check_range,
    directions,
    eligible_rows,
    make_folds,
)

REFERENCES = 20_000
"""Number of labelled images among which neighbours are searched for; if there are more, they are chosen by name."""
AT_ONCE = 1024
"""Number of images whose neighbours are searched for at a time: 80 MB of cosines."""
CHANCES = 0.01, 0.1
"""Added to the probability and to the share of the neighbours of every class, so that neither alone rules it out."""
PART_OF_BOTH = 0.8
"""The part of the evidence that is the product of both; the rest is the probability. Chosen on digits and clothes."""
HABIT = 8.0
"""Weight of a one-sided confusion of two classes for each standard error above one; chosen on digits and clothes."""
STRONG_L2 = 100.0
"""Penalty of the default classifier on standardised features, strong enough not to learn wrong labels by heart."""


@dataclass(frozen=True)
class LabelError:
    """The evidence of the features about the label of one image.

    >>> import featx
    >>> first = featx.find_label_errors(featx.read_features("photos.h5"))[0]
    >>> first.label in ("circle", "cross", "square", "star", "triangle"), -1 <= first.score <= 1
    (True, True)
    """

    name: str
    """Name of the image."""
    label: str
    """The label that it has."""
    suggested: str
    """The class with the most evidence; the label itself if no other class has more."""
    self_confidence: float
    """Probability of the label by classifiers that did not see the image."""
    neighbour_share: float
    """Share of the nearest images that have the same label."""
    score: float
    """1 minus twice the evidence for the label: -1 to 1, above 0 only if another class has more evidence."""


def find_label_errors(
    table: GivenTables,
    *,
    classifier: BaseEstimator | None = None,
    folds: int = 5,
    repeats: int = 2,
    neighbours: int = 10,
    seed: int = 0,
) -> tuple[LabelError, ...]:
    """All labelled images, with those first whose label is most probably wrong; the order of the rows does not matter.

    The evidence for a class is mostly the product of two numbers, scaled to sum to 1 over the classes. One is its
    out-of-fold probability divided by the mean of that probability over images with this label, the threshold of
    confident learning (Northcutt, Jiang and Chuang 2021, arXiv 1911.00068); the stratified folds are repeated and keep
    groups together. The other is its share of the labels of the nearest images of other groups, by the cosine of
    centred features. The out-of-fold probability itself is a fifth of the evidence. A class counts more against a label
    if images with this label resemble that class more often than the other way round: classes that are alike are
    confused in both directions, a habit of whoever labelled them goes in one. Images are ranked by the evidence for
    their label alone: where classes are alike, that for the best other class misleads. A soft label counts as the class
    with the largest share.

    `classifier` is an unfitted scikit-learn classifier with `predict_proba` (default: logistic regression on
    standardised features). Raises TableError if the table is multi-label, a class has too few images for the folds or
    there are fewer than 2 folds, 1 repeat or 1 neighbour; ConvergenceError if the classifier does not converge.

    >>> import featx
    >>> from dataclasses import replace
    >>> table = featx.read_features("photos.h5")
    >>> wrong = table.labels.copy()
    >>> wrong[0] = 3  # the first circle becomes a star
    >>> found = featx.find_label_errors(replace(table, labels=wrong))
    >>> len(found), [error.label for error in found if error.name == table.name(0)]
    (60, ['star'])
    """
    for name, least, number in (("folds", 2, folds), ("repeats", 1, repeats), ("neighbours", 1, neighbours)):
        if number < least:
            raise TableError(f"{name} must be {least} or more, not {number}")
    table = as_table(table)
    if table.multilabel:
        raise TableError(
            "finding label errors needs images with one label each, but these are multi-label; "
            "give one label with --annotations"
        )
    labelled = _collect_labelled(table)
    unfitted = classifier or make_pipeline(StandardScaler(), SoftmaxRegression(STRONG_L2))
    draws = [make_folds(table, labelled.rows, folds=folds, seed=seed + repeat) for repeat in range(repeats)]
    probabilities = np.mean([_predict_out_of_fold(unfitted, labelled, draw) for draw in draws], axis=0)
    votes = _vote(labelled, neighbours=neighbours)
    names = [table.name(int(row)) for row in labelled.rows]
    return _rank(names, labelled, probabilities=probabilities, votes=votes)


@dataclass(frozen=True)
class _LabelledImages:
    """The labelled images in the order of their names; every array has one entry per image."""

    rows: RowIndices
    features: NDArray[np.float32]
    classes: tuple[str, ...]
    """The classes that some image has."""
    codes: NDArray[np.int64]
    """Positions of the labels in `classes`."""
    weights: NDArray[np.float32] | None
    units: NDArray[np.int64]
    """Images of one unit (a group, or one image) are no evidence for each other."""
    references: RowIndices
    """Positions of the images among which neighbours are searched for."""


def _collect_labelled(table: FeatureTable) -> _LabelledImages:
    eligible = eligible_rows(table)
    order = np.argsort(table.names[eligible.rows])
    rows = eligible.rows[order]
    present, codes = np.unique(eligible.members[1][order], return_inverse=True)
    features = table.take(rows)
    check_range(features, lambda row: f"the features of {table.name(int(rows[row]))} are")
    return _LabelledImages(
        rows=rows,
        features=features,
        classes=tuple(table.classes[index] for index in present),
        codes=codes,
        weights=None if table.weights is None else table.weights[rows],
        units=np.arange(len(order)) if eligible.units is None else eligible.units[order],
        references=np.argsort(eligible.keys[order])[:REFERENCES],
    )


def _predict_out_of_fold(
    classifier: BaseEstimator, labelled: _LabelledImages, folds: Sequence[tuple[RowIndices, RowIndices]]
) -> NDArray[np.float64]:
    """Probabilities (n, classes) of each image by a classifier that was fitted without it."""
    probabilities = np.empty((len(labelled.rows), labelled.codes.max() + 1))
    for fit, held_out in folds:
        model = clone(classifier)
        weighting = f"{model.steps[-1][0]}__sample_weight" if isinstance(model, Pipeline) else "sample_weight"
        weights = {} if labelled.weights is None else {weighting: labelled.weights[fit]}
        with converging(f"{model}, fitted to {len(fit)} images,", step="choose another classifier"):
            model.fit(labelled.features[fit], labelled.codes[fit], **weights)
        probabilities[held_out] = model.predict_proba(labelled.features[held_out])
    return probabilities


def _vote(labelled: _LabelledImages, *, neighbours: int) -> NDArray[np.float64]:
    """Shares (n, classes) of the labels of each image's nearest references that are of another unit."""
    references = labelled.references
    mean = labelled.features.mean(axis=0, dtype=np.float64)
    right = directions(labelled.features[references], mean)
    codes = labelled.codes[references]
    votes = np.zeros((len(labelled.rows), labelled.codes.max() + 1))
    count = min(neighbours, len(references))
    for start in range(0, len(votes), AT_ONCE):
        rows = np.arange(start, min(start + AT_ONCE, len(votes)))
        cosines = directions(labelled.features[rows], mean) @ right.T
        cosines[labelled.units[rows, None] == labelled.units[references]] = -np.inf
        nearest = np.argpartition(cosines, -count, axis=1)[:, -count:]
        counted = np.take_along_axis(cosines, nearest, axis=1) > -np.inf
        np.add.at(votes, (np.broadcast_to(rows[:, None], nearest.shape), codes[nearest]), counted)
    votes /= np.maximum(votes.sum(axis=1, keepdims=True), 1)
    return votes


def _rank(
    names: Sequence[str],
    labelled: _LabelledImages,
    *,
    probabilities: NDArray[np.float64],
    votes: NDArray[np.float64],
) -> tuple[LabelError, ...]:
    codes = labelled.codes
    rows = np.arange(len(codes))
    evidence = _weigh_habits(_combine(codes, probabilities, votes), codes)
    own = evidence[rows, codes]
    others = evidence.copy()
    others[rows, codes] = -np.inf
    preferred = others.max(axis=1) > own
    scores = np.where(preferred, 1 - 2 * own, np.minimum(1 - 2 * own, 0))
    suggested = np.where(preferred, others.argmax(axis=1), codes)
    return tuple(
        LabelError(
            name=names[row],
            label=labelled.classes[codes[row]],
            suggested=labelled.classes[suggested[row]],
            self_confidence=float(probabilities[row, codes[row]]),
            neighbour_share=float(votes[row, codes[row]]),
            score=float(scores[row]),
        )
        for row in np.argsort(-scores, kind="stable").tolist()
    )


def _combine(
    codes: NDArray[np.int64], probabilities: NDArray[np.float64], votes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The evidence (n, classes) for each class, which sums to 1 for each image."""
    thresholds = np.bincount(codes, probabilities[np.arange(len(codes)), codes]) / np.bincount(codes)
    relative = probabilities / np.maximum(thresholds, np.finfo(np.float64).tiny)
    relative /= relative.sum(axis=1, keepdims=True)
    both = (relative + CHANCES[0]) * (votes + CHANCES[1])
    both /= both.sum(axis=1, keepdims=True)
    evidence: NDArray[np.float64] = PART_OF_BOTH * both + (1 - PART_OF_BOTH) * probabilities
    return evidence


def _weigh_habits(evidence: NDArray[np.float64], codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """The evidence with more weight on classes that images of the same label resemble in one direction only."""
    classes = evidence.shape[1]
    confused = np.zeros((classes, classes))
    np.add.at(confused, codes, evidence)  # the label, and what its images resemble
    excess = (confused - confused.T) / np.sqrt(confused + confused.T + 1)
    weighed: NDArray[np.float64] = evidence * (1 + HABIT * np.maximum(0, excess - 1))[codes]
    weighed /= weighed.sum(axis=1, keepdims=True)
    return weighed
