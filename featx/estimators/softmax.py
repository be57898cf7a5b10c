"""Multinomial logistic regression, exact and for many penalties at once."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.estimators.crossentropy import CrossEntropy
from featx.estimators.descent import Descent
from featx.estimators.linear import LinearClassifier, falling
from featx.estimators.scores import class_scores
from featx.estimators.targets import ClassWeight, Targets


class SoftmaxRegression(LinearClassifier):
    """Logistic regression: least sum over rows of weight x cross-entropy + l2 / 2 x squared norm of the coefficients.

    `l2` is 1 / C of scikit-learn's LogisticRegression, whose solution this is; the intercept bears no penalty; of two
    classes there is one vector of coefficients. Over the mean cross-entropy the penalty is l2 / sum of weights.

    `tol` bounds the gradient of the mean objective, relative to what cancels in it: its norm is at most tol x the mean
    over rows of the sum over classes of |probability - share| x the root mean square norm of the rows less their mean.
    Soft labels add what they leave open, 2 x the mean sum of share x (1 - share), to the residuals.
    That is tighter than scikit-learn's test at an equal `tol`, and keeps its sense however small the residuals become.

    Features of float32 are multiplied in float32, and not copied where rows are more than four times the columns.

    Attributes: `classes_` (C,), `coef_` (C, D) or (1, D), `intercept_` (C,) or (1,), `n_iter_`, and `gradient_norm_`,
    relative as above. In `fit_soft` a class without any share gets no coefficients and no chance.
    """

    def __init__(
        self, l2: float = 1.0, *, max_iter: int = 5000, tol: float = 1e-4, class_weight: ClassWeight = None
    ) -> None:
        self.l2 = l2
        self.max_iter = max_iter
        self.tol = tol
        self.class_weight = class_weight

    def predict_proba(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Probabilities (m, C)."""
        scores = class_scores(self, X)
        probabilities: NDArray[np.float64] = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        return probabilities

    def _follow(self, X: NDArray[Any], targets: Targets, values: Sequence[float]) -> Iterator[float]:
        values = falling(values)
        problem = CrossEntropy(X, targets.mass[:, targets.seen])
        # Two classes share one vector w, as -w/2 and w/2: their squared norm is half of its own.
        unit = (2 if len(targets.classes) == 2 else 1) / problem.total
        minima = Descent(problem, tol=self.tol, max_iter=self.max_iter).follow([value * unit for value in values])
        for value, minimum in zip(values, minima, strict=True):
            self._take(targets, *problem.design.of_columns(minimum.point), dtype=X.dtype)
            self.n_iter_, self.gradient_norm_ = minimum.iterations, minimum.gradient_norm
            yield value
