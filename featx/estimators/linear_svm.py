"""A linear support vector machine in the primal; each C starts where the one before it ended."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.errors import ConvergenceError, HeadError
from featx.estimators.classifier import MarginClassifier
from featx.estimators.design import Point
from featx.estimators.scores import Grid
from featx.estimators.squared_hinge import SquaredHinge
from featx.estimators.targets import ClassWeight, Targets


class LinearSVM(MarginClassifier):
    """A linear support vector machine with squared hinge loss, each class against the rest; scores are margins (m, C).

    Minimises |a|^2 / 2 + C sum_i w_i max(0, 1 - t_i (a x_i + b))^2 for each class, as scikit-learn's LinearSVC does,
    but that the intercept b is not penalised. By truncated Newton steps on all classes at once. A row counts for each
    class that it has a share of. A fit has converged where another step can lower the objective of no class by more
    than about `tol` of it, or the precision of the rows where that is coarser; one that has not in `max_iter` steps
    raises ConvergenceError.
    """

    def __init__(
        self,
        C: float = 1.0,
        *,
        class_weight: ClassWeight = None,
        max_iter: int = 200,
        tol: float = 1e-10,
    ) -> None:
        self.C = C
        self.class_weight = class_weight
        self.max_iter = max_iter
        self.tol = tol

    def _learn(self, X: NDArray[Any], targets: Targets) -> None:
        problem = SquaredHinge(X, targets)
        self._minimise(problem, problem.start())

    def _scores(self, X: NDArray[Any]) -> NDArray[Any]:
        margins: NDArray[Any] = X @ self.coef_.T + self.intercept_
        return np.hstack([-margins / 2, margins / 2]) if margins.shape[1] == 1 else margins

    def _sweep(
        self, X: NDArray[Any], targets: Targets, held_out: NDArray[Any], grid: Grid
    ) -> Iterator[tuple[dict[str, Any], NDArray[Any]]]:
        if set(grid) != {"C"}:
            yield from super()._sweep(X, targets, held_out, grid)
            return
        problem = SquaredHinge(X, targets)
        point = problem.start()
        for C in sorted(grid["C"]):
            point = self.set_params(C=C)._minimise(problem, point)
            yield {"C": C}, self._scores(held_out)

    def _minimise(self, problem: SquaredHinge, start: Point) -> Point:
        """The point where the objective is least; coef_, intercept_ and n_iter_ are set by it."""
        check_cost(self.C)
        tolerance = max(self.tol, float(np.finfo(problem.design.rows.dtype).eps))
        minimum = problem.minimise(start, C=self.C, tolerance=tolerance, max_iter=self.max_iter)
        if not minimum.converged:
            reached = f"gradient norm {minimum.slope:.3g} at C = {self.C:g}"
            step = "raise max_iter or tol, lower C, or standardise the features"
            raise ConvergenceError("the linear SVM", iterations=minimum.iterations, reached=reached, step=step)
        coefficients, intercepts = problem.design.of_columns(minimum.point)
        kind = problem.design.rows.dtype
        self.coef_, self.intercept_ = coefficients.astype(kind), intercepts.astype(kind)
        self.n_iter_ = minimum.iterations
        return minimum.point


def check_cost(C: float) -> None:
    """Raise HeadError for a C that is not above 0."""
    if not C > 0:
        raise HeadError(f"C is {C}; give a number above 0")
