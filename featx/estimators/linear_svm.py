"""A linear support vector machine in the primal; the fit of each C starts from that of the C before it."""

from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from featx.errors import ConvergenceError, HeadError
from featx.estimators.design import Point
from featx.estimators.linear import LinearClassifier
from featx.estimators.linear_scores import LinearScores
from featx.estimators.scores import NO_CHANCE, both_sides
from featx.estimators.squared_hinge import HingeMinimum, SquaredHinge
from featx.estimators.targets import ClassWeight, Targets


class LinearSVM(LinearClassifier):
    """A linear support vector machine with squared hinge loss, each class against the rest; scores are margins (m, C).

    Minimises |a|^2 / 2 + C sum_i w_i max(0, 1 - t_i (a x_i + b))^2 for each class, as scikit-learn's LinearSVC does,
    except that the intercept b has no penalty. Truncated Newton steps minimise all classes at once. A row counts for
    each class that it has a share of. A fit has converged when another step can lower the objective of no class by more
    than about `tol` of it, or by more than the precision of the rows; a fit that has not converged after `max_iter`
    steps raises ConvergenceError.

    Attributes: `classes_` (C,), `n_iter_`, and `coef_` (K, d) and `intercept_` (K,) of the K classes with weight; two
    classes have (1, d) and (1,).

    >>> from featx.estimators import LinearSVM
    >>> fitted = LinearSVM(C=10.0).fit([[0.0], [1.0], [4.0], [5.0]], ["cat", "cat", "dog", "dog"])
    >>> fitted.predict([[2.0], [3.0]])
    array(['cat', 'dog'], dtype='<U3')
    >>> fitted.decision_function([[2.5]]).round(6) + 0
    array([0.])
    """

    path = "C"

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

    def follow(self, X: NDArray[Any], targets: Targets, values: Sequence[float]) -> Iterator[float]:
        """Each of these values of `C`, the smallest first; the classifier is then fitted with it."""
        problem = SquaredHinge(X, targets)
        point = problem.start()
        for C in sorted(values):
            minimum = self._minimise(problem, point, C=C)
            point = minimum.point
            coefficients, intercepts = problem.design.of_columns(point)
            self.coef_ = coefficients.astype(X.dtype)
            self.intercept_ = intercepts.astype(X.dtype)
            self.n_iter_ = minimum.iterations
            yield C

    def hold(self, scores: LinearScores, *, dtype: DTypeLike) -> Self:
        """The classifier, as if it had been fitted to classes 0 .. C - 1 and these scores had come out."""
        self.seen_ = np.arange(len(scores.intercepts))
        return super().hold(scores, dtype=dtype)

    def held(self) -> LinearScores:
        """The scores of the fitted classifier, of its classes in their order; NO_CHANCE for those without weight."""
        learnt = super().held()
        places = {int(index): place for place, index in enumerate(self.seen_)}
        found = learnt.take([places.get(index) for index in range(len(self.classes_))])
        found.intercepts[[index not in places for index in range(len(self.classes_))]] = NO_CHANCE
        return found

    def _draw(
        self,
        X: NDArray[Any],
        targets: Targets,
        offsets: NDArray[np.float64],
        *,
        values: Sequence[float],
        bias_penalty: float,
    ) -> Iterator[tuple[float, tuple[NDArray[np.float64], NDArray[np.float64]]]]:
        two = offsets.shape[1] == 2
        offsets = offsets[:, 1:] - offsets[:, :1] if two else offsets
        problem = SquaredHinge(X, targets, offsets=offsets, bias_penalty=bias_penalty)
        point = problem.start()
        for C in sorted(values):
            point = self._minimise(problem, point, C=C).point
            coefficients, intercepts = problem.design.of_columns(point)
            yield (
                C,
                (both_sides(coefficients.T).T, both_sides(intercepts[None])[0]) if two else (coefficients, intercepts),
            )

    def _minimise(self, problem: SquaredHinge, start: Point, *, C: float) -> HingeMinimum:
        """The lowest objective. Raises ConvergenceError."""
        check_cost(C)
        kind = problem.design.rows.dtype
        tolerance = max(self.tol, float(np.finfo(kind).eps))
        minimum = problem.minimise(start, C=C, tolerance=tolerance, max_iter=self.max_iter)
        if not minimum.converged:
            reached = f"gradient norm {minimum.slope:.3g} at C = {C:g}"
            step = "raise max_iter or tol, lower C, or standardise the features"
            raise ConvergenceError("the linear SVM", iterations=minimum.iterations, reached=reached, step=step)
        return minimum


def check_cost(C: float) -> None:
    """Raise HeadError unless C is above 0."""
    if not C > 0:
        raise HeadError(f"C is {C}; give a number above 0")
