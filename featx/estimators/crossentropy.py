"""The mean cross-entropy of linear class scores, as a convex function of their coefficients."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.estimators.rows import centred_blocks, gram_matrix, slices, weighted_mean

FAR = 4.0
"""A column whose mean is farther from 0 than so many of its standard deviations is centred before it is multiplied."""

Point = NDArray[np.float64]
"""(K, q + 1): coefficients of centred features a class, and in the last column the biases."""


@dataclass(frozen=True)
class Evaluation:
    """The function's derivative at a point."""

    slope: Point
    residual: float
    """Mean over rows of the sum over classes of |probability - share|."""


class CrossEntropy:
    """Mean cross-entropy of weighted rows (n, D) and their mass a class (n, K).

    Products are made in the type of the rows, sums of them in float64. Fewer rows than columns are turned into their
    own span first (X - mean = Z Q', Q orthonormal): norms, and with them penalties, stay as they are.
    """

    def __init__(self, X: NDArray[Any], mass: NDArray[np.float64]) -> None:
        weights = mass.sum(axis=1)
        self.total = float(weights.sum())
        self.mean, self.basis, self.rows = weighted_mean(X, weights), None, X
        centre = self.mean
        if len(X) < X.shape[1]:
            self.basis, upper = np.linalg.qr((X - self.mean.astype(X.dtype)).T)
            self.rows, centre = np.ascontiguousarray(upper.T, X.dtype), np.zeros(len(X))
        self.shares = mass.sum(axis=0) / self.total
        self._mass = np.ascontiguousarray((mass / self.total).T, X.dtype)
        self._weights = (weights / self.total).astype(X.dtype)
        self._top = mass.argmax(axis=1)
        gram = gram_matrix(self.rows, centre.astype(X.dtype), weights=weights / self.total, dtype=X.dtype)
        self.spread = float(np.sqrt(gram.trace()))
        self._values, self._vectors = np.linalg.eigh(gram)
        far = np.abs(centre) > FAR * np.sqrt(gram.diagonal())
        self._centre = np.where(far, centre, 0).astype(X.dtype) if far.any() else None
        self._offset = np.where(far, 0, centre)
        soft = np.count_nonzero(mass, axis=1) > 1
        parts = mass[soft] / weights[soft, None]
        self._impurity = float(weights[soft] @ (parts * (1 - parts)).sum(axis=1) / self.total)

    @property
    def start(self) -> Point:
        """The best point whose coefficients are 0: it gives every row the shares of all."""
        point = np.zeros((len(self.shares), self.rows.shape[1] + 1))
        point[:, -1] = np.log(self.shares) - np.log(self.shares).mean()
        return point

    def evaluate(self, point: Point) -> Evaluation:
        """The derivative at a point, in one pass over the rows."""
        dtype, slope, residual = self.rows.dtype, np.zeros_like(point), 0.0
        coefficients = np.ascontiguousarray(point[:, :-1].T, dtype)
        bias = (point[:, -1] - point[:, :-1] @ self._offset).astype(dtype)
        for rows, block in self._blocks():
            scores = np.ascontiguousarray((block @ coefficients).T)
            scores += bias[:, None]
            residuals = self._residuals(scores, rows)
            residual += float(np.abs(residuals).sum(dtype=np.float64))
            slope[:, :-1] += residuals @ block
            slope[:, -1] += residuals.sum(axis=1, dtype=np.float64)
        slope[:, :-1] -= np.outer(slope[:, -1], self._offset)
        return Evaluation(slope, residual)

    def _blocks(self) -> Any:
        if self._centre is None:
            return ((rows, self.rows[rows]) for rows in slices(self.rows))
        return centred_blocks(self.rows, self._centre, dtype=self.rows.dtype)

    def _residuals(self, scores: NDArray[Any], rows: slice) -> NDArray[Any]:
        """Weight x (probability - share), (K, b), written over the scores (K, b)."""
        scores -= scores.max(axis=0)
        np.exp(scores, out=scores)
        scores *= self._weights[rows] / scores.sum(axis=0)
        scores -= self._mass[:, rows]
        # They sum to 0 over the classes. That of the largest share would cancel to rounding errors where it is near 1.
        top = self._top[rows], np.arange(scores.shape[1])
        scores[top] = 0
        scores[top] = -scores.sum(axis=0)
        return scores

    def size(self, residual: float) -> float:
        """Of what cancels in the gradient: residuals and what shares leave open, times the length of rows."""
        return (residual + 2 * self._impurity) * self.spread

    def curvature(self, residual: float) -> float:
        """Mean curvature of the loss in a score, where probabilities are as far from the shares as their residual."""
        # A probability p that is right as often as it says has p (1 - p) of either.
        return max((residual / 2 + self._impurity) / (len(self.shares) - 1), float(np.finfo(np.float64).tiny))

    def precondition(self, gradient: Point, *, curvature: float, penalty: float) -> Point:
        """The gradient times the inverse of curvature x Gram matrix + penalty, which is near the inverse Hessian."""
        # Below, eigenvalues are rounding errors; and where nothing varies, no coefficient has a gradient.
        floor = np.finfo(self.rows.dtype).eps * self.spread**2
        along = gradient[:, :-1] @ self._vectors
        along /= curvature * self._values.clip(floor) + penalty
        return np.column_stack([along @ self._vectors.T, gradient[:, -1] / curvature])

    def coefficients(self, point: Point) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Coefficients (K, D) and intercepts (K,) for features as they are."""
        coefficients = point[:, :-1] if self.basis is None else point[:, :-1] @ self.basis.T
        return coefficients, point[:, -1] - coefficients @ self.mean
