"""Several blocks of columns, one of each backbone or output, brought to one footing or reduced on their own."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    OneToOneFeatureMixin,
    TransformerMixin,
    clone,
)
from sklearn.utils.validation import check_is_fitted, validate_data

from featx.errors import HeadError
from featx.estimators.rows import (
    centred_blocks,
    combine_rows,
    gram_matrix,
    row_products,
)
from featx.estimators.scaling import (
    FLOATS,
    column_moments,
    per_deviation,
    standardised,
)


def block_slices(widths: Sequence[int] | None, columns: int) -> list[slice]:
    """The columns of each block of these widths; one block of all of them where none are given.

    Raises HeadError where a width is below 1, or they do not sum to the columns.
    """
    widths = (columns,) if widths is None else tuple(widths)
    if min(widths, default=0) < 1 or sum(widths) != columns:
        raise HeadError(f"blocks {widths} are {sum(widths)} columns wide but there are {columns}; give widths that fit")
    return [slice(start, stop) for start, stop in pairwise(accumulate(widths, initial=0))]


class BlockScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Columns standardised, and blocks of different widths made to count alike, each times its weight.

    Without this the widest block has the largest say in every distance and under every penalty. A column of a block
    of w columns is divided by its standard deviation and by sqrt(w / mean width), so that every block has the same
    total variance and all of them together that of standardised columns: equal widths and weights are just that.
    Constant columns become 0. Weights of rows are not taken.
    """

    def __init__(self, widths: Sequence[int] | None = None, weights: Sequence[float] | None = None) -> None:
        self.widths = widths
        self.weights = weights

    def fit(self, X: NDArray[Any], y: object = None) -> Self:
        """Itself, with mean_ and factor_ (d,) of the columns of X (n, d).

        Raises HeadError for widths or weights that do not fit X.
        """
        X = validate_data(self, X, dtype=FLOATS)
        blocks = block_slices(self.widths, X.shape[1])
        weights = self._checked_weights(len(blocks))
        self.mean_, variance = column_moments(X)
        self.factor_ = per_deviation(variance)
        for block, weight in zip(blocks, weights, strict=True):
            self.factor_[block] *= weight * np.sqrt(X.shape[1] / len(blocks) / (block.stop - block.start))
        return self

    def transform(self, X: NDArray[Any]) -> NDArray[Any]:
        """The rows (m, d) with every block on one footing."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        return standardised(X, mean=self.mean_, factor=self.factor_)

    def _checked_weights(self, blocks: int) -> NDArray[np.float64]:
        weights = np.ones(blocks) if self.weights is None else np.asarray(self.weights, np.float64)
        if weights.shape != (blocks,) or not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
            raise HeadError(f"weights {self.weights} for {blocks} blocks; give each block one, 0 or more, not all 0")
        return weights


class BlockPCA(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Every block reduced to the principal components that hold a share of its variance, joined.

    Without widths all columns are one block, which is joint PCA. By the eigenvectors of the covariance (d, d) of a
    block, or of the products (n, n) of its rows where these are fewer: never a decomposition of all the rows. The sign
    of a component is that which makes its largest loading positive. Weights of rows are not taken.
    """

    def __init__(self, widths: Sequence[int] | None = None, variance: float = 0.95, *, whiten: bool = False) -> None:
        self.widths = widths
        self.variance = variance
        self.whiten = whiten

    def fit(self, X: NDArray[Any], y: object = None) -> Self:
        """Itself, with mean_ (d,) and components_, loadings (columns, components) of each block.

        A block that does not vary has one component, which is 0. Raises HeadError for widths that do not fit X (n, d)
        or a variance outside (0, 1].
        """
        X = validate_data(self, X, dtype=FLOATS, ensure_min_samples=2)
        mean = column_moments(X)[0].astype(X.dtype)
        return self._take(mean, _axes_of(X, mean, self.widths))

    def fit_each(self, X: NDArray[Any], settings: Sequence[Mapping[str, Any]]) -> Iterator[Self]:
        """A fitted copy for each of these `variance` and `whiten`, all by one decomposition. Raises as `fit` does."""
        axes = list[Axes]()
        for setting in settings:
            fitted = clone(self).set_params(**setting)
            rows = validate_data(fitted, X, dtype=FLOATS, ensure_min_samples=2)
            mean = column_moments(rows)[0].astype(rows.dtype)
            axes = axes or list(_axes_of(rows, mean, self.widths))
            yield fitted._take(mean, axes)

    def transform(self, X: NDArray[Any]) -> NDArray[Any]:
        """The components (m, sum of components) of the rows, block after block."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        reduced = np.empty((len(X), self._n_features_out), X.dtype)
        column = 0
        for (start, stop), components in zip(self.blocks_, self.components_, strict=True):
            part = reduced[:, column : (column := column + components.shape[1])]
            for rows, block in centred_blocks(X[:, start:stop], self.mean_[start:stop], dtype=X.dtype):
                np.matmul(block, components.astype(X.dtype, copy=False), out=part[rows])
        return reduced

    def _take(self, mean: NDArray[Any], axes: "Iterable[Axes]") -> Self:
        if not 0 < self.variance <= 1:
            raise HeadError(f"a share {self.variance} of the variance was asked for; give one above 0 and up to 1")
        self.blocks_ = [[block.start, block.stop] for block in block_slices(self.widths, len(mean))]
        self.mean_, self.components_ = mean, [self._loadings(*found) for found in axes]
        self._n_features_out = sum(components.shape[1] for components in self.components_)
        return self

    def _loadings(self, variances: NDArray[np.float64], axes: NDArray[Any]) -> NDArray[Any]:
        kept = 1 + int(np.searchsorted(np.cumsum(variances), self.variance * variances.sum() * (1 - 1e-12)))
        kept = min(kept, max(1, int((variances > 0).sum())))
        loadings = axes[:, :kept]
        loadings = loadings * np.sign(loadings[np.abs(loadings).argmax(axis=0), np.arange(kept)])
        if self.whiten:
            loadings /= np.sqrt(np.where(variances[:kept] > 0, variances[:kept], 1)).astype(loadings.dtype)
        return np.ascontiguousarray(loadings)


Axes: TypeAlias = tuple[NDArray[np.float64], NDArray[Any]]
"""Variances (k,) and axes (d, k) of a block."""


def _axes_of(X: NDArray[Any], mean: NDArray[Any], widths: Sequence[int] | None) -> Iterator[Axes]:
    for block in block_slices(widths, X.shape[1]):
        variances, axes = principal_axes(X[:, block], mean[block])
        yield variances, axes.astype(X.dtype)


def principal_axes(X: NDArray[Any], mean: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variances (k,), falling, and axes (d, k) of rows X (n, d) around their mean, k the lesser of n and d.

    What rounding leaves of directions that do not vary is 0.
    """
    rows, columns = X.shape
    if rows > columns:
        values, axes = np.linalg.eigh(gram_matrix(X, mean, weights=np.ones(rows), dtype=X.dtype))
    else:
        values, left = np.linalg.eigh(row_products(X, mean.astype(np.float64)))
        axes = combine_rows(X, mean.astype(np.float64), parts=(left / np.sqrt(np.where(values > 0, values, 1))).T).T
    values, axes = values[::-1], axes[:, ::-1]
    floor = values[0] * max(X.shape) * np.finfo(X.dtype).eps
    return np.where(values > floor, values, 0) / (rows - 1), axes
