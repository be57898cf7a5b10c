"""Ridge regression on class shares, with the exact leave-one-out scores of every penalty."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from featx.estimators.linear import (
    PENALTIES,
    LinearClassifier,
    falling,
)
from featx.estimators.rows import (
    centred_blocks,
    combine_rows,
    gram_matrix,
    row_products,
    weighted_mean,
)
from featx.estimators.scores import spread_scores
from featx.estimators.targets import ClassWeight, Targets


class LooRidgeClassifier(LinearClassifier):
    """Least sum over rows of weight x squared error + l2 x squared norm of the coefficients, a class for itself.

    A class is 1 in the rows that are its own and -1 in the others (2 x share - 1 where rows share in several), as in
    scikit-learn's RidgeClassifier, whose alpha `l2` is; the intercept bears no penalty.

    Where `l2` is None, it is the value of `grid` whose leave-one-out scores name the most weight rightly; of equals,
    the largest. The scores are exact, and those of all values come from one eigendecomposition of the smaller of the
    two Gram matrices (Allen 1974; Golub, Heath & Wahba 1979). Sums are made in float64 whatever the features are, some
    rows at a time.

    Attributes: `classes_` (C,), `coef_` (C, D) or (1, D), `intercept_` (C,) or (1,), `l2_`, and with `store_loo`
    `loo_scores_` (n, C): the class scores of each row, fitted without it.
    """

    def __init__(
        self,
        l2: float | None = None,
        *,
        grid: Sequence[float] = PENALTIES,
        class_weight: ClassWeight = None,
        store_loo: bool = False,
    ) -> None:
        self.l2 = l2
        self.grid = grid
        self.class_weight = class_weight
        self.store_loo = store_loo

    def _learn(self, X: NDArray[Any], targets: Targets) -> Self:
        ridge = _solve(X, targets)
        self.l2_ = ridge.best(falling(self.grid)) if self.l2 is None else falling([self.l2])[0]
        self._take(targets, *ridge.fit(self.l2_), dtype=X.dtype)
        if self.store_loo:
            scores = np.concatenate([block[0] for block in ridge.left_out([self.l2_])])
            self.loo_scores_ = spread_scores(scores, np.flatnonzero(targets.seen), len(targets.classes))
        return self

    def _follow(self, X: NDArray[Any], targets: Targets, values: Sequence[float | None]) -> Iterator[float | None]:
        ridge = _solve(X, targets)
        if None in values:
            self._take(targets, *ridge.fit(ridge.best(falling(self.grid))), dtype=X.dtype)
            yield None
        if given := [value for value in values if value is not None]:
            for value in falling(given):
                self._take(targets, *ridge.fit(value), dtype=X.dtype)
                yield value


def _solve(X: NDArray[Any], targets: Targets) -> "_Ridge":
    rows = np.count_nonzero(targets.weights)
    return (_OfRows if rows < X.shape[1] else _OfColumns)(X, targets)


class _Ridge(ABC):
    """Rows and what they should be, less their weighted means, decomposed."""

    def __init__(self, X: NDArray[Any], targets: Targets) -> None:
        self.X, self.mass, self.weights = X, targets.mass[:, targets.seen], targets.weights
        self.mean = weighted_mean(X, self.weights)
        shares = self.mass / np.where(self.weights > 0, self.weights, 1)[:, None]
        # Of two classes the scores are opposites, and their difference is what scikit-learn's one column is.
        self.targets = (2 * shares - 1) / (2 if len(targets.classes) == 2 else 1)
        self.bias = np.average(self.targets, axis=0, weights=self.weights)

    def fit(self, l2: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Coefficients (K, D) and intercepts (K,) of the classes seen."""
        coefficients = self.coefficients(l2)
        return coefficients, self.bias - coefficients @ self.mean

    @abstractmethod
    def coefficients(self, l2: float) -> NDArray[np.float64]:
        """(K, D), of the classes seen."""

    @abstractmethod
    def left_out(self, values: Sequence[float]) -> Iterator[NDArray[np.float64]]:
        """Scores (values, b, K) of rows, some at a time and in order, each fitted without it."""

    def best(self, values: Sequence[float]) -> float:
        """The value whose left-out scores name the most weight rightly; of equals, the first."""
        right, start = np.zeros(len(values)), 0
        for scores in self.left_out(values):
            mass = self.mass[start : start + scores.shape[1]]
            right += np.take_along_axis(mass[None], scores.argmax(axis=2)[..., None], axis=2).sum(axis=(1, 2))
            start += scores.shape[1]
        return values[int(right.argmax())]


class _OfColumns(_Ridge):
    """By the Gram matrix of the columns (D, D)."""

    def __init__(self, X: NDArray[Any], targets: Targets) -> None:
        super().__init__(X, targets)
        gram = gram_matrix(X, self.mean, weights=self.weights, dtype=np.float64)
        self.values, self.vectors = np.linalg.eigh(gram)
        self.values = self.values.clip(0)
        moment = np.zeros((X.shape[1], len(self.bias)))
        for rows, block in centred_blocks(X, self.mean, dtype=np.float64):
            moment += block.T @ (self.weights[rows, None] * (self.targets[rows] - self.bias))
        self.moment = self.vectors.T @ moment

    def coefficients(self, l2: float) -> NDArray[np.float64]:
        """(K, D), of the classes seen."""
        return (self.vectors @ (self.moment / (self.values + l2)[:, None])).T

    def left_out(self, values: Sequence[float]) -> Iterator[NDArray[np.float64]]:
        """Scores (values, b, K) of some rows at a time, in order."""
        inverses = 1 / (self.values + np.array(values)[:, None])
        for rows, block in centred_blocks(self.X, self.mean, dtype=np.float64):
            turned = block @ self.vectors
            leverages = self.weights[rows] * (1 / self.weights.sum() + inverses @ (turned**2).T)
            fitted = self.bias + np.stack([turned @ (inverse[:, None] * self.moment) for inverse in inverses])
            left = np.maximum(1 - leverages, np.finfo(np.float64).eps)[..., None]
            yield self.targets[rows] - (self.targets[rows] - fitted) / left


class _OfRows(_Ridge):
    """By the Gram matrix of the rows that weigh anything (m, m)."""

    def __init__(self, X: NDArray[Any], targets: Targets) -> None:
        super().__init__(X, targets)
        self.heavy = np.flatnonzero(self.weights)
        roots = np.sqrt(self.weights[self.heavy, None])
        self.rows = X if len(self.heavy) == len(X) else X[self.heavy]
        gram = row_products(self.rows, self.mean) * (roots @ roots.T)
        # The mean is fitted without a penalty: its direction is made the largest, and left out.
        gram += (2 * gram.trace() + 1) / (roots**2).sum() * (roots @ roots.T)
        values, vectors = np.linalg.eigh(gram)
        self.values, self.vectors = values[:-1].clip(0), vectors[:, :-1]
        self.moment = self.vectors.T @ (roots * (self.targets[self.heavy] - self.bias))

    def _dual(self, l2: float) -> NDArray[np.float64]:
        dual: NDArray[np.float64] = self.vectors @ (self.moment / (self.values + l2)[:, None])
        return dual

    def coefficients(self, l2: float) -> NDArray[np.float64]:
        """(K, D), of the classes seen."""
        dual = self._dual(l2) * np.sqrt(self.weights[self.heavy, None])
        return combine_rows(self.rows, self.mean, parts=dual.T)

    def left_out(self, values: Sequence[float]) -> Iterator[NDArray[np.float64]]:
        """Scores (values, n, K) of all rows at once."""
        scores, light = np.empty((len(values), *self.targets.shape)), np.flatnonzero(self.weights == 0)
        for index, l2 in enumerate(values):
            if len(light):
                coefficients, intercepts = self.fit(l2)
                scores[index, light] = self.X[light] @ coefficients.T + intercepts
            # Residual and 1 - leverage are both l2 times these: it cancels, however small it is.
            alone = (self.vectors**2) @ (1 / (self.values + l2))
            errors = self._dual(l2) / np.sqrt(self.weights[self.heavy])[:, None] / alone[:, None]
            scores[index, self.heavy] = self.targets[self.heavy] - errors
        yield scores
