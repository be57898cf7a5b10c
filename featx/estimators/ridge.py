"""Ridge regression on class shares, with the exact leave-one-out scores of every penalty."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.estimators.linear import (
    PENALTIES,
    L2Classifier,
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


class LooRidgeClassifier(L2Classifier):
    """Ridge regression of each class, with a penalty that can be chosen by exact leave-one-out scores.

    For each class it minimises the sum of weight x squared error + l2 x squared norm of the coefficients. The target of
    a class is 1 in its own rows and -1 in the others (2 x share - 1 for soft labels), as in scikit-learn's
    RidgeClassifier, whose `alpha` is `l2` here. The intercept has no penalty.

    If `l2` is None, it is the value of `grid` with the highest leave-one-out accuracy by weight; of equal ones, the
    largest. The leave-one-out scores are exact; one eigendecomposition of the smaller of the two Gram matrices gives
    them for all values (Allen 1974; Golub, Heath & Wahba 1979). Sums are in float64 for features of any type, over
    blocks of rows.

    Attributes: `classes_` (C,), `coef_` (C, d) or (1, d), `intercept_` (C,) or (1,), `l2_`, and with `store_loo`
    `loo_scores_` (n, C): the class scores of each row by a fit without that row.

    >>> import numpy as np
    >>> from featx.estimators import LooRidgeClassifier
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(60) % 3
    >>> rows = rng.normal(size=(60, 5)) + labels[:, None]
    >>> fitted = LooRidgeClassifier(grid=[0.1, 1.0, 10.0], store_loo=True).fit(rows, labels)
    >>> fitted.l2_ in (0.1, 1.0, 10.0), fitted.loo_scores_.shape
    (True, (60, 3))
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

    def follow(self, X: NDArray[Any], targets: Targets, values: Sequence[float | None]) -> Iterator[float | None]:
        """Each of these values of `l2`, None before the others and the largest first; the classifier is then fitted.

        `l2_` and `loo_scores_` are not set.
        """
        ridge = solve_ridge(X, targets)
        if None in values:
            self._keep(targets, *ridge.fit(ridge.best(falling(self.grid))), dtype=X.dtype)
            yield None
        if given := [value for value in values if value is not None]:
            for value in falling(given):
                self._keep(targets, *ridge.fit(value), dtype=X.dtype)
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
        ridge = solve_ridge(X, targets, offsets)
        for value in falling(values):
            yield value, ridge.fit(value, bias_penalty=bias_penalty)

    def _learn(self, X: NDArray[Any], targets: Targets) -> None:
        ridge = solve_ridge(X, targets)
        self.l2_ = ridge.best(falling(self.grid)) if self.l2 is None else falling([self.l2])[0]
        self._keep(targets, *ridge.fit(self.l2_), dtype=X.dtype)
        if self.store_loo:
            scores = np.concatenate([block[0] for block in ridge.left_out([self.l2_])])
            self.loo_scores_ = spread_scores(scores, np.flatnonzero(targets.seen), len(targets.classes))


def solve_ridge(X: NDArray[Any], targets: Targets, offsets: NDArray[np.float64] | None = None) -> "_Ridge":
    """The ridge regression of these rows, by the smaller of their two Gram matrices."""
    if np.count_nonzero(targets.weights) < X.shape[1]:
        return _RidgeOfRows(X, targets, offsets)
    return _RidgeOfColumns(X, targets, offsets)


class _Ridge(ABC):
    """A ridge regression decomposed once, so that the fit and the leave-one-out scores of each penalty are cheap.

    Offsets (n, K) are added to the scores of all classes. Leave-one-out scores are those beside them.
    """

    def __init__(self, X: NDArray[Any], targets: Targets, offsets: NDArray[np.float64] | None = None) -> None:
        self.X = X
        self.mass = targets.mass if offsets is not None else targets.mass[:, targets.seen]
        self.weights = targets.weights
        self.mean = weighted_mean(X, self.weights)
        shares = self.mass / np.where(self.weights > 0, self.weights, 1)[:, None]
        # the scores of two classes are opposites, and their difference is the single column of scikit-learn
        self.targets = (2 * shares - 1) / (2 if len(targets.classes) == 2 else 1)
        if offsets is not None:
            self.targets = self.targets - offsets
        self.bias = np.average(self.targets, axis=0, weights=self.weights)

    def fit(self, l2: float, *, bias_penalty: float = 0.0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The coefficients (K, d) and intercepts (K,) of the classes that have weight.

        `bias_penalty` is the penalty on the squared score at the mean of the rows, relative to that on coefficients.
        """
        coefficients = self.coefficients(l2)
        total = self.weights.sum()
        # columns minus their mean do not share in the bias, so that its minimum is a mean that the penalty shrinks
        bias = self.bias * (total / (total + l2 * bias_penalty))
        return coefficients, bias - coefficients @ self.mean

    @abstractmethod
    def coefficients(self, l2: float) -> NDArray[np.float64]:
        """The coefficients (K, d) of the classes that have weight."""

    @abstractmethod
    def left_out(self, values: Sequence[float]) -> Iterator[NDArray[np.float64]]:
        """Leave-one-out scores (values, b, K) of blocks of rows, in their order."""

    def best(self, values: Sequence[float]) -> float:
        """The value with the highest leave-one-out accuracy by weight; of equal ones the first."""
        right = np.zeros(len(values))
        start = 0
        for scores in self.left_out(values):
            mass = self.mass[start : start + scores.shape[1]]
            right += np.take_along_axis(mass[None], scores.argmax(axis=2)[..., None], axis=2).sum(axis=(1, 2))
            start += scores.shape[1]
        return values[int(right.argmax())]


class _RidgeOfColumns(_Ridge):
    """Ridge regression by the Gram matrix (d, d) of the columns."""

    def __init__(self, X: NDArray[Any], targets: Targets, offsets: NDArray[np.float64] | None = None) -> None:
        super().__init__(X, targets, offsets)
        gram = gram_matrix(X, self.mean, weights=self.weights, dtype=np.float64)
        self.values, self.vectors = np.linalg.eigh(gram)
        self.values = self.values.clip(0)
        moment = np.zeros((X.shape[1], len(self.bias)))
        for rows, block in centred_blocks(X, self.mean, dtype=np.float64):
            moment += block.T @ (self.weights[rows, None] * (self.targets[rows] - self.bias))
        self.moment = self.vectors.T @ moment

    def coefficients(self, l2: float) -> NDArray[np.float64]:
        """The coefficients (K, d) of the classes that have weight."""
        return (self.vectors @ (self.moment / (self.values + l2)[:, None])).T

    def left_out(self, values: Sequence[float]) -> Iterator[NDArray[np.float64]]:
        """Leave-one-out scores (values, b, K) of blocks of rows, in their order."""
        inverses = 1 / (self.values + np.array(values)[:, None])
        for rows, block in centred_blocks(self.X, self.mean, dtype=np.float64):
            turned = block @ self.vectors
            leverages = self.weights[rows] * (1 / self.weights.sum() + inverses @ (turned**2).T)
            fitted = self.bias + np.stack([turned @ (inverse[:, None] * self.moment) for inverse in inverses])
            left = np.maximum(1 - leverages, np.finfo(np.float64).eps)[..., None]
            yield self.targets[rows] - (self.targets[rows] - fitted) / left


class _RidgeOfRows(_Ridge):
    """Ridge regression by the Gram matrix (m, m) of the rows that have weight."""

    def __init__(self, X: NDArray[Any], targets: Targets, offsets: NDArray[np.float64] | None = None) -> None:
        super().__init__(X, targets, offsets)
        self.heavy = np.flatnonzero(self.weights)
        roots = np.sqrt(self.weights[self.heavy, None])
        self.rows = X if len(self.heavy) == len(X) else X[self.heavy]
        gram = row_products(self.rows, self.mean) * (roots @ roots.T)
        # the mean has no penalty: its direction is given the largest eigenvalue and left out
        gram += (2 * gram.trace() + 1) / (roots**2).sum() * (roots @ roots.T)
        values, vectors = np.linalg.eigh(gram)
        self.values = values[:-1].clip(0)
        self.vectors = vectors[:, :-1]
        self.moment = self.vectors.T @ (roots * (self.targets[self.heavy] - self.bias))

    def coefficients(self, l2: float) -> NDArray[np.float64]:
        """The coefficients (K, d) of the classes that have weight."""
        dual = self._dual(l2) * np.sqrt(self.weights[self.heavy, None])
        return combine_rows(self.rows, self.mean, parts=dual.T)

    def left_out(self, values: Sequence[float]) -> Iterator[NDArray[np.float64]]:
        """Leave-one-out scores (values, n, K) of all rows, as one block."""
        scores = np.empty((len(values), *self.targets.shape))
        light = np.flatnonzero(self.weights == 0)
        for index, l2 in enumerate(values):
            if len(light):
                coefficients, intercepts = self.fit(l2)
                scores[index, light] = self.X[light] @ coefficients.T + intercepts
            # residual and 1 - leverage both contain the factor l2, which cancels however small it is
            alone = (self.vectors**2) @ (1 / (self.values + l2))
            errors = self._dual(l2) / np.sqrt(self.weights[self.heavy])[:, None] / alone[:, None]
            scores[index, self.heavy] = self.targets[self.heavy] - errors
        yield scores

    def _dual(self, l2: float) -> NDArray[np.float64]:
        dual: NDArray[np.float64] = self.vectors @ (self.moment / (self.values + l2)[:, None])
        return dual
