"""The minima of a convex function under one L2 penalty after the other, each started near its end.

The method is L-BFGS (Liu & Nocedal 1989), with three changes that save most passes over the rows:

- The inverse Hessian starts from (curvature x Gram matrix + penalty). This is Böhning's bound (1992), with the
  curvature that the residuals show in place of its largest value.
- What steps have shown about the curvature of the loss is kept when the penalty changes; the part of the penalty is
  known exactly.
- The search for a minimum starts where a line through the last two minima, over the logarithm of the penalty, predicts
  it.

The line search uses slopes only, which a convex function allows, because near a minimum the values differ by less than
the precision of float32.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from featx.errors import ConvergenceError
from featx.estimators.crossentropy import CrossEntropy
from featx.estimators.design import Point

MEMORY = 30
"""Number of past steps that the curvature is estimated from, if they fit into MEMORY_BYTES."""
LEAST_MEMORY = 5
"""Number of past steps that are kept in any case."""
MEMORY_BYTES = 2**27
REFRESH = 10
"""Number of iterations between two estimates of the curvature from the residuals."""
TOO_SHORT = 0.9
"""A step is too short if it leaves more than this part of the slope at its start, with the same sign."""
TOO_LONG = 0.5
"""A step is too long if it leaves more than this part of the slope at its start, with the opposite sign."""
LONGER = 8.0
"""How many times longer the next trial is after a step that was too short."""
SEARCH_TRIALS = 30
"""Number of lengths that one line search tries."""
LEAST_BEND = 1e-10
"""The least bend of a step, as a part of the largest one possible, that is more than rounding errors."""


@dataclass(frozen=True)
class PenalisedMinimum:
    """The minimum under one penalty, to the tolerance asked for."""

    point: Point
    iterations: int
    gradient_norm: float
    """The norm of the gradient relative to the size of the terms that cancel in it."""


@dataclass(frozen=True)
class _Place:
    """A point with the derivatives there."""

    point: Point
    slope: Point
    """The derivative of the loss."""
    gradient: Point
    """The derivative of loss plus penalty."""
    residual: float


@dataclass(frozen=True)
class _Step:
    """A past step, and the change of the derivative over it."""

    move: Point
    change: Point

    @cached_property
    def bend(self) -> float:
        """The curvature along the step, times its squared length."""
        return float(np.vdot(self.move, self.change))

    @cached_property
    def is_reliable(self) -> bool:
        """Whether the change is more than rounding errors."""
        return self.bend > LEAST_BEND * float(np.linalg.norm(self.move) * np.linalg.norm(self.change))


class Descent:
    """Finds the minima of mean cross-entropy + penalty / 2 x squared norm of the coefficients.

    The problem says how much squared biases count in the norm.
    """

    def __init__(self, problem: CrossEntropy, *, tol: float, max_iter: int) -> None:
        self._problem = problem
        self._tol = tol
        self._max_iter = max_iter
        fitting = MEMORY_BYTES // (3 * problem.start.nbytes)
        self._memory = max(LEAST_MEMORY, min(MEMORY, fitting))
        self._of_loss: deque[_Step] = deque(maxlen=self._memory)

    def follow(self, penalties: Sequence[float]) -> Iterator[PenalisedMinimum]:
        """The minimum under each penalty, in their order; falling penalties take the fewest iterations.

        Raises ConvergenceError if the relative norm of the gradient is above `tol` after `max_iter` iterations.
        """
        logs = np.log(penalties)
        points = [self._problem.start]
        for index, penalty in enumerate(penalties):
            start = points[-1]
            if index > 1:
                ahead = (logs[index] - logs[index - 1]) / (logs[index - 1] - logs[index - 2])
                start = start + min(ahead, 1.0) * (points[-1] - points[-2])
            minimum = self._minimise(start, penalty)
            yield minimum
            points = [points[-1], minimum.point]

    def _minimise(self, start: Point, penalty: float) -> PenalisedMinimum:
        here = self._evaluate(start, penalty)
        curvature = 0.0
        steps = [_Step(step.move, step.change + self._pull(step.move, penalty)) for step in self._of_loss]
        for iteration in range(self._max_iter + 1):
            norm = self._norm(here)
            size = self._problem.size(here.residual)
            if norm <= self._tol * size:
                return PenalisedMinimum(here.point, iteration, norm / size if size else 0.0)
            steps = [step for step in steps[-self._memory :] if step.is_reliable]
            if iteration % REFRESH == 0:
                curvature = self._problem.curvature(here.residual)
            toward = self._direction(here.gradient, steps, curvature=curvature, penalty=penalty)
            there = self._search(here, toward, penalty)
            if there is None and not steps:
                break
            if there is None:
                steps.clear()
                continue
            move = there.point - here.point
            steps.append(_Step(move, there.gradient - here.gradient))
            self._of_loss.append(_Step(move, there.slope - here.slope))
            here = there
        raise ConvergenceError(
            f"logistic regression with a mean penalty of {penalty:.3g}",
            iterations=iteration,
            reached=f"the relative norm of its gradient is {norm / size:.1e}, above tol = {self._tol:.1e}",
            step="standardise the features, or raise tol or max_iter",
        )

    def _evaluate(self, point: Point, penalty: float) -> _Place:
        found = self._problem.evaluate(point)
        return _Place(point, found.slope, found.slope + self._pull(point, penalty), found.residual)

    def _pull(self, point: Point, penalty: float) -> Point:
        """The derivative of the penalty."""
        pull = penalty * point
        pull[:, -1] *= self._problem.bias_penalty
        return pull

    def _norm(self, here: _Place) -> float:
        """The norm of the gradient; the bias counts as the coefficient of a column as long as a row, in any unit."""
        return float(
            np.hypot(np.linalg.norm(here.gradient[:, :-1]), self._problem.spread * np.linalg.norm(here.gradient[:, -1]))
        )

    def _direction(self, gradient: Point, steps: list[_Step], *, curvature: float, penalty: float) -> Point:
        """Minus the inverse Hessian times the gradient, by the two-loop recursion over the steps."""
        precondition = partial(self._problem.precondition, curvature=curvature, penalty=penalty)
        rest = -gradient
        parts = []
        for step in reversed(steps):
            parts.append(np.vdot(step.move, rest) / step.bend)
            rest = rest - parts[-1] * step.change
        toward = precondition(rest)
        if steps:
            toward *= steps[-1].bend / np.vdot(steps[-1].change, precondition(steps[-1].change))
        for step, part in zip(steps, reversed(parts), strict=True):
            toward += (part - np.vdot(step.change, toward) / step.bend) * step.move
        # minima sum to 0 over the classes; only rounding errors lead away from that, and only the penalty leads back
        toward -= toward.mean(axis=0)
        return toward

    def _search(self, here: _Place, toward: Point, penalty: float) -> _Place | None:
        """A place on the line where the slope is near 0; None if rounding errors hide it."""
        fall = float(np.vdot(here.gradient, toward))
        length = 1.0
        short = (0.0, fall)
        long = None
        for _ in range(SEARCH_TRIALS):
            there = self._evaluate(here.point + length * toward, penalty)
            slope = float(np.vdot(there.gradient, toward))
            if slope > -TOO_LONG * fall:
                long = (length, slope)
            elif slope < TOO_SHORT * fall:
                short = (length, slope)
            else:
                return there
            length = _between(short, long) if long else LONGER * length
        return None


def _between(short: tuple[float, float], long: tuple[float, float]) -> float:
    """The length at which a straight line through two slopes is 0, kept away from both ends."""
    share = min(max(short[1] / (short[1] - long[1]), 0.1), 0.9)
    return short[0] + share * (long[0] - short[0])
