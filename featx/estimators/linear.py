"""What linear classifiers share: labels or shares to learn from, class scores from coefficients."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.model_selection import ParameterGrid
from sklearn.utils.validation import check_is_fitted, validate_data

from featx.errors import HeadError
from featx.estimators.scores import (
    NO_CHANCE,
    Grid,
    class_scores,
)
from featx.estimators.targets import (
    ClassWeight,
    Targets,
    label_targets,
    share_targets,
)

FLOATS = (np.float64, np.float32)
PENALTIES = tuple(float(l2) for l2 in np.logspace(-6, 5, 45))
"""Those over which linear probes are tuned (Kornblith, Shlens & Le 2019)."""


def falling(values: Iterable[float]) -> list[float]:
    """Each value of `l2` once, the largest first. Raises HeadError where there is none, or one is not above 0."""
    ordered = sorted(set(values), reverse=True)
    if not ordered:
        raise HeadError("there is no value of l2 to try; give the grid one")
    if not ordered[-1] > 0:
        raise HeadError(f"l2 is {ordered[-1]} but must be above 0; a small one is next to none")
    return ordered


class LinearClassifier(ClassifierMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """A classifier whose class scores are coefficients x features + intercept."""

    class_weight: ClassWeight
    classes_: NDArray[Any]
    coef_: NDArray[Any]
    """(C, D), of two classes (1, D): that of the second."""
    intercept_: NDArray[np.float64]

    def fit(self, X: NDArray[Any], y: NDArray[Any], sample_weight: ArrayLike | None = None) -> Self:
        """The classifier, fitted to labels (n,). Raises HeadError for weights or classes that make no problem."""
        X, y = validate_data(self, X, y, dtype=FLOATS)
        return self._learn(X, label_targets(y, sample_weight, self.class_weight))

    def fit_soft(self, X: NDArray[Any], shares: NDArray[Any], sample_weight: ArrayLike | None = None) -> Self:
        """The classifier, fitted to shares (n, C): as to rows that stand there once a class, weighted by its share.

        `classes_` are 0 .. C - 1. Raises HeadError for shares, weights or classes that make no problem.
        """
        X = validate_data(self, X, dtype=FLOATS)
        return self._learn(X, share_targets(shares, sample_weight, self.class_weight, rows=len(X)))

    def sweep(
        self,
        X: NDArray[Any],
        y: NDArray[Any],
        held_out: NDArray[Any],
        *,
        grid: Grid,
        sample_weight: ArrayLike | None = None,
    ) -> Iterator[tuple[dict[str, Any], NDArray[np.float64]]]:
        """Every parameter set of the grid, `l2` falling, and the class scores (m, C) that it gives to held-out rows.

        Fitted to labels (n,) or shares (n, C), on a clone. Raises HeadError as fitting does.
        """
        model, soft = clone(self), np.ndim(y) == 2
        X, y = (validate_data(model, X, dtype=FLOATS), y) if soft else validate_data(model, X, y, dtype=FLOATS)
        for others in ParameterGrid({name: values for name, values in grid.items() if name != "l2"}):
            model.set_params(**others)
            weights = sample_weight, model.class_weight
            targets = share_targets(y, *weights, rows=len(X)) if soft else label_targets(y, *weights)
            for l2 in model._follow(X, targets, grid.get("l2", [model.l2])):
                yield others | ({"l2": l2} if "l2" in grid else {}), class_scores(model, held_out)

    def _learn(self, X: NDArray[Any], targets: Targets) -> Self:
        for _ in self._follow(X, targets, [self.l2]):
            pass
        return self

    @abstractmethod
    def _follow(self, X: NDArray[Any], targets: Targets, values: Sequence[Any]) -> Iterator[Any]:
        """Each of these values of `l2`, the largest first, once the classifier is fitted with it."""

    def _take(
        self, targets: Targets, coefficients: NDArray[np.float64], intercepts: NDArray[np.float64], *, dtype: DTypeLike
    ) -> None:
        """Keep what gives the scores of the classes seen; the others have no chance."""
        coef = np.zeros((len(targets.classes), coefficients.shape[1]))
        intercept = np.full(len(coef), NO_CHANCE)
        coef[targets.seen], intercept[targets.seen] = coefficients, intercepts
        if len(coef) == 2:
            coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        self.classes_, self.coef_, self.intercept_ = targets.classes, coef.astype(dtype), intercept

    def decision_function(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Class scores (m, C); of two classes (m,), above 0 for the second."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        scores: NDArray[np.float64] = X @ self.coef_.T + self.intercept_
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: NDArray[Any]) -> NDArray[Any]:
        """The class (m,) of the largest score."""
        scores = self.decision_function(X)
        best = scores > 0 if scores.ndim == 1 else scores.argmax(axis=1)
        return np.take(self.classes_, best.astype(np.intp))
