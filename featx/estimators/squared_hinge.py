"""The squared hinge loss of linear margins, and where it and a penalty are least."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from featx.estimators.rows import centred_blocks, gram_matrix, weighted_mean
from featx.estimators.targets import Targets

Point: TypeAlias = NDArray[np.float64]
"""(K, p + 1): coefficients of centred rows, and in the last column the intercepts."""
INSIDE = 0.25
"""The part of the rows that is guessed to lie inside the margin, for the curvature that coordinates are scaled by."""
REDUCTION = 0.05
"""What is left of the residual when a Newton step is good enough."""
PRODUCTS = 300
"""The most products with the curvature that one Newton step may take."""
FALL = 1e-4
"""Of the fall that the slope promises, what a step has to bring."""
HALVINGS = 40


@dataclass(frozen=True)
class State:
    """The objective of each class at a point."""

    point: Point
    value: NDArray[np.float64]
    """(K,)"""
    slope: Point
    inside: NDArray[Any]
    """(K, n): twice the weight of the rows that lie inside the margin, which alone bend the loss."""


@dataclass(frozen=True)
class Minimum:
    """Where a minimisation ended."""

    point: Point
    slope: float
    """The norm of the gradient there, in scaled coordinates."""
    iterations: int
    converged: bool


class SquaredHinge:
    """|a|^2 / 2 + C sum_i w_i max(0, 1 - t_i (a x_i + b))^2 of the second of two classes, or of each against the rest.

    Products are in the precision of the rows, sums over blocks of them in float64. Fewer rows (n, D) than columns are
    turned into their own span, which changes no product of rows: p is the lesser of n and D.
    """

    def __init__(self, X: NDArray[Any], targets: Targets) -> None:
        weights, mass = targets.weights, targets.mass
        positive = mass[:, 1:] if mass.shape[1] == 2 else mass
        self.positive = np.ascontiguousarray(positive.T, X.dtype)
        self.negative = np.ascontiguousarray((weights[:, np.newaxis] - positive).T.clip(0), X.dtype)
        self.total = float(weights.sum())
        self.mean = weighted_mean(X, weights)
        self.rows, self.centre, self.basis = X, self.mean.astype(X.dtype), None
        if len(X) < X.shape[1]:
            self.basis, upper = np.linalg.qr((X - self.centre).T)
            self.rows, self.centre = np.ascontiguousarray(upper.T), np.zeros(len(X), X.dtype)
        gram = gram_matrix(self.rows, self.centre, weights=weights, dtype=X.dtype)
        values, self.axes = np.linalg.eigh(gram)
        self.curvatures = values.clip(0)

    def start(self) -> Point:
        """The point that knows nothing: zeros."""
        return np.zeros((len(self.positive), self.rows.shape[1] + 1))

    def coefficients(self, point: Point) -> tuple[NDArray[Any], NDArray[Any]]:
        """Coefficients (K, D) and intercepts (K,) for rows as they are, in their precision."""
        coefficients = point[:, :-1] if self.basis is None else point[:, :-1] @ self.basis.T
        kind = self.rows.dtype
        return coefficients.astype(kind), (point[:, -1] - coefficients @ self.mean).astype(kind)

    def minimise(self, start: Point, *, C: float, tolerance: float, max_iter: int) -> Minimum:
        """Where it is least, from this point on, by Newton's method with conjugate gradients.

        In the axes of the rows, scaled by their curvature: there it is near 1, and half the squared slope is what
        another step can gain. Keerthi and DeCoste, JMLR 6 (2005); Lin, Weng and Keerthi, JMLR 9 (2008).
        """
        bend = np.append(1 + 2 * C * INSIDE * self.curvatures, 2 * C * INSIDE * self.total)
        scale = 1 / np.sqrt(bend)
        state = self.evaluate(start, C=C)
        for iteration in range(max_iter + 1):
            slope = _turn(state.slope, self.axes) * scale
            norm = float(np.linalg.norm(slope))
            falling = 0.5 * np.square(slope).sum(axis=1) > tolerance * state.value
            if not falling.any() or iteration == max_iter:
                break
            product = self._curvature(state, C=C, scale=scale)
            step = conjugate_gradients(product, -slope * falling[:, np.newaxis])
            after = self._search(state, _turn(step * scale, self.axes.T), C=C)
            if after is None:
                break
            state = after
        return Minimum(state.point, norm, iteration, converged=not falling.any())

    def evaluate(self, point: Point, *, C: float) -> State:
        """The objective at a point."""
        kind = self.rows.dtype
        coefficients, intercepts = point[:, :-1].astype(kind), point[:, -1:].astype(kind)
        loss, slope, inside = np.zeros(len(point)), np.zeros_like(point), np.empty_like(self.positive)
        for rows, block in centred_blocks(self.rows, self.centre, dtype=kind):
            scores = coefficients @ block.T + intercepts
            short, over = np.maximum(1 - scores, 0), np.maximum(1 + scores, 0)
            positive, negative = self.positive[:, rows], self.negative[:, rows]
            loss += (positive * short**2 + negative * over**2).sum(axis=1, dtype=np.float64)
            inside[:, rows] = 2 * (positive * (short > 0) + negative * (over > 0))
            force = 2 * (negative * over - positive * short)
            slope[:, :-1] += force @ block
            slope[:, -1] += force.sum(axis=1, dtype=np.float64)
        slope *= C
        slope[:, :-1] += point[:, :-1]
        return State(point, C * loss + 0.5 * np.square(point[:, :-1]).sum(axis=1), slope, inside)

    def _curvature(self, state: State, *, C: float, scale: NDArray[np.float64]) -> Callable[[Point], Point]:
        """Products of the curvature at a state with directions, both in scaled axes, by the rows that bend it alone."""
        bending = np.flatnonzero(state.inside.any(axis=0))
        few = len(bending) < len(self.rows) / 2
        X, inside = (self.rows[bending], state.inside[:, bending]) if few else (self.rows, state.inside)

        def product(scaled: Point) -> Point:
            direction = _turn(scaled * scale, self.axes.T)
            coefficients, intercepts = direction[:, :-1].astype(X.dtype), direction[:, -1:].astype(X.dtype)
            change = np.zeros_like(direction)
            for rows, block in centred_blocks(X, self.centre, dtype=X.dtype):
                pull = inside[:, rows] * (coefficients @ block.T + intercepts)
                change[:, :-1] += pull @ block
                change[:, -1] += pull.sum(axis=1, dtype=np.float64)
            change *= C
            change[:, :-1] += direction[:, :-1]
            return _turn(change, self.axes) * scale

        return product

    def _search(self, state: State, direction: Point, *, C: float) -> State | None:
        """The state after a step of each class, halved until it falls as its slope promises; None where none is."""
        fall = (state.slope * direction).sum(axis=1)
        noise = np.finfo(self.rows.dtype).eps * state.value
        length = np.ones(len(direction))
        for _ in range(HALVINGS):
            after = self.evaluate(state.point + length[:, np.newaxis] * direction, C=C)
            long = after.value > state.value + FALL * length * fall + noise
            if not long.any():
                return after
            length[long] /= 2
        return None


def conjugate_gradients(product: Callable[[Point], Point], right: Point) -> Point:
    """Solutions (K, p) of product(x) = right, each row a system of its own, to a small part of the residual."""
    solution, residual, direction = np.zeros_like(right), right.copy(), right.copy()
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
        before, size = size, np.square(residual).sum(axis=1)
        share = np.divide(size, before, out=np.zeros_like(size), where=active)[:, np.newaxis]
        direction = residual + share * direction
    return solution


def _turn(point: Point, axes: NDArray[Any]) -> Point:
    """The point with its coefficients in these axes."""
    return np.hstack([point[:, :-1] @ axes, point[:, -1:]])
