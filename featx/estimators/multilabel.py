"""Images of several classes at once: a yes or no of its own for every class."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, clone
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from featx.errors import HeadError
from featx.estimators.scaling import FLOATS
from featx.estimators.scores import (
    Grid,
    class_scores,
    fit_classifier,
    sweep,
)
from featx.estimators.softmax import SoftmaxRegression
from featx.estimators.targets import check_weights

logger = logging.getLogger(__name__)

Weights: TypeAlias = NDArray[np.float64] | None


class IndicatorClassifier(MultiOutputMixin, ClassifierMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """A classifier that learns an indicator (n, C) of 0 and 1, and gives one logit a class (m, C).

    A class that all rows of weight have, or none, has the same logit everywhere, +-log(2 w + 1) by the weight w of all
    rows, which is logged. Labels (n,) are taken too, as one class a row: then the class of the highest logit wins.
    """

    constants_: NDArray[np.float64]
    """(C,): the logit of each class that all rows have, or none; NaN for the others, which alone are learnt."""

    def fit(self, X: NDArray[Any], y: NDArray[Any], sample_weight: ArrayLike | None = None) -> Self:
        """Itself, fitted to an indicator (n, C) of 0 and 1, or labels (n,); rows of weight 0 are left out.

        Raises HeadError for weights that make no problem, or an indicator of other numbers.
        """
        self._learn(*self._checked_targets(X, y, sample_weight))
        return self

    def decision_function(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """The logits (m, C) of the classes; of two labels (m,), that of the second."""
        check_is_fitted(self)
        logits = self._with_constants(self._logits(validate_data(self, X, dtype=FLOATS, reset=False)))
        return logits if self.multilabel_ or logits.shape[1] > 1 else logits[:, 0]

    def predict(self, X: NDArray[Any]) -> NDArray[Any]:
        """The indicator (m, C) of the logits above 0; of labels, the class (m,) of the highest."""
        logits = self.decision_function(X)
        if self.multilabel_:
            return (logits > 0).astype(np.int64)
        highest = logits.argmax(axis=1) if logits.ndim == 2 else (logits > 0).astype(np.int64)
        labels: NDArray[Any] = self.classes_[highest]
        return labels

    def sweep(
        self,
        X: NDArray[Any],
        y: NDArray[Any],
        held_out: NDArray[Any],
        *,
        grid: Grid,
        sample_weight: ArrayLike | None = None,
    ) -> Iterator[tuple[dict[str, Any], NDArray[np.float64]]]:
        """For each parameter set: it, and logits (m, C) of held-out rows (m, d) after a fit with it.

        Nothing where all classes are constant, so that parameters make no difference. Raises HeadError as fit does, and
        for labels (n,).
        """
        if np.ndim(y) != 2:
            raise HeadError(f"a sweep of {type(self).__name__} is over an indicator (n, C), but labels (n,) were given")
        model = clone(self)
        X, indicator, weights = model._checked_targets(X, y, sample_weight)
        if np.isfinite(model.constants_).all():
            return
        held_out = validate_data(model, held_out, dtype=FLOATS, reset=False)
        for params, logits in model._sweep(X, indicator, weights, held_out=held_out, grid=grid):
            yield params, model._with_constants(logits)

    @abstractmethod
    def _learn(self, X: NDArray[Any], indicator: NDArray[np.int64], weights: Weights) -> None: ...

    @abstractmethod
    def _logits(self, X: NDArray[Any]) -> NDArray[np.float64]: ...

    @abstractmethod
    def _sweep(
        self, X: NDArray[Any], indicator: NDArray[np.int64], weights: Weights, *, held_out: NDArray[Any], grid: Grid
    ) -> Iterator[tuple[dict[str, Any], NDArray[np.float64]]]: ...

    def _with_constants(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(np.isnan(self.constants_), logits, self.constants_)

    def _checked_targets(
        self, X: NDArray[Any], y: NDArray[Any], sample_weight: ArrayLike | None
    ) -> tuple[NDArray[Any], NDArray[np.int64], Weights]:
        """Rows that weigh anything, their indicator, and their weights where any are given; constants_ is set."""
        X, y = validate_data(self, X, y, dtype=FLOATS, multi_output=True)
        weights = check_weights(sample_weight, len(X))
        kept = weights > 0
        indicator = self._indicator(y[kept])
        self.constants_ = self._constant_logits(indicator, total=float(weights.sum()))
        return X if kept.all() else X[kept], indicator, None if sample_weight is None else weights[kept]

    @staticmethod
    def _constant_logits(indicator: NDArray[np.int64], *, total: float) -> NDArray[np.float64]:
        """The logit (C,) of each class that all rows have, or none; NaN for the others."""
        share = indicator.mean(axis=0)
        for place in np.flatnonzero((share == 0) | (share == 1)):
            logger.warning(
                "%s training row is of class %d; its logit is constant", ("no", "every")[int(share[place])], place
            )
        extreme = np.log(2 * total + 1)
        return np.where(share == 0, -extreme, np.where(share == 1, extreme, np.nan))

    def _indicator(self, y: NDArray[Any]) -> NDArray[np.int64]:
        is_indicator = bool(np.isin(y, (0, 1)).all())
        if y.ndim == 2 and y.shape[1] == 1 and not is_indicator:
            y = y[:, 0]
        self.multilabel_ = y.ndim == 2
        if self.multilabel_:
            if not is_indicator:
                raise HeadError(f"an indicator of classes has 0 and 1, but there is {y[~np.isin(y, (0, 1))][0]}")
            self.classes_ = np.arange(y.shape[1])
            return y.astype(np.int64)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise HeadError("only 1 class has rows that weigh anything; a classifier needs two classes or more")
        one_hot = np.eye(len(self.classes_), dtype=np.int64)[labels]
        return one_hot[:, 1:] if len(self.classes_) == 2 else one_hot

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class OneVsRest(IndicatorClassifier):
    """A classifier of two classes for each column of an indicator: a SoftmaxRegression where none is given."""

    def __init__(self, classifier: BaseEstimator | None = None) -> None:
        self.classifier = classifier

    def _learn(self, X: NDArray[Any], indicator: NDArray[np.int64], weights: Weights) -> None:
        self.estimators_ = [
            None if constant else fit_classifier(clone(self._inner), X, column, sample_weight=weights)
            for constant, column in zip(np.isfinite(self.constants_), indicator.T, strict=True)
        ]

    def _logits(self, X: NDArray[Any]) -> NDArray[np.float64]:
        logits = np.zeros((len(X), len(self.constants_)))
        for place, estimator in enumerate(self.estimators_):
            if estimator is not None:
                logits[:, place] = _logit(class_scores(estimator, X))
        return logits

    def _sweep(
        self, X: NDArray[Any], indicator: NDArray[np.int64], weights: Weights, *, held_out: NDArray[Any], grid: Grid
    ) -> Iterator[tuple[dict[str, Any], NDArray[np.float64]]]:
        """By the classifier's own names of parameters; each class is swept on its own."""
        swept: dict[str, tuple[dict[str, Any], NDArray[np.float64]]] = {}
        for place in np.flatnonzero(np.isnan(self.constants_)):
            results = sweep(self._inner, X, indicator[:, place], held_out, grid=grid, sample_weight=weights)
            for params, scores in results:
                start = np.zeros((len(held_out), len(self.constants_)))
                swept.setdefault(repr(sorted(params.items())), (params, start))[1][:, place] = _logit(scores)
        yield from swept.values()

    @property
    def _inner(self) -> BaseEstimator:
        return SoftmaxRegression() if self.classifier is None else self.classifier


def _logit(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logit (m,) of the second of two classes from their scores (m, 2)."""
    return scores[:, 1] - scores[:, 0]
