"""The mean cross-entropy of linear class scores, as a convex function of the coefficients."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.estimators.design import Design, Point, design_of


@dataclass(frozen=True)
class Evaluation:
    """The derivative of the cross-entropy at a point."""

    slope: Point
    residual: float
    """The mean over rows of the sum over classes of |probability - share|."""


class CrossEntropy:
    """The mean cross-entropy of weighted rows (n, D), with the mass (n, K) of each class in each row.

    Products are in the type of the rows, sums over blocks of rows in float64. `design` is that of the rows, if it is
    known. Offsets (n, K) are added to the scores. `bias_penalty` is the penalty on the squared bias, the score at the
    mean of the rows beside the offsets, relative to that on squared coefficients.
    """

    def __init__(
        self,
        X: NDArray[Any],
        mass: NDArray[np.float64],
        design: Design | None = None,
        *,
        offsets: NDArray[np.float64] | None = None,
        bias_penalty: float = 0.0,
    ) -> None:
        weights = mass.sum(axis=1)
        self.total = float(weights.sum())
        self.design = design or design_of(X, weights)
        self._curvatures = self.design.curvatures / self.total
        self.spread = float(np.sqrt(self._curvatures.sum()))
        self.shares = mass.sum(axis=0) / self.total
        self._mass = np.ascontiguousarray((mass / self.total).T, X.dtype)
        self._weights = (weights / self.total).astype(X.dtype)
        self._top = mass.argmax(axis=1)
        soft = np.count_nonzero(mass, axis=1) > 1
        parts = mass[soft] / weights[soft, None]
        self._impurity = float(weights[soft] @ (parts * (1 - parts)).sum(axis=1) / self.total)
        self.bias_penalty = bias_penalty
        self._offsets = None if offsets is None else np.ascontiguousarray(offsets.T, X.dtype)

    @property
    def start(self) -> Point:
        """The best point with coefficients 0: it gives every row the class shares of all rows; with offsets, zeros."""
        point = np.zeros((len(self.shares), self.design.rows.shape[1] + 1))
        if self._offsets is None:
            point[:, -1] = np.log(self.shares) - np.log(self.shares).mean()
        return point

    def evaluate(self, point: Point) -> Evaluation:
        """The derivative at a point, by one pass over the rows."""
        score = self.design.scorer(point)
        slope = np.zeros_like(point)
        residual = 0.0
        for rows, block in self.design.blocks():
            scores = score(block)
            if self._offsets is not None:
                scores += self._offsets[:, rows]
            residuals = self._residuals(scores, rows)
            residual += float(np.abs(residuals).sum(dtype=np.float64))
            self.design.add_pull(slope, residuals, block)
        self.design.take_offset(slope)
        return Evaluation(slope, residual)

    def _residuals(self, scores: NDArray[Any], rows: slice) -> NDArray[Any]:
        """Weight x (probability - share) (K, b), written into the scores (K, b)."""
        scores -= scores.max(axis=0)
        np.exp(scores, out=scores)
        scores *= self._weights[rows] / scores.sum(axis=0)
        scores -= self._mass[:, rows]
        # residuals sum to 0 over the classes; that of the largest share is taken from the others, because it would
        # cancel to rounding errors if its probability is near 1
        top = self._top[rows], np.arange(scores.shape[1])
        scores[top] = 0
        scores[top] = -scores.sum(axis=0)
        return scores

    def size(self, residual: float) -> float:
        """The size of the terms that cancel in the gradient: (residuals + impurity of labels) x length of rows."""
        return (residual + 2 * self._impurity) * self.spread

    def curvature(self, residual: float) -> float:
        """An estimate of the mean curvature of the loss in a score, from the residual at a point."""
        # for a calibrated probability p, the curvature and half the expected residual are both p (1 - p)
        return max((residual / 2 + self._impurity) / (len(self.shares) - 1), float(np.finfo(np.float64).tiny))

    def precondition(self, gradient: Point, *, curvature: float, penalty: float) -> Point:
        """The gradient times the inverse of (curvature x Gram matrix + penalty), about the inverse Hessian."""
        # eigenvalues below this floor are rounding errors
        floor = np.finfo(self.design.rows.dtype).eps * self.spread**2
        bends = curvature * np.append(self._curvatures.clip(floor), 1)
        bends[:-1] += penalty
        bends[-1] += penalty * self.bias_penalty
        return self.design.turn_back(self.design.turn(gradient) / bends)
