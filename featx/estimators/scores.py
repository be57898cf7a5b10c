"""Class scores of any classifier, and of every parameter set of a grid; soft labels for classifiers that know none."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid
from sklearn.utils.validation import has_fit_parameter

from featx.errors import HeadError

Grid = Mapping[str, Sequence[Any]]
"""Parameter names and the values to try of each."""

NO_CHANCE = float(np.log(np.finfo(np.float64).tiny))
"""The score of a class that has no chance beside one of 0: finite, so that it can be scaled."""


def class_scores(classifier: Any, X: ArrayLike) -> NDArray[np.float64]:
    """Scores (m, C) of rows (m, D): their softmax, once divided by a temperature, are the probabilities.

    They are the decision function, of two classes halved to either side, or else the logarithms of the probabilities.
    """
    if not hasattr(classifier, "decision_function"):
        return log_probabilities(classifier.predict_proba(X))
    scores = np.asarray(classifier.decision_function(X), np.float64)
    return scores if scores.ndim == 2 else np.column_stack([-scores / 2, scores / 2])


def log_probabilities(probabilities: NDArray[Any]) -> NDArray[np.float64]:
    """The logarithms (m, C) of probabilities, NO_CHANCE of those that are 0."""
    given = np.asarray(probabilities, np.float64)
    return np.log(given, out=np.full_like(given, NO_CHANCE), where=given > 0).clip(NO_CHANCE)


def spread_scores(scores: NDArray[np.float64], classes: NDArray[np.integer[Any]], count: int) -> NDArray[np.float64]:
    """Scores (m, count) from those (m, C) of some of the classes 0 .. count - 1: the others have no chance."""
    if len(classes) == count:
        return scores
    whole = np.full((len(scores), count), NO_CHANCE)
    whole[:, classes] = scores
    return whole


def sweep(
    classifier: Any,
    X: NDArray[Any],
    y: ArrayLike,
    held_out: NDArray[Any],
    *,
    grid: Grid,
    sample_weight: ArrayLike | None = None,
) -> Iterator[tuple[dict[str, Any], NDArray[np.float64]]]:
    """Every parameter set of the grid, in any order, and the class scores (m, C) that it gives to the held-out rows.

    The classifier, which is left as it is, is fitted to `X` (n, D) and labels (n,) or shares (n, C), by a `sweep` of
    its own where it has one. Raises HeadError where it cannot be fitted to them.
    """
    if hasattr(classifier, "sweep"):
        yield from classifier.sweep(X, y, held_out, grid=grid, sample_weight=sample_weight)
        return
    y = np.asarray(y)
    for params in ParameterGrid(grid):
        fitted = fit_classifier(clone(classifier).set_params(**params), X, y, sample_weight=sample_weight)
        scores = class_scores(fitted, held_out)
        yield params, scores if y.ndim == 1 else spread_scores(scores, fitted.classes_, y.shape[1])


def fit_classifier(
    classifier: Any,
    X: NDArray[Any],
    y: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> Any:
    """The classifier, fitted to labels (n,), or to shares (n, C) by `fit_soft` or else on rows once a class.

    Groups (n,) are for classifiers that deal the rows once more. Raises HeadError where there are weights, or more than
    one class in a row, and it takes no weights.
    """
    y = np.asarray(y)
    about = {"groups": groups} if groups is not None and has_fit_parameter(classifier, "groups") else {}
    if y.ndim == 2 and hasattr(classifier, "fit_soft"):
        return classifier.fit_soft(X, y, sample_weight=sample_weight, **about)
    if y.ndim == 2:
        X, y, sample_weight = expand_shares(X, y, sample_weight)
    if sample_weight is None:
        return classifier.fit(X, y, **about)
    if not has_fit_parameter(classifier, "sample_weight"):
        raise HeadError(f"{type(classifier).__name__} takes no weights, nor soft labels; choose another classifier")
    return classifier.fit(X, y, sample_weight=sample_weight, **about)


def expand_shares(
    X: NDArray[Any], shares: NDArray[np.float64], sample_weight: ArrayLike | None = None
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.float64] | None]:
    """Rows, labels and weights that say the same as rows (n, D) and shares (n, C): each row once a class it shares in.

    The weight is that of the row times the share; None where no row has a weight or more than one class.
    """
    rows, labels = np.nonzero(shares)
    if len(rows) == len(shares):
        return X, labels, None if sample_weight is None else np.asarray(sample_weight, np.float64)
    weights = np.ones(len(shares)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    return X[rows], labels, weights[rows] * shares[rows, labels]
