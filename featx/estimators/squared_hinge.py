"""The squared hinge loss of linear margins with an L2 penalty, and its minimum."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.estimators.design import Point, design_of
from featx.estimators.targets import Targets

INSIDE = 0.25
"""The assumed part of the rows inside the margin, for the curvature that coordinates are scaled by."""
REDUCTION = 0.05
"""The part of the residual that a Newton step may leave."""
PRODUCTS = 300
"""The largest number of products with the curvature in one Newton step."""
FALL = 1e-4
"""The part of the decrease predicted by the slope that a step must reach."""
HALVINGS = 40
"""The largest number of times that one step is halved."""


@dataclass(frozen=True)
class State:
    """The objective of each class at a point."""

    point: Point
    value: NDArray[np.float64]
    """(K,)"""
    slope: Point
    inside: NDArray[Any]
    """(K, n): twice the weight of each row inside the margin, 0 for the others: only these rows curve the loss."""


@dataclass(frozen=True)
class HingeMinimum:
    """The end of a minimisation."""

    point: Point
    slope: float
    """The norm of the gradient at the point, in scaled coordinates."""
    iterations: int
    converged: bool


class SquaredHinge:
    """|a|^2 / 2 + C sum_i w_i max(0, 1 - t_i (a x_i + b))^2 of each class against the rest; of two, only the second.

    Products are in the precision of the rows (n, D), sums over blocks of rows in float64. Offsets (n, K), of two
    classes (n, 1), are added to a x_i + b. `bias_penalty` is the penalty on half the squared score at the mean of
    the rows beside them.
    """

    def __init__(
        self,
        X: NDArray[Any],
        targets: Targets,
        *,
        offsets: NDArray[np.float64] | None = None,
        bias_penalty: float = 0.0,
    ) -> None:
        weights = targets.weights
        mass = targets.mass
        positive = mass[:, 1:] if mass.shape[1] == 2 else mass
        self.positive = np.ascontiguousarray(positive.T, X.dtype)
        self.negative = np.ascontiguousarray((weights[:, np.newaxis] - positive).T.clip(0), X.dtype)
        self.total = float(weights.sum())
        self.design = design_of(X, weights)
        self._offsets = None if offsets is None else np.ascontiguousarray(offsets.T, X.dtype)
        self._penalties = np.append(np.ones(self.design.rows.shape[1]), bias_penalty)

    def start(self) -> Point:
        """The point to start from: zeros."""
        return np.zeros((len(self.positive), self.design.rows.shape[1] + 1))

    def minimise(self, start: Point, *, C: float, tolerance: float, max_iter: int) -> HingeMinimum:
        """The minimum, by Newton's method with conjugate gradients from this point on.

        It works along the principal axes of the rows, scaled by their curvature. There the curvature is near 1, so that
        another step can gain half the squared slope. Keerthi and DeCoste, JMLR 6 (2005); Lin, Weng and Keerthi, JMLR 9
        (2008).
        """
        bend = 2 * C * INSIDE * np.append(self.design.curvatures, self.total)
        bend += np.append(np.ones(len(bend) - 1), self._penalties[-1])
        scale = 1 / np.sqrt(bend)
        state = self.evaluate(start, C=C)
        for iteration in range(max_iter + 1):
            slope = self.design.turn(state.slope) * scale
            norm = float(np.linalg.norm(slope))
            falling = 0.5 * np.square(slope).sum(axis=1) > tolerance * self._scale(state.value, C)
            if not falling.any() or iteration == max_iter:
                break
            product = self._curvature(state, C=C, scale=scale)
            step = conjugate_gradients(product, -slope * falling[:, np.newaxis])
            after = self._search(state, self.design.turn_back(step * scale), C=C)
            if after is None:
                break
            state = after
        return HingeMinimum(state.point, norm, iteration, converged=not falling.any())

    def _scale(self, value: NDArray[np.float64], C: float) -> NDArray[np.float64]:
        """What the tolerance is relative to: the values (K,) of the objective, or what rounding may change in them.

        Beside offsets a value may be far smaller than the terms that cancel in it.
        """
        return value if self._offsets is None else np.maximum(value, np.sqrt(value * C * self.total))

    def evaluate(self, point: Point, *, C: float) -> State:
        """The objective at a point."""
        score = self.design.scorer(point)
        loss = np.zeros(len(point))
        slope = np.zeros_like(point)
        inside = np.empty_like(self.positive)
        for rows, block in self.design.blocks():
            scores = score(block)
            if self._offsets is not None:
                scores += self._offsets[:, rows]
            short = np.maximum(1 - scores, 0)
            over = np.maximum(1 + scores, 0)
            positive = self.positive[:, rows]
            negative = self.negative[:, rows]
            loss += (positive * short**2 + negative * over**2).sum(axis=1, dtype=np.float64)
            inside[:, rows] = 2 * (positive * (short > 0) + negative * (over > 0))
            self.design.add_pull(slope, 2 * (negative * over - positive * short), block)
        self.design.take_offset(slope)
        slope *= C
        slope += self._penalties * point
        return State(point, C * loss + 0.5 * np.square(point) @ self._penalties, slope, inside)

    def _curvature(self, state: State, *, C: float, scale: NDArray[np.float64]) -> Callable[[Point], Point]:
        """A function that multiplies a direction, in scaled axes, by the curvature at a state.

        It passes over the rows inside a margin only, if they are fewer than half of all.
        """
        design = self.design
        X = design.rows
        inside = state.inside
        bending = np.flatnonzero(inside.any(axis=0))
        if len(bending) < len(X) / 2:
            X = X[bending]
            inside = inside[:, bending]

        def product(scaled: Point) -> Point:
            """The curvature times this direction, both in scaled axes."""
            direction = design.turn_back(scaled * scale)
            score = design.scorer(direction)
            change = np.zeros_like(direction)
            for rows, block in design.blocks(X):
                design.add_pull(change, inside[:, rows] * score(block), block)
            design.take_offset(change)
            change *= C
            change += self._penalties * direction
            return design.turn(change) * scale

        return product

    def _search(self, state: State, direction: Point, *, C: float) -> State | None:
        """The state after a step of each class, halved until its objective falls as predicted; None if none does."""
        fall = (state.slope * direction).sum(axis=1)
        noise = np.finfo(self.design.rows.dtype).eps * state.value
        length = np.ones(len(direction))
        for _ in range(HALVINGS):
            after = self.evaluate(state.point + length[:, np.newaxis] * direction, C=C)
            long = after.value > state.value + FALL * length * fall + noise
            if not long.any():
                return after
            length[long] /= 2
        return None


def conjugate_gradients(product: Callable[[Point], Point], right: Point) -> Point:
    """Solutions (K, p) of product(x) = right, each row a separate system, up to a small part of the residual."""
    solution = np.zeros_like(right)
    residual = right.copy()
    direction = right.copy()
    size = np.square(residual).sum(axis=1)
    goal = REDUCTION**2 * size
    for _ in range(PRODUCTS):
        active = size > goal
        if not active.any():
            break
        image = product(direction)
        length = np.divide(size, (direction * image).sum(axis=1), out=np.zeros_like(size), where=active)[:, np.newaxis]
        solution += length * direction
        residual -= length * image
        before = size
        size = np.square(residual).sum(axis=1)
        share = np.divide(size, before, out=np.zeros_like(size), where=active)[:, np.newaxis]
        direction = residual + share * direction
    return solution
