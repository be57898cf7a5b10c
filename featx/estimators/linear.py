"""Linear classifiers: scores are coefficients x features + intercept, and a sweep fits one penalty after another."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from sklearn.model_selection import ParameterGrid

from featx.errors import HeadError
from featx.estimators.classifier import MarginClassifier
from featx.estimators.linear_scores import LinearScores
from featx.estimators.scaling import column_moments
from featx.estimators.scores import NO_CHANCE, Grid, both_sides
from featx.estimators.targets import Targets, share_targets

PENALTIES = tuple(float(l2) for l2 in np.logspace(-6, 5, 45))
"""The values of `l2` to tune a linear classifier over (Kornblith, Shlens & Le 2019)."""


def falling(values: Iterable[float]) -> list[float]:
    """The different values of `l2`, the largest first. Raises HeadError if there are none or one is not above 0."""
    ordered = sorted(set(values), reverse=True)
    if not ordered:
        raise HeadError("there is no value of l2 to try; give at least one")
    if not ordered[-1] > 0:
        raise HeadError(f"l2 is {ordered[-1]} but must be above 0; a very small value is almost no penalty")
    return ordered


class LinearClassifier(MarginClassifier):
    """A classifier whose scores are coefficients x features + intercept, with one parameter that regularises it."""

    coef_: NDArray[Any]
    """(K, d): the coefficients of each class; for two classes (1, d), those of the second."""
    intercept_: NDArray[Any]
    """(K,); for two classes (1,)."""
    path: ClassVar[str]
    """The name of the parameter that regularises: a sweep tries its values as one path of fits."""

    @abstractmethod
    def follow(self, X: NDArray[Any], targets: Targets, values: Sequence[Any]) -> Iterator[Any]:
        """Each of these values of the path, the strongest penalty first; the classifier is then fitted with it."""

    def draw(
        self,
        X: NDArray[Any],
        shares: NDArray[Any],
        *,
        towards: LinearScores,
        values: Sequence[float],
        keep_intercept: bool = True,
        sample_weight: ArrayLike | None = None,
    ) -> Iterator[tuple[float, LinearScores]]:
        """Each of these values of the path, the strongest penalty first, with the scores of a fit that it draws.

        The loss of rows X (n, d) with shares (n, C) of the classes is the classifier's own. The penalty is on the
        squared difference from the coefficients of `towards`: the stronger it is, the nearer the fit stays. With
        `keep_intercept` the difference of the scores at the mean of the rows is penalised too, as the coefficient of a
        column as long as a row minus that mean; else it is free. The classifier itself is not fitted. Raises HeadError
        as `fit_soft` does, ConvergenceError if a fit does not converge.
        """
        targets = share_targets(shares, sample_weight, None, rows=len(X))
        length = float(column_moments(X, targets.weights)[1].sum())
        bias_penalty = 1 / (length or 1.0) if keep_intercept else 0.0
        for value, difference in self._draw(X, targets, towards.of(X), values=values, bias_penalty=bias_penalty):
            yield value, towards.plus(LinearScores(*difference))

    @abstractmethod
    def _draw(
        self,
        X: NDArray[Any],
        targets: Targets,
        offsets: NDArray[np.float64],
        *,
        values: Sequence[float],
        bias_penalty: float,
    ) -> Iterator[tuple[float, tuple[NDArray[np.float64], NDArray[np.float64]]]]:
        """Each value, the strongest penalty first, with the coefficients (C, d) and intercepts (C,) beside offsets."""

    def hold(self, scores: LinearScores, *, dtype: DTypeLike) -> Self:
        """The classifier, as if it had been fitted to classes 0 .. C - 1 and these scores had come out."""
        coefficients, intercepts = scores.coefficients, scores.intercepts
        self.classes_ = np.arange(len(intercepts))
        if len(intercepts) == 2:
            coefficients = coefficients[1:] - coefficients[:1]
            intercepts = intercepts[1:] - intercepts[:1]
        self.coef_ = coefficients.astype(dtype)
        self.intercept_ = intercepts
        self.n_features_in_ = coefficients.shape[1]
        return self

    def held(self) -> LinearScores:
        """The scores of the fitted classifier, of its classes in their order; NO_CHANCE for those without weight."""
        coefficients, intercepts = self.coef_.astype(np.float64), self.intercept_.astype(np.float64)
        if len(intercepts) == 1:
            coefficients = np.vstack([-coefficients / 2, coefficients / 2])
            intercepts = np.concatenate([-intercepts / 2, intercepts / 2])
        return LinearScores(coefficients, intercepts)

    def margins(self, X: NDArray[Any]) -> NDArray[Any]:
        """The scores (m, K) of rows (m, d) that need no check; for two classes minus and plus half of the margin."""
        return both_sides(X @ self.coef_.T + self.intercept_)

    def fit_targets(self, X: NDArray[Any], targets: Targets) -> Self:
        """The classifier, fitted to rows X (n, d) that need no check and their Targets."""
        self._learn(X, targets)
        return self

    def _learn(self, X: NDArray[Any], targets: Targets) -> None:
        for _ in self.follow(X, targets, [getattr(self, self.path)]):
            pass

    def _scores(self, X: NDArray[Any]) -> NDArray[Any]:
        return self.margins(X)

    def _sweep(
        self, X: NDArray[Any], targets: Targets, held_out: NDArray[Any], grid: Grid
    ) -> Iterator[tuple[dict[str, Any], NDArray[Any]]]:
        values = grid.get(self.path, [getattr(self, self.path)])
        for others in ParameterGrid({name: tried for name, tried in grid.items() if name != self.path}):
            self.set_params(**others)
            for value in self.follow(X, targets, values):
                yield others | ({self.path: value} if self.path in grid else {}), self.margins(held_out)


class L2Classifier(LinearClassifier):
    """A linear classifier with the penalty l2 x squared norm, which keeps the coefficients of every class.

    Rows without weight are kept, because they have leave-one-out scores too. A class without weight gets coefficients 0
    and the intercept NO_CHANCE.
    """

    path = "l2"
    l2: Any

    def _prepare(self, X: NDArray[Any], targets: Targets) -> tuple[NDArray[Any], Targets]:
        return X, targets

    def _keep(
        self, targets: Targets, coefficients: NDArray[np.float64], intercepts: NDArray[np.float64], *, dtype: DTypeLike
    ) -> None:
        """Keep the coefficients (K, d) and intercepts (K,) of the classes that have weight."""
        coef = np.zeros((len(targets.classes), coefficients.shape[1]))
        intercept = np.full(len(coef), NO_CHANCE)
        coef[targets.seen] = coefficients
        intercept[targets.seen] = intercepts
        if len(coef) == 2:
            coef = coef[1:] - coef[:1]
            intercept = intercept[1:] - intercept[:1]
        self.classes_ = targets.classes
        self.coef_ = coef.astype(dtype)
        self.intercept_ = intercept
