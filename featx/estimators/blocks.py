"""Scaling and reduction of blocks: a block is the columns of one output of one backbone."""

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
from sklearn.utils.validation import validate_data

from featx.errors import HeadError
from featx.estimators.rows import (
    FLOATS,
    centred_blocks,
    combine_rows,
    gram_matrix,
    row_products,
    validated_rows,
)
from featx.estimators.scaling import (
    column_moments,
    per_deviation,
    standardised,
)

BlockAxes: TypeAlias = tuple[NDArray[np.float64], NDArray[Any]]
"""Variances (k,) and principal axes (d, k) of a block."""


def block_slices(widths: Sequence[int] | None, columns: int) -> list[slice]:
    """The columns of each block of these widths; one block of all columns if there are no widths.

    Raises HeadError if a width is below 1 or the widths do not sum to `columns`.
    """
    widths = (columns,) if widths is None else tuple(widths)
    if min(widths, default=0) < 1 or sum(widths) != columns:
        raise HeadError(f"blocks {widths} are {sum(widths)} columns wide but there are {columns}; correct the widths")
    return [slice(start, stop) for start, stop in pairwise(accumulate(widths, initial=0))]


class BlockScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Standardises columns and gives blocks of different widths equal influence, times the weight of each block.

    Without this the widest block dominates every distance and every penalty. In a block of w columns, each column is
    divided by its standard deviation and by sqrt(w / mean width), so that every block has the same total variance and
    all of them together that of standardised columns. Blocks of equal widths and weights are just standardised.
    Constant columns become 0. Weights of rows are not used.

    >>> import numpy as np
    >>> from featx.estimators import BlockScaler
    >>> rows = np.random.default_rng(0).normal(size=(50, 4))
    >>> scaled = BlockScaler(widths=(3, 1)).fit_transform(rows)
    >>> scaled.var(axis=0).round(3)
    array([0.667, 0.667, 0.667, 2.   ])
    """

    def __init__(self, widths: Sequence[int] | None = None, weights: Sequence[float] | None = None) -> None:
        self.widths = widths
        self.weights = weights

    def fit(self, X: NDArray[Any], y: object = None) -> Self:
        """The fitted scaler, with `mean_` and `factor_` (d,) of the columns of X (n, d).

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
        """The scaled rows (m, d)."""
        return standardised(validated_rows(self, X), mean=self.mean_, factor=self.factor_)

    def _checked_weights(self, blocks: int) -> NDArray[np.float64]:
        weights = np.ones(blocks) if self.weights is None else np.asarray(self.weights, np.float64)
        if weights.shape != (blocks,) or not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
            raise HeadError(
                f"weights are {self.weights} for {blocks} blocks; give each block one of 0 or more, not all 0"
            )
        return weights


class BlockPCA(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Reduces every block to the principal components with the given share of its variance, and joins them.

    Without widths all columns are one block, which is joint PCA. The components are eigenvectors of the covariance
    (d, d) of a block, or of the products (n, n) of its rows if these are fewer. The sign of a component makes its
    largest loading positive. Weights of rows are not used.

    >>> import numpy as np
    >>> from featx.estimators import BlockPCA
    >>> rng = np.random.default_rng(0)
    >>> rows = np.hstack([rng.normal(size=(50, 1)) * [1, 2, 3], rng.normal(size=(50, 2))])
    >>> reduced = BlockPCA(widths=(3, 2), variance=0.99).fit(rows)
    >>> reduced.transform(rows).shape
    (50, 3)
    >>> [loadings.shape for loadings in reduced.components_]
    [(3, 1), (2, 2)]
    """

    def __init__(self, widths: Sequence[int] | None = None, variance: float = 0.95, *, whiten: bool = False) -> None:
        self.widths = widths
        self.variance = variance
        self.whiten = whiten

    def fit(self, X: NDArray[Any], y: object = None) -> Self:
        """The fitted PCA, with `mean_` (d,) and `components_`: the loadings (columns, components) of each block.

        A block without variance has one component, which is 0. Raises HeadError for widths that do not fit X (n, d) and
        for a variance outside (0, 1].
        """
        X = validate_data(self, X, dtype=FLOATS, ensure_min_samples=2)
        mean = column_moments(X)[0].astype(X.dtype)
        return self._keep(mean, _axes_of_blocks(X, mean, self.widths))

    def fit_each(self, X: NDArray[Any], settings: Sequence[Mapping[str, Any]]) -> Iterator[Self]:
        """A fitted copy for each of these settings of `variance` and `whiten`, all from one decomposition.

        Raises HeadError as `fit` does.
        """
        axes = list[BlockAxes]()
        for setting in settings:
            fitted = clone(self).set_params(**setting)
            rows = validate_data(fitted, X, dtype=FLOATS, ensure_min_samples=2)
            mean = column_moments(rows)[0].astype(rows.dtype)
            axes = axes or list(_axes_of_blocks(rows, mean, self.widths))
            yield fitted._keep(mean, axes)

    def transform(self, X: NDArray[Any]) -> NDArray[Any]:
        """The components (m, sum of components) of the rows, block after block."""
        X = validated_rows(self, X)
        reduced = np.empty((len(X), self._n_features_out), X.dtype)
        column = 0
        # in float64, since machines with large coefficients would raise rounding errors; 0.1.0 did so in that of X
        kind = np.float64 if hasattr(self, "exact_") else X.dtype
        for (start, stop), components in zip(self.blocks_, self.components_, strict=True):
            part = reduced[:, column : column + components.shape[1]]
            column += components.shape[1]
            for rows, block in centred_blocks(X[:, start:stop], self.mean_[start:stop], dtype=kind):
                np.matmul(block, components.astype(kind, copy=False), out=part[rows])
        return reduced

    def _keep(self, mean: NDArray[Any], axes: Iterable[BlockAxes]) -> Self:
        if not 0 < self.variance <= 1:
            raise HeadError(f"the share of the variance to keep is {self.variance}; give one above 0 and up to 1")
        self.blocks_ = [[block.start, block.stop] for block in block_slices(self.widths, len(mean))]
        self.mean_ = mean
        self.components_ = [self._loadings(*found) for found in axes]
        self._n_features_out = sum(components.shape[1] for components in self.components_)
        self.exact_ = True
        return self

    def _loadings(self, variances: NDArray[np.float64], axes: NDArray[Any]) -> NDArray[Any]:
        kept = 1 + int(np.searchsorted(np.cumsum(variances), self.variance * variances.sum() * (1 - 1e-12)))
        kept = min(kept, max(1, int((variances > 0).sum())))
        loadings = axes[:, :kept]
        loadings = loadings * np.sign(loadings[np.abs(loadings).argmax(axis=0), np.arange(kept)])
        if self.whiten:
            loadings /= np.sqrt(np.where(variances[:kept] > 0, variances[:kept], 1)).astype(loadings.dtype)
        return np.ascontiguousarray(loadings)


def _axes_of_blocks(X: NDArray[Any], mean: NDArray[Any], widths: Sequence[int] | None) -> Iterator[BlockAxes]:
    for block in block_slices(widths, X.shape[1]):
        variances, axes = principal_axes(X[:, block], mean[block])
        yield variances, axes.astype(X.dtype)


def principal_axes(X: NDArray[Any], mean: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The variances (k,), falling, and axes (d, k) of rows X (n, d) around their mean; k is the smaller of n and d.

    Variances that are only rounding errors are 0.
    """
    rows, columns = X.shape
    if rows > columns:
        values, axes = np.linalg.eigh(gram_matrix(X, mean, weights=np.ones(rows), dtype=X.dtype))
    else:
        values, left = np.linalg.eigh(row_products(X, mean.astype(np.float64)))
        axes = combine_rows(X, mean.astype(np.float64), parts=(left / np.sqrt(np.where(values > 0, values, 1))).T).T
    values = values[::-1]
    axes = axes[:, ::-1]
    floor = values[0] * max(X.shape) * np.finfo(X.dtype).eps
    return np.where(values > floor, values, 0) / (rows - 1), axes
