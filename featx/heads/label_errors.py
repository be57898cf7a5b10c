"""A labelled table in; its images ranked by how likely their label is wrong, out."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from featx.cache import FeatureTable
from featx.errors import HeadError, TableError
from featx.estimators import SoftmaxRegression
from featx.tables import (
    Rows,
    directions,
    make_folds,
    taking_part,
)

FOLDS, REPEATS = 5, 2
NEIGHBOURS = 10
REFERENCES = 20_000
"""Labelled images among which neighbours are looked for, chosen by their names where there are more."""
AT_ONCE = 1024
"""Images that look for their neighbours at once: 80 MB of cosines."""
L2 = 100.0
"""Penalty of the classifier on standardised features, strong enough that wrong labels are not learnt by heart."""


@dataclass(frozen=True)
class LabelError:
    """What features say of an image's label."""

    name: str
    label: str
    suggested: str
    """The class that the evidence prefers; the label itself where it does."""
    self_confidence: float
    """Probability of the label by classifiers that did not see the image."""
    neighbour_share: float
    """Share of the nearest images that have the same label."""
    score: float
    """Evidence for the best other class less that for the label: -1 to 1, above 0 where another class is preferred."""


def find_label_errors(
    table: FeatureTable,
    *,
    classifier: BaseEstimator | None = None,
    folds: int = FOLDS,
    repeats: int = REPEATS,
    neighbours: int = NEIGHBOURS,
    seed: int = 0,
) -> tuple[LabelError, ...]:
    """All labelled images, those most likely mislabelled first; the order of the table's rows does not matter.

    The evidence for a class is the mean of two numbers. One is its out-of-fold probability over the mean of that among
    images labelled so, the threshold of confident learning (Northcutt, Jiang and Chuang 2021, arXiv 1911.00068), scaled
    to sum to 1 over the classes; the stratified folds are repeated and keep groups together. The other is its share of
    the labels of the nearest images of other groups, by the cosine of centred features. Soft labels count as their
    largest share.

    `classifier` is an unfitted one of scikit-learn's kind with `predict_proba` (default: logistic regression on
    standardised features). Raises TableError where images have several labels or a class cannot fill the folds,
    HeadError where the classifier does not converge.
    """
    if table.multilabel:
        raise TableError(
            "label errors are looked for where each image has one label, and these have several; "
            "give one with --annotations"
        )
    pool = taking_part(table)
    order = np.argsort(table.names[pool.rows])
    classes, labels = np.unique(pool.members[1][order], return_inverse=True)
    known = _Known(
        pool.rows[order],
        table.take(pool.rows[order]),
        labels,
        None if table.weights is None else table.weights[pool.rows[order]],
        np.arange(len(order)) if pool.units is None else pool.units[order],
    )
    draws = [make_folds(table, known.rows, folds=folds, seed=one) for one in range(seed, seed + repeats)]
    probabilities = np.mean([_predict(classifier or _default(), known, draw) for draw in draws], axis=0)
    votes = _vote(known, np.argsort(pool.keys[order])[:REFERENCES], neighbours=neighbours)
    names = [table.name(int(row)) for row in known.rows]
    return _rank(names, [table.classes[label] for label in classes], labels, probabilities=probabilities, votes=votes)


@dataclass(frozen=True)
class _Known:
    """The labelled images in the order of their names; one entry each in every array."""

    rows: Rows
    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    weights: NDArray[np.float32] | None
    units: NDArray[np.int64]
    """Images of one unit say nothing of each other."""


def _default() -> Pipeline:
    """The classifier where none is named."""
    return make_pipeline(StandardScaler(), SoftmaxRegression(L2))


def _predict(classifier: BaseEstimator, known: _Known, folds: Sequence[tuple[Rows, Rows]]) -> NDArray[np.float64]:
    """(n, classes): probabilities by classifiers that did not see the image."""
    probabilities = np.empty((len(known.rows), known.labels.max() + 1))
    for fit, held_out in folds:
        model = clone(classifier)
        weighting = f"{model.steps[-1][0]}__sample_weight" if isinstance(model, Pipeline) else "sample_weight"
        given = {} if known.weights is None else {weighting: known.weights[fit]}
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            try:
                model.fit(known.features[fit], known.labels[fit], **given)
            except ConvergenceWarning as warning:
                raise HeadError(
                    f"{model} does not converge on {len(fit)} images; choose another classifier"
                ) from warning
        probabilities[held_out] = model.predict_proba(known.features[held_out])
    return probabilities


def _vote(known: _Known, among: Rows, *, neighbours: int) -> NDArray[np.float64]:
    """(n, classes): shares of the labels of the nearest images of these that are of another unit."""
    mean = known.features.mean(axis=0, dtype=np.float64)
    right, labels = directions(known.features[among], mean), known.labels[among]
    votes, count = np.zeros((len(known.rows), known.labels.max() + 1)), min(neighbours, len(among))
    for start in range(0, len(votes), AT_ONCE):
        rows = np.arange(start, min(start + AT_ONCE, len(votes)))
        cosines = directions(known.features[rows], mean) @ right.T
        cosines[known.units[rows, None] == known.units[among]] = -np.inf
        nearest = np.argpartition(cosines, -count, axis=1)[:, -count:]
        counted = np.take_along_axis(cosines, nearest, axis=1) > -np.inf
        np.add.at(votes, (np.broadcast_to(rows[:, None], nearest.shape), labels[nearest]), counted)
    votes /= np.maximum(votes.sum(axis=1, keepdims=True), 1)
    return votes


def _rank(
    names: Sequence[str],
    classes: Sequence[str],
    labels: NDArray[np.int64],
    *,
    probabilities: NDArray[np.float64],
    votes: NDArray[np.float64],
) -> tuple[LabelError, ...]:
    rows = np.arange(len(labels))
    thresholds = np.bincount(labels, probabilities[rows, labels]) / np.bincount(labels)
    relative = probabilities / np.maximum(thresholds, np.finfo(np.float64).tiny)
    evidence = (relative / relative.sum(axis=1, keepdims=True) + votes) / 2
    others = evidence.copy()
    others[rows, labels] = -np.inf
    scores = others.max(axis=1) - evidence[rows, labels]
    suggested = np.where(scores > 0, others.argmax(axis=1), labels)
    return tuple(
        LabelError(
            names[row],
            classes[labels[row]],
            classes[suggested[row]],
            float(probabilities[row, labels[row]]),
            float(votes[row, labels[row]]),
            float(scores[row]),
        )
        for row in np.argsort(-scores, kind="stable").tolist()
    )
