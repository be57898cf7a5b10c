"""What our classifiers share: labels or soft labels to learn from, many parameter sets at once, the class that wins."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.model_selection import ParameterGrid
from sklearn.utils.validation import check_is_fitted, validate_data

from featx.estimators.scaling import FLOATS
from featx.estimators.scores import (
    NO_CHANCE,
    Grid,
    log_probabilities,
)
from featx.estimators.targets import (
    Targets,
    label_targets,
    share_targets,
)


class SoftLabelClassifier(ClassifierMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """A classifier that learns rows and Targets, and gives each class that weighs anything a score."""

    classes_: NDArray[Any]
    seen_: NDArray[np.int64]
    """The places in classes_ of those that weigh anything, which alone `_learn` and `_scores` know."""
    no_chance: float
    """The score of the others."""

    def fit(self, X: NDArray[Any], y: NDArray[Any], sample_weight: ArrayLike | None = None) -> Self:
        """The classifier, fitted to labels (n,); rows of weight 0 are left out.

        Raises HeadError for weights or classes that make no problem.
        """
        self._learn(*self._labelled(X, y, sample_weight))
        return self

    def fit_soft(self, X: NDArray[Any], shares: NDArray[Any], sample_weight: ArrayLike | None = None) -> Self:
        """The classifier, fitted to shares (n, C), as to rows that stand there once a class, weighted by its share.

        `classes_` are 0 .. C - 1; one that no row of weight has a share of has no chance. Raises HeadError as fit does.
        """
        self._learn(*self._shared(X, shares, sample_weight))
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
        """For each parameter set of the grid: it, and class scores (m, C) of held-out rows (m, d) after a fit with it.

        y are labels (n,) or shares (n, C). What parameter sets share is done once. Raises HeadError as fit does.
        """
        rest = {name: values for name, values in grid.items() if name != "class_weight"}
        for fixed in ParameterGrid({name: grid[name] for name in grid if name not in rest}):
            model = clone(self).set_params(**fixed)
            rows, targets = (model._labelled if np.ndim(y) == 1 else model._shared)(X, y, sample_weight)
            held_out = validate_data(model, held_out, dtype=FLOATS, reset=False)
            for params, scores in model._sweep(rows, targets, held_out, rest):
                yield {**fixed, **params}, model._as_class_scores(model._spread(scores))

    def predict(self, X: NDArray[Any]) -> NDArray[Any]:
        """The class (m,) of the highest score; of equal ones the first."""
        best: NDArray[np.intp] = self._all_scores(X).argmax(axis=1)
        return np.take(self.classes_, best)

    @abstractmethod
    def _learn(self, X: NDArray[Any], targets: Targets) -> None: ...

    @abstractmethod
    def _scores(self, X: NDArray[Any]) -> NDArray[Any]: ...

    @abstractmethod
    def _as_class_scores(self, scores: NDArray[Any]) -> NDArray[np.float64]: ...

    def _sweep(
        self, X: NDArray[Any], targets: Targets, held_out: NDArray[Any], grid: Grid
    ) -> Iterator[tuple[dict[str, Any], NDArray[Any]]]:
        for params in ParameterGrid(grid):
            self.set_params(**params)._learn(X, targets)
            yield params, self._scores(held_out)

    def _all_scores(self, X: NDArray[Any]) -> NDArray[Any]:
        """(m, C): of all classes."""
        return self._spread(self._scores(self._checked(X)))

    def _spread(self, scores: NDArray[Any]) -> NDArray[Any]:
        if scores.shape[1] == len(self.classes_):
            return scores
        spread = np.full((len(scores), len(self.classes_)), self.no_chance, scores.dtype)
        spread[:, self.seen_] = scores
        return spread

    def _checked(self, X: NDArray[Any]) -> NDArray[Any]:
        check_is_fitted(self)
        checked: NDArray[Any] = validate_data(self, X, dtype=FLOATS, reset=False)
        return checked

    def _labelled(self, X: NDArray[Any], y: NDArray[Any], weight: ArrayLike | None) -> tuple[NDArray[Any], Targets]:
        X, y = validate_data(self, X, y, dtype=FLOATS)
        targets = label_targets(y, weight, getattr(self, "class_weight", None))
        return self._weighing(X, targets)

    def _shared(self, X: NDArray[Any], shares: NDArray[Any], weight: ArrayLike | None) -> tuple[NDArray[Any], Targets]:
        X = validate_data(self, X, dtype=FLOATS)
        return self._weighing(X, share_targets(shares, weight, getattr(self, "class_weight", None), rows=len(X)))

    def _weighing(self, X: NDArray[Any], targets: Targets) -> tuple[NDArray[Any], Targets]:
        self.classes_, self.seen_ = targets.classes, np.flatnonzero(targets.seen)
        targets = Targets(targets.classes[self.seen_], targets.mass[:, self.seen_])
        kept = targets.weights > 0
        return (X, targets) if kept.all() else (X[kept], Targets(targets.classes, targets.mass[kept]))


class MarginClassifier(SoftLabelClassifier):
    """A classifier whose scores (m, C) are margins, distances or similarities."""

    no_chance = NO_CHANCE

    def decision_function(self, X: NDArray[Any]) -> NDArray[Any]:
        """The scores (m, C); of two classes (m,), that of the second less that of the first."""
        scores = self._all_scores(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def _as_class_scores(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        # of two classes only their difference is given away, which is halved to either side
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


def expanded(X: NDArray[Any], targets: Targets) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.float64]]:
    """Rows, classes and weights: each row once for every class that it has a share of, or X itself for labels."""
    rows, columns = np.nonzero(targets.mass)
    return X if len(rows) == len(X) else X[rows], columns, targets.mass[rows, columns]
