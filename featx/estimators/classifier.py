"""The base of all classifiers with one label per row: they learn labels or soft labels and sweep over parameters."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.model_selection import ParameterGrid
from sklearn.utils.validation import validate_data

from featx.estimators.rows import FLOATS, validated_rows
from featx.estimators.scores import (
    NO_CHANCE,
    Grid,
    log_probabilities,
    spread_scores,
)
from featx.estimators.targets import (
    ClassWeight,
    Targets,
    label_targets,
    share_targets,
)


class SoftLabelClassifier(ClassifierMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """A classifier that learns rows with their Targets and gives every class a score.

    A subclass learns in `_learn` and scores in `_scores`. Both know only the classes that have weight in training: this
    class adds the other columns, unless `_prepare` is overridden to pass on all rows and classes.
    """

    class_weight: ClassWeight = None
    """Weights of the classes, for classifiers with this scikit-learn parameter; heads balance by row weights."""
    classes_: NDArray[Any]
    seen_: NDArray[np.int64]
    """The positions in `classes_` of the classes that have weight in training."""
    no_chance: ClassVar[float]
    """The score of the classes without weight in training."""

    def fit(self, X: NDArray[Any], y: NDArray[Any], sample_weight: ArrayLike | None = None) -> Self:
        """The classifier, fitted to rows X (n, d) with labels y (n,).

        Raises HeadError for negative weights, and for fewer than two classes with weight.
        """
        self._learn(*self._with_labels(X, y, sample_weight))
        return self

    def fit_soft(self, X: NDArray[Any], shares: NDArray[Any], sample_weight: ArrayLike | None = None) -> Self:
        """The classifier, fitted to rows X (n, d) with shares (n, C) of the classes 0 .. C - 1.

        A row counts as several rows, one per class, each weighted by its share. A class without any share has no
        chance. Raises HeadError as `fit` does, and for shares that do not sum to 1.
        """
        self._learn(*self._with_shares(X, shares, sample_weight))
        return self

    def sweep(
        self,
        X: NDArray[Any],
        y: NDArray[Any],
        held_out: NDArray[Any],
        *,
        grid: Grid,
        sample_weight: ArrayLike | None = None,
    ) -> Iterator[tuple[dict[str, Any], NDArray[np.float64]]]:
        """Each parameter set of the grid, with the class scores (m, C) of held-out rows (m, d) after a fit with it.

        y are labels (n,) or shares (n, C). Work that parameter sets share is done once, on a clone of the classifier.
        Raises HeadError as `fit` and `fit_soft` do.
        """
        rest = {name: values for name, values in grid.items() if name != "class_weight"}
        for fixed in ParameterGrid({name: grid[name] for name in grid if name not in rest}):
            model = clone(self).set_params(**fixed)
            prepare = model._with_labels if np.ndim(y) == 1 else model._with_shares
            rows, targets = prepare(X, y, sample_weight)
            held_out = validate_data(model, held_out, dtype=FLOATS, reset=False)
            for params, scores in model._sweep(rows, targets, held_out, rest):
                yield {**fixed, **params}, model._as_class_scores(model._spread(scores))

    def predict(self, X: NDArray[Any]) -> NDArray[Any]:
        """The class (m,) with the highest score; of equal scores the first."""
        best: NDArray[np.intp] = self._all_scores(X).argmax(axis=1)
        return np.take(self.classes_, best)

    @abstractmethod
    def _learn(self, X: NDArray[Any], targets: Targets) -> None:
        """Fit to the rows (n, d)."""

    @abstractmethod
    def _scores(self, X: NDArray[Any]) -> NDArray[Any]:
        """The scores (m, K) of the classes that were learnt."""

    @abstractmethod
    def _as_class_scores(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        """What the function `class_scores` returns for a classifier with these scores (m, C)."""

    def _sweep(
        self, X: NDArray[Any], targets: Targets, held_out: NDArray[Any], grid: Grid
    ) -> Iterator[tuple[dict[str, Any], NDArray[Any]]]:
        for params in ParameterGrid(grid):
            self.set_params(**params)._learn(X, targets)
            yield params, self._scores(held_out)

    def _all_scores(self, X: NDArray[Any]) -> NDArray[Any]:
        """The scores (m, C) of all classes."""
        return self._spread(self._scores(validated_rows(self, X)))

    def _spread(self, scores: NDArray[Any]) -> NDArray[Any]:
        count = len(self.classes_)
        return scores if scores.shape[1] == count else spread_scores(scores, self.seen_, count, missing=self.no_chance)

    def _with_labels(self, X: NDArray[Any], y: NDArray[Any], weight: ArrayLike | None) -> tuple[NDArray[Any], Targets]:
        X, y = validate_data(self, X, y, dtype=FLOATS)
        return self._prepare(X, label_targets(y, weight, self.class_weight))

    def _with_shares(
        self, X: NDArray[Any], shares: NDArray[Any], weight: ArrayLike | None
    ) -> tuple[NDArray[Any], Targets]:
        X = validate_data(self, X, dtype=FLOATS)
        return self._prepare(X, share_targets(shares, weight, self.class_weight, rows=len(X)))

    def _prepare(self, X: NDArray[Any], targets: Targets) -> tuple[NDArray[Any], Targets]:
        """The rows and classes that have weight, and their targets."""
        self.classes_ = targets.classes
        self.seen_ = np.flatnonzero(targets.seen)
        targets = Targets(targets.classes[self.seen_], targets.mass[:, self.seen_])
        kept = targets.weights > 0
        return (X, targets) if kept.all() else (X[kept], Targets(targets.classes, targets.mass[kept]))


class MarginClassifier(SoftLabelClassifier):
    """A classifier whose scores (m, C) are margins, distances or similarities."""

    no_chance = NO_CHANCE

    def decision_function(self, X: NDArray[Any]) -> NDArray[Any]:
        """The scores (m, C) of the classes; for two classes (m,), the score of the second minus that of the first."""
        scores = self._all_scores(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def _as_class_scores(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        # the decision function keeps only the difference of two classes, which is split into two halves
        if scores.shape[1] == 2:
            scores = np.column_stack([scores[:, 0] - scores[:, 1], scores[:, 1] - scores[:, 0]]) / 2
        return np.asarray(scores, np.float64)


class ProbabilityClassifier(SoftLabelClassifier):
    """A classifier whose scores (m, C) are probabilities."""

    no_chance = 0.0

    def predict_proba(self, X: NDArray[Any]) -> NDArray[Any]:
        """The probabilities (m, C) of the classes."""
        return self._all_scores(X)

    def _as_class_scores(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        return log_probabilities(scores)
