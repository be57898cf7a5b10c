"""The mean cross-entropy of linear class scores, as a convex function of their coefficients."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.estimators.design import Point, design_of


@dataclass(frozen=True)
class Evaluation:
    """The function's derivative at a point."""

    slope: Point
    residual: float
    """Mean over rows of the sum over classes of |probability - share|."""


class CrossEntropy:
    """Mean cross-entropy of weighted rows (n, D) and their mass a class (n, K).

    Products are made in the type of the rows, sums of them in float64.
    """

    def __init__(self, X: NDArray[Any], mass: NDArray[np.float64]) -> None:
        weights = mass.sum(axis=1)
        self.total = float(weights.sum())
        self.design = design_of(X, weights)
        self._curvatures = self.design.curvatures / self.total
        self.spread = float(np.sqrt(self._curvatures.sum()))
        self.shares = mass.sum(axis=0) / self.total
        self._mass = np.ascontiguousarray((mass / self.total).T, X.dtype)
        self._weights = (weights / self.total).astype(X.dtype)
        self._top = mass.argmax(axis=1)
        soft = np.count_nonzero(mass, axis=1) > 1
        parts = mass[soft] / weights[soft, None]
        self._impurity = float(weights[soft] @ (parts * (1 - parts)).sum(axis=1) / self.total)

    @property
    def start(self) -> Point:
        """The best point whose coefficients are 0: it gives every row the shares of all."""
        point = np.zeros((len(self.shares), self.design.rows.shape[1] + 1))
        point[:, -1] = np.log(self.shares) - np.log(self.shares).mean()
        return point

    def evaluate(self, point: Point) -> Evaluation:
        """The derivative at a point, in one pass over the rows."""
        score, slope, residual = self.design.scorer(point), np.zeros_like(point), 0.0
        for rows, block in self.design.blocks():
            residuals = self._residuals(score(block), rows)
            residual += float(np.abs(residuals).sum(dtype=np.float64))
            self.design.add_pull(slope, residuals, block)
        self.design.take_offset(slope)
        return Evaluation(slope, residual)

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
        floor = np.finfo(self.design.rows.dtype).eps * self.spread**2
        bends = curvature * np.append(self._curvatures.clip(floor), 1)
        bends[:-1] += penalty
        return self.design.turn_back(self.design.turn(gradient) / bends)
