"""Class scores that are linear in features, as values: taken from classifiers, moved before the steps of a pipeline."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from featx.errors import HeadError
from featx.estimators.blocks import BlockPCA, BlockScaler
from featx.estimators.domains.mapping import CoralAdapter, TransportAdapter
from featx.estimators.domains.standardising import DomainStandardiser
from featx.estimators.rows import row_slices
from featx.estimators.scaling import FeatureScaler
from featx.estimators.selecting import ColumnSelector


@dataclass(frozen=True)
class LinearScores:
    """Coefficients and intercepts of each class, from which the class scores of any features follow.

    >>> import numpy as np
    >>> from featx.estimators import LinearScores
    >>> scores = LinearScores(np.array([[1.0], [-1.0]]), np.array([0.0, 2.0]))
    >>> scores.of(np.array([[0.0], [3.0]]))
    array([[ 0.,  2.],
           [ 3., -1.]])
    >>> scores.times(0.5).of(np.array([[3.0]]))
    array([[ 1.5, -0.5]])
    """

    coefficients: NDArray[np.float64]
    """(C, d)"""
    intercepts: NDArray[np.float64]
    """(C,)"""

    @classmethod
    def zeros(cls, classes: int, columns: int) -> Self:
        """The scores that are 0 for all features."""
        return cls(np.zeros((classes, columns)), np.zeros(classes))

    def of(self, features: NDArray[Any]) -> NDArray[np.float64]:
        """The scores (n, C) of features (n, d), in float64."""
        scores = np.empty((len(features), len(self.intercepts)))
        for rows in row_slices(features):
            scores[rows] = features[rows] @ self.coefficients.T + self.intercepts
        return scores

    def times(self, factor: float) -> "LinearScores":
        """The scores times this factor."""
        return LinearScores(factor * self.coefficients, factor * self.intercepts)

    def plus(self, other: "LinearScores") -> "LinearScores":
        """The sum of both scores."""
        return LinearScores(self.coefficients + other.coefficients, self.intercepts + other.intercepts)

    def take(self, classes: Sequence[int | None]) -> "LinearScores":
        """The scores of these classes (positions) in this order; of None they are 0."""
        taken = LinearScores.zeros(len(classes), self.coefficients.shape[1])
        for place, index in enumerate(classes):
            if index is not None:
                taken.coefficients[place] = self.coefficients[index]
                taken.intercepts[place] = self.intercepts[index]
        return taken

    def of_scaled(self, mean: NDArray[np.float64], factor: NDArray[np.float64]) -> "LinearScores":
        """Equal scores for rows that have been scaled to (rows - mean) x factor (d,); no factor may be 0."""
        return LinearScores(self.coefficients / factor, self.intercepts + self.coefficients @ mean)


def fold_steps(steps: Sequence[Any], scores: LinearScores) -> LinearScores:
    """Scores of features before these fitted steps, equal to the given scores of features after them.

    Raises HeadError for a step whose output is not a linear function of the features, which has no such scores.

    >>> import numpy as np
    >>> from featx.estimators import FeatureScaler, LinearScores, fold_steps
    >>> rows = np.array([[1.0], [3.0]])
    >>> scaler = FeatureScaler("standardise").fit(rows)
    >>> scores = LinearScores(np.array([[-1.0], [1.0]]), np.zeros(2))
    >>> np.allclose(fold_steps([scaler], scores).of(rows), scores.of(scaler.transform(rows)))
    True
    """
    for step in reversed(steps):
        scores = _before(step, scores)
    return scores


@singledispatch
def _before(step: Any, scores: LinearScores) -> LinearScores:
    """The scores of what the step is given, from those of what it gives."""
    raise HeadError(f"its step {type(step).__name__} is not a linear function of the features")


@_before.register
def _(step: FeatureScaler, scores: LinearScores) -> LinearScores:
    if step.how == "none":
        return scores
    if step.how == "l2":
        raise HeadError("it brings every row to length 1, which is not a linear function of the features")
    return _before_affine(scores, step.mean_, step.factor_)


@_before.register
def _(step: DomainStandardiser, scores: LinearScores) -> LinearScores:
    shifted = LinearScores(scores.coefficients, scores.intercepts + scores.coefficients @ step.source_mean_)
    return _before_affine(shifted, step.target_mean_, step.factor_)


@_before.register
def _(step: CoralAdapter | TransportAdapter, scores: LinearScores) -> LinearScores:
    return scores  # they map the source; rows of the target stay as they are


@_before.register
def _(step: BlockScaler, scores: LinearScores) -> LinearScores:
    return _before_affine(scores, step.mean_, step.factor_)


@_before.register
def _(step: BlockPCA, scores: LinearScores) -> LinearScores:
    coefficients = np.zeros((len(scores.intercepts), len(step.mean_)))
    column = 0
    for (start, stop), loadings in zip(step.blocks_, step.components_, strict=True):
        part = scores.coefficients[:, column : column + loadings.shape[1]]
        coefficients[:, start:stop] = part @ loadings.T.astype(np.float64)
        column += loadings.shape[1]
    return LinearScores(coefficients, scores.intercepts - coefficients @ step.mean_)


@_before.register
def _(step: ColumnSelector, scores: LinearScores) -> LinearScores:
    coefficients = np.zeros((len(scores.intercepts), step.n_features_in_))
    coefficients[:, step.get_support()] = scores.coefficients
    return LinearScores(coefficients, scores.intercepts)


def _before_affine(scores: LinearScores, mean: NDArray[np.float64], factor: NDArray[np.float64]) -> LinearScores:
    """The scores of rows, from those of (rows - mean) x factor."""
    coefficients = scores.coefficients * factor
    return LinearScores(coefficients, scores.intercepts - coefficients @ mean)
