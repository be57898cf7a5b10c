"""Classifiers for images with several labels: each class is a yes-or-no question."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, clone
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from featx.errors import HeadError
from featx.estimators.rows import FLOATS, validated_rows
from featx.estimators.scores import (
    Grid,
    class_scores,
    fit_classifier,
    sweep,
)
from featx.estimators.softmax import SoftmaxRegression
from featx.estimators.targets import check_weights

logger = logging.getLogger(__name__)

SampleWeights: TypeAlias = NDArray[np.float64] | None


class IndicatorClassifier(MultiOutputMixin, ClassifierMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """A classifier that learns an indicator (n, C) of 0 and 1, and gives each class its own logit (m, C).

    It is not a SoftLabelClassifier, because its classes do not compete for a row: each is learnt and predicted alone.
    Only the checks of rows and weights are shared.

    A class that all rows with weight have, or none, gets a constant logit with a warning in the log: log(2 w + 1) or
    minus that, for the sum w of the weights. Labels (n,) are accepted too, as one class per row; `predict` then returns
    the class with the highest logit.
    """

    constants_: NDArray[np.float64]
    """(C,): the constant logit of each class that all rows have, or none; NaN for the classes that are learnt."""

    def fit(self, X: NDArray[Any], y: NDArray[Any], sample_weight: ArrayLike | None = None) -> Self:
        """The classifier, fitted to rows X (n, d) with an indicator y (n, C) of 0 and 1, or labels (n,).

        Raises HeadError for negative weights, and for an indicator with other numbers.
        """
        self._learn(*self._checked_targets(X, y, sample_weight))
        return self

    def decision_function(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """The logits (m, C) of the classes; if it learnt labels (n,) of two classes, those (m,) of the second."""
        logits = self._with_constants(self._logits(validated_rows(self, X)))
        return logits if self.multilabel_ or logits.shape[1] > 1 else logits[:, 0]

    def predict(self, X: NDArray[Any]) -> NDArray[Any]:
        """The indicator (m, C) of logits above 0; if it learnt labels (n,), the class (m,) with the highest logit."""
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
        """Each parameter set of the grid, with the logits (m, C) of held-out rows (m, d) after a fit with it.

        Yields nothing if all classes are constant, because parameters then make no difference. Raises HeadError as
        `fit` does, and for labels (n,).
        """
        if np.ndim(y) != 2:
            raise HeadError(f"a sweep of {type(self).__name__} needs an indicator (n, C), but y are labels (n,)")
        model = clone(self)
        X, indicator, weights = model._checked_targets(X, y, sample_weight)
        if np.isfinite(model.constants_).all():
            return
        held_out = validate_data(model, held_out, dtype=FLOATS, reset=False)
        for params, logits in model._sweep(X, indicator, weights, held_out=held_out, grid=grid):
            yield params, model._with_constants(logits)

    @abstractmethod
    def _learn(self, X: NDArray[Any], indicator: NDArray[np.int64], weights: SampleWeights) -> None:
        """Fit to the rows (n, d)."""

    @abstractmethod
    def _logits(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """The logits (m, C); those of constant classes are not used."""

    @abstractmethod
    def _sweep(
        self,
        X: NDArray[Any],
        indicator: NDArray[np.int64],
        weights: SampleWeights,
        *,
        held_out: NDArray[Any],
        grid: Grid,
    ) -> Iterator[tuple[dict[str, Any], NDArray[np.float64]]]:
        """What `sweep` yields, before the constant logits are put in."""

    def _with_constants(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(np.isnan(self.constants_), logits, self.constants_)

    def _checked_targets(
        self, X: NDArray[Any], y: NDArray[Any], sample_weight: ArrayLike | None
    ) -> tuple[NDArray[Any], NDArray[np.int64], SampleWeights]:
        """The rows that have weight, their indicator, and their weights if there are any; sets constants_."""
        X, y = validate_data(self, X, y, dtype=FLOATS, multi_output=True)
        weights = check_weights(sample_weight, len(X))
        kept = weights > 0
        indicator = self._indicator(y[kept])
        self.constants_ = self._constant_logits(indicator, total=float(weights.sum()))
        return X if kept.all() else X[kept], indicator, None if sample_weight is None else weights[kept]

    @staticmethod
    def _constant_logits(indicator: NDArray[np.int64], *, total: float) -> NDArray[np.float64]:
        """The logit (C,) of each class that all rows have, or none; NaN for the other classes."""
        share = indicator.mean(axis=0)
        for place in np.flatnonzero((share == 0) | (share == 1)):
            how_many = "every" if share[place] else "no"
            logger.warning("%s training row is of class %d; its logit is constant", how_many, place)
        extreme = np.log(2 * total + 1)
        return np.where(share == 0, -extreme, np.where(share == 1, extreme, np.nan))

    def _indicator(self, y: NDArray[Any]) -> NDArray[np.int64]:
        """The indicator of y, which may be labels; sets classes_ and multilabel_."""
        is_indicator = bool(np.isin(y, (0, 1)).all())
        if y.ndim == 2 and y.shape[1] == 1 and not is_indicator:
            y = y[:, 0]
        self.multilabel_ = y.ndim == 2
        if self.multilabel_:
            if not is_indicator:
                wrong = y[~np.isin(y, (0, 1))][0]
                raise HeadError(
                    f"an indicator of classes has only 0 and 1, but this one has {wrong}; give each class 0 or 1"
                )
            self.classes_ = np.arange(y.shape[1])
            return y.astype(np.int64)
        return self._indicator_of_labels(y)

    def _indicator_of_labels(self, y: NDArray[Any]) -> NDArray[np.int64]:
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise HeadError("only 1 class has rows with a weight above 0; a classifier needs at least two classes")
        one_hot = np.eye(len(self.classes_), dtype=np.int64)[labels]
        return one_hot[:, 1:] if len(self.classes_) == 2 else one_hot

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class OneVsRest(IndicatorClassifier):
    """A binary classifier for each column of an indicator (n, C): clones of `classifier`, or of SoftmaxRegression.

    >>> import numpy as np
    >>> from featx.estimators import OneVsRest
    >>> rows = np.array([[0.0, 0.0], [0.0, 4.0], [4.0, 0.0], [4.0, 4.0]])
    >>> right_and_high = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    >>> fitted = OneVsRest().fit(rows, right_and_high)
    >>> fitted.predict([[3.5, 3.5], [0.5, 3.5]])
    array([[1, 1],
           [0, 1]])
    """

    def __init__(self, classifier: BaseEstimator | None = None) -> None:
        self.classifier = classifier

    def _learn(self, X: NDArray[Any], indicator: NDArray[np.int64], weights: SampleWeights) -> None:
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
        self,
        X: NDArray[Any],
        indicator: NDArray[np.int64],
        weights: SampleWeights,
        *,
        held_out: NDArray[Any],
        grid: Grid,
    ) -> Iterator[tuple[dict[str, Any], NDArray[np.float64]]]:
        """What `sweep` yields: every class is swept alone, over parameters of the inner classifier."""
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
