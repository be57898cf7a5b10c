"""Multinomial logistic regression, solved exactly and for many penalties at once."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.estimators.crossentropy import CrossEntropy
from featx.estimators.descent import Descent, PenalisedMinimum
from featx.estimators.design import along_axes
from featx.estimators.linear import L2Classifier, falling
from featx.estimators.scores import class_scores
from featx.estimators.targets import ClassWeight, Targets

MOST_ITERATIONS = 5000


class SoftmaxRegression(L2Classifier):
    """Logistic regression, which minimises the sum of weight x cross-entropy + l2 / 2 x squared norm of coefficients.

    `l2` is 1 / C of scikit-learn's LogisticRegression, which has the same solution. The intercept has no penalty. Two
    classes have one vector of coefficients. For the mean cross-entropy the penalty is l2 / sum of weights.

    `tol` bounds the gradient of the mean objective relative to the size of the terms that cancel in it: its norm is at
    most tol x (mean over rows of the sum over classes of |probability - share|) x (root mean square norm of the rows
    minus their mean). Soft labels, which cannot be fitted exactly, add 2 x the mean sum of share x (1 - share) to the
    residuals. That is tighter than scikit-learn's test at an equal `tol`, and still meaningful for tiny residuals. A
    fit that needs more than `max_iter` iterations raises ConvergenceError.

    float32 features are multiplied in float32, and not copied if rows are more than four times the columns.

    Attributes: `classes_` (C,), `coef_` (C, d) or (1, d), `intercept_` (C,) or (1,), `n_iter_`, and `gradient_norm_`,
    relative as above. After `fit_soft` a class without any share has coefficients 0 and no chance.

    >>> import numpy as np
    >>> from featx.estimators import SoftmaxRegression
    >>> rows = np.array([[0.0], [1.0], [4.0], [5.0]])
    >>> fitted = SoftmaxRegression(l2=0.1).fit(rows, ["cat", "cat", "dog", "dog"])
    >>> fitted.predict([[0.5], [4.5]])
    array(['cat', 'dog'], dtype='<U3')
    >>> soft = SoftmaxRegression().fit_soft(rows, np.array([[1, 0], [0.8, 0.2], [0.2, 0.8], [0, 1]]))
    >>> soft.predict_proba([[2.5]]).round(3)
    array([[0.5, 0.5]])
    """

    def __init__(
        self, l2: float = 1.0, *, max_iter: int = MOST_ITERATIONS, tol: float = 1e-4, class_weight: ClassWeight = None
    ) -> None:
        self.l2 = l2
        self.max_iter = max_iter
        self.tol = tol
        self.class_weight = class_weight

    def predict_proba(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """The probabilities (m, C) of the classes."""
        scores = class_scores(self, X)
        probabilities: NDArray[np.float64] = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        return probabilities

    def follow(self, X: NDArray[Any], targets: Targets, values: Sequence[float]) -> Iterator[float]:
        """Each of these values of `l2`, the largest first; the classifier is then fitted with it."""
        values = falling(values)
        problem = CrossEntropy(X, targets.mass[:, targets.seen])
        for value, minimum in zip(values, self._minima(problem, len(targets.classes), values), strict=True):
            self._keep(targets, *problem.design.of_columns(minimum.point), dtype=X.dtype)
            self.n_iter_ = minimum.iterations
            self.gradient_norm_ = minimum.gradient_norm
            yield value

    def _draw(
        self,
        X: NDArray[Any],
        targets: Targets,
        offsets: NDArray[np.float64],
        *,
        values: Sequence[float],
        bias_penalty: float,
    ) -> Iterator[tuple[float, tuple[NDArray[np.float64], NDArray[np.float64]]]]:
        values = falling(values)
        problem = CrossEntropy(X, targets.mass, offsets=offsets, bias_penalty=bias_penalty)
        for value, minimum in zip(values, self._minima(problem, len(targets.classes), values), strict=True):
            yield value, problem.design.of_columns(minimum.point)

    def _minima(self, problem: CrossEntropy, classes: int, values: Sequence[float]) -> Iterator[PenalisedMinimum]:
        # two classes share one vector w, as -w/2 and w/2, whose squared norms sum to half the squared norm of w
        unit = (2 if classes == 2 else 1) / problem.total
        return Descent(problem, tol=self.tol, max_iter=self.max_iter).follow([value * unit for value in values])


def fit_along_axes(
    rows: NDArray[Any], mass: NDArray[np.float64], *, curvatures: NDArray[np.float64], l2: float, tol: float = 1e-4
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The coefficients (K, q) and intercepts (K,) of SoftmaxRegression for rows (n, q) along their principal axes.

    Each class has coefficients of its own, of two classes too. `mass` (n, K) is weight x share of the class in each
    row; every class has some. `curvatures` (q,) are n times the variances along the axes: they decide how fast the
    minimum is found, and not which one. Saves the decomposition that SoftmaxRegression begins with. Raises
    ConvergenceError.

    >>> import numpy as np
    >>> from featx.estimators import fit_along_axes
    >>> rows = np.array([[-1.0], [-2.0], [1.0], [2.0]])
    >>> coefficients, intercepts = fit_along_axes(rows, np.eye(2)[[0, 0, 1, 1]], curvatures=np.array([10.0]), l2=1.0)
    >>> (rows @ coefficients.T + intercepts).argmax(axis=1)
    array([0, 0, 1, 1])
    """
    design = along_axes(rows, curvatures, mean=np.zeros(rows.shape[1]), to_columns=lambda coefficients: coefficients)
    problem = CrossEntropy(rows, mass, design)
    minima = Descent(problem, tol=tol, max_iter=MOST_ITERATIONS).follow([l2 / problem.total])
    return design.of_columns(next(minima).point)
