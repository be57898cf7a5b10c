"""A convex function and penalties in; its minimum under one penalty after the other out, each begun near its end.

L-BFGS (Liu & Nocedal 1989), with three things that save most of the passes over the rows:

- The inverse Hessian starts from curvature x Gram matrix + penalty: Böhning's bound (1992), but with the curvature that
  the residuals show in place of its largest.
- What was learnt of the loss's curvature stays known when the penalty changes, whose own part is exact.
- A minimum is sought from where the line through the last two, over the logarithm of the penalty, would have it.

Steps are judged by slopes alone, which a convex function allows: near a minimum its values differ by less than float32
can tell.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from featx.errors import ConvergenceError
from featx.estimators.crossentropy import CrossEntropy
from featx.estimators.design import Point

MEMORY, LEAST_MEMORY, MEMORY_BYTES = 30, 5, 2**27
"""Steps that curvature is learnt from: so many, or fewer where they take more bytes."""
REFRESH = 10
"""Iterations from one look at the residuals, for the curvature, to the next."""
SHORT, LONG = 0.9, 0.5
"""Parts of the slope at its start that a step may leave at its end: of the same sign, and of the opposite one."""
LONGER = 8.0
"""How many times longer a step becomes that is too short."""
TRIALS = 30
"""Lengths of one step that are tried."""
ROUNDING = 1e-10
"""A bend smaller than this part of what it could be tells nothing."""


@dataclass(frozen=True)
class Minimum:
    """Where the function is least, as nearly as was asked."""

    point: Point
    iterations: int
    gradient_norm: float
    """Relative: over mean residual x root mean square norm of the centred rows, the size of what cancels in it."""


@dataclass(frozen=True)
class _Place:
    """A point, and what is known there."""

    point: Point
    slope: Point
    """Derivative of the loss."""
    gradient: Point
    """Derivative of loss and penalty."""
    residual: float


@dataclass(frozen=True)
class _Step:
    """A step that was made, and how the derivative changed over it."""

    move: Point
    change: Point

    @cached_property
    def bend(self) -> float:
        """Curvature along the step, times its squared length."""
        return float(np.vdot(self.move, self.change))

    @property
    def tells(self) -> bool:
        """Whether the change is more than rounding errors."""
        return self.bend > ROUNDING * float(np.linalg.norm(self.move) * np.linalg.norm(self.change))


class Descent:
    """Minima of mean cross-entropy + penalty / 2 x squared norm of the coefficients."""

    def __init__(self, problem: CrossEntropy, *, tol: float, max_iter: int) -> None:
        self._problem, self._tol, self._max_iter = problem, tol, max_iter
        fitting = MEMORY_BYTES // (3 * problem.start.nbytes)
        self._memory = max(LEAST_MEMORY, min(MEMORY, fitting))
        self._of_loss: deque[_Step] = deque(maxlen=self._memory)

    def follow(self, penalties: Sequence[float]) -> Iterator[Minimum]:
        """The minimum under each penalty, in their order: let them fall.

        Raises ConvergenceError where the relative norm of the gradient is above `tol` after `max_iter` iterations.
        """
        logs, points = np.log(penalties), [self._problem.start]
        for index, penalty in enumerate(penalties):
            start = points[-1]
            if index > 1:
                ahead = (logs[index] - logs[index - 1]) / (logs[index - 1] - logs[index - 2])
                start = start + min(ahead, 1.0) * (points[-1] - points[-2])
            minimum = self._minimise(start, penalty)
            yield minimum
            points = [points[-1], minimum.point]

    def _minimise(self, start: Point, penalty: float) -> Minimum:
        here, curvature = self._look(start, penalty), 0.0
        steps = [_Step(step.move, step.change + _pull(step.move, penalty)) for step in self._of_loss]
        for iteration in range(self._max_iter + 1):
            norm, size = self._norm(here), self._problem.size(here.residual)
            if norm <= self._tol * size:
                return Minimum(here.point, iteration, norm / size if size else 0.0)
            steps = [step for step in steps[-self._memory :] if step.tells]
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

    def _look(self, point: Point, penalty: float) -> _Place:
        found = self._problem.evaluate(point)
        return _Place(point, found.slope, found.slope + _pull(point, penalty), found.residual)

    def _norm(self, here: _Place) -> float:
        """Of the gradient; biases count as coefficients of a column as long as a row, whatever the features' unit."""
        return float(
            np.hypot(np.linalg.norm(here.gradient[:, :-1]), self._problem.spread * np.linalg.norm(here.gradient[:, -1]))
        )

    def _direction(self, gradient: Point, steps: list[_Step], *, curvature: float, penalty: float) -> Point:
        """Minus the inverse Hessian times the gradient, as the steps and the Gram matrix tell it."""
        precondition = partial(self._problem.precondition, curvature=curvature, penalty=penalty)
        rest, parts = -gradient, []
        for step in reversed(steps):
            parts.append(np.vdot(step.move, rest) / step.bend)
            rest = rest - parts[-1] * step.change
        toward = precondition(rest)
        if steps:
            toward *= steps[-1].bend / np.vdot(steps[-1].change, precondition(steps[-1].change))
        for step, part in zip(steps, reversed(parts), strict=True):
            toward += (part - np.vdot(step.change, toward) / step.bend) * step.move
        # Minima sum to 0 over the classes; nothing but rounding errors leads away, and nothing but the penalty back.
        toward -= toward.mean(axis=0)
        return toward

    def _search(self, here: _Place, toward: Point, penalty: float) -> _Place | None:
        """Where the slope along the line is near 0; None where rounding errors hide it."""
        fall = float(np.vdot(here.gradient, toward))
        length, short, long = 1.0, (0.0, fall), None
        for _ in range(TRIALS):
            there = self._look(here.point + length * toward, penalty)
            slope = float(np.vdot(there.gradient, toward))
            if slope > -LONG * fall:
                long = (length, slope)
            elif slope < SHORT * fall:
                short = (length, slope)
            else:
                return there
            length = _between(short, long) if long else LONGER * length
        return None


def _pull(point: Point, penalty: float) -> Point:
    """Derivative of the penalty; biases have none."""
    pull = penalty * point
    pull[:, -1] = 0
    return pull


def _between(short: tuple[float, float], long: tuple[float, float]) -> float:
    """The length at which a straight line through two slopes is 0, not too near to either."""
    share = min(max(short[1] / (short[1] - long[1]), 0.1), 0.9)
    return short[0] + share * (long[0] - short[0])
