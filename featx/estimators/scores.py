"""Class scores of any scikit-learn classifier, for one fit or for every parameter set of a grid, with soft labels."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid
from sklearn.utils.validation import has_fit_parameter

from featx.errors import HeadError
from featx.estimators.targets import expand_shares

Grid = Mapping[str, Sequence[Any]]
"""The values to try of each parameter, by its name."""

NO_CHANCE = float(np.log(np.finfo(np.float64).tiny))
"""The score that gives a class practically no probability next to a class with score 0; finite, to be scaled."""


def class_scores(classifier: Any, X: ArrayLike) -> NDArray[np.float64]:
    """The scores (m, C) of the classes for rows (m, D); their softmax is the uncalibrated probability.

    They are the decision function, or the logarithms of the probabilities if the classifier has none. The single
    decision value for two classes becomes two scores, minus and plus half of it.

    >>> from featx.estimators import NearestClassMean, class_scores
    >>> fitted = NearestClassMean().fit([[0.0], [2.0]], ["cat", "dog"])
    >>> class_scores(fitted, [[0.0], [2.0]])
    array([[ 2., -2.],
           [-2.,  2.]])
    """
    if not hasattr(classifier, "decision_function"):
        return log_probabilities(classifier.predict_proba(X))
    scores = np.asarray(classifier.decision_function(X), np.float64)
    return scores if scores.ndim == 2 else np.column_stack([-scores / 2, scores / 2])


def log_probabilities(probabilities: NDArray[Any]) -> NDArray[np.float64]:
    """The logarithms (m, C) of probabilities; NO_CHANCE for a probability of 0."""
    given = np.asarray(probabilities, np.float64)
    return np.log(given, out=np.full_like(given, NO_CHANCE), where=given > 0).clip(NO_CHANCE)


def spread_scores(
    scores: NDArray[Any], classes: NDArray[np.integer[Any]], count: int, *, missing: float = NO_CHANCE
) -> NDArray[Any]:
    """Scores (m, count) of the classes 0 .. count - 1 from scores (m, C) of some of them; the others get `missing`."""
    if scores.shape[1] == count:
        return scores
    spread = np.full((len(scores), count), missing, scores.dtype)
    spread[:, classes] = scores
    return spread


def both_sides(margins: NDArray[Any]) -> NDArray[Any]:
    """The scores (m, C) from margins (m, C); the single margin (m, 1) for two classes becomes minus and plus half."""
    return np.hstack([-margins / 2, margins / 2]) if margins.shape[1] == 1 else margins


def sweep(
    classifier: Any,
    X: NDArray[Any],
    y: ArrayLike,
    held_out: NDArray[Any],
    *,
    grid: Grid,
    sample_weight: ArrayLike | None = None,
) -> Iterator[tuple[dict[str, Any], NDArray[np.float64]]]:
    """Each parameter set of the grid, in any order, with the class scores (m, C) of held-out rows after a fit with it.

    Each fit is on `X` (n, D) and labels (n,) or shares (n, C). A classifier that has a `sweep` method does the work
    that fits share only once. The given classifier is not changed. Raises HeadError if it cannot be fitted.
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
    """The classifier, fitted to labels (n,), or to shares (n, C) with `fit_soft` if it has that method.

    Any other classifier learns shares from rows that appear once per class, weighted by their share. Groups (n,) are
    passed to classifiers that split the rows themselves. Raises HeadError if the classifier cannot use the weights or
    soft labels.
    """
    y = np.asarray(y)
    about = {"groups": groups} if groups is not None and has_fit_parameter(classifier, "groups") else {}
    if y.ndim == 2 and hasattr(classifier, "fit_soft"):
        return classifier.fit_soft(X, y, sample_weight=sample_weight, **about)
    if y.ndim == 2:
        weighted = sample_weight is not None or np.count_nonzero(y) != len(y)
        X, y, weights = expand_shares(X, y, sample_weight)
        sample_weight = weights if weighted else None
    if sample_weight is None:
        return classifier.fit(X, y, **about)
    if not has_fit_parameter(classifier, "sample_weight"):
        raise HeadError(
            f"{type(classifier).__name__} accepts neither weights nor soft labels; choose another classifier"
        )
    return classifier.fit(X, y, sample_weight=sample_weight, **about)
