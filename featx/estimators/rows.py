"""Passes over the rows of a table in small blocks, so that it is never copied or converted as a whole."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

FLOATS = (np.float64, np.float32)
"""Types of features that are used as they are; other types become float64."""
PASS_BYTES = 2**22
"""Bytes of rows in a block: as much as stays in the cache of a core from one product to the next."""
GRAM_BYTES = 2**25
"""Bytes of rows in a block for products of rows with themselves, which are faster on larger blocks."""


def validated_rows(estimator: BaseEstimator, X: NDArray[Any]) -> NDArray[Any]:
    """The rows (m, d) as an array that the fitted estimator can use.

    Raises scikit-learn's NotFittedError if it is not fitted, and ValueError for rows of another width.
    """
    check_is_fitted(estimator)
    rows: NDArray[Any] = validate_data(estimator, X, dtype=FLOATS, reset=False)
    return rows


def row_slices(X: NDArray[Any], *, size: int = PASS_BYTES) -> Iterator[slice]:
    """Slices of consecutive rows of X (n, D), each of at most `size` bytes or a single row."""
    step = max(1, size // max(1, X.shape[1] * X.itemsize))
    yield from (slice(start, min(start + step, len(X))) for start in range(0, len(X), step))


def weighted_mean(X: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean (D,) of rows (n, D) by their weights (n,), summed in float64."""
    total: NDArray[np.float64] = np.zeros(X.shape[1])
    for rows in row_slices(X):
        total += weights[rows] @ X[rows]
    total /= weights.sum()
    return total


def centred_blocks(
    X: NDArray[Any], centre: NDArray[Any], *, dtype: DTypeLike, size: int = PASS_BYTES
) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Blocks of rows (b, D) minus the centre (D,), each with its slice.

    All blocks share one buffer: the caller may overwrite a block, and the next block replaces it.
    """
    buffer = None
    for rows in row_slices(X, size=size):
        part = X[rows]
        buffer = np.empty(part.shape, dtype) if buffer is None else buffer
        yield rows, np.subtract(part, centre, out=buffer[: len(part)], dtype=dtype)


def gram_matrix(
    X: NDArray[Any], centre: NDArray[Any], *, weights: NDArray[np.float64], dtype: DTypeLike
) -> NDArray[np.float64]:
    """The weighted sum (D, D) of the outer products of the rows (n, D) minus the centre (D,).

    Products of a block are in `dtype`, their sum is in float64.
    """
    gram = np.zeros((X.shape[1], X.shape[1]))
    roots = np.sqrt(weights).astype(dtype)
    for rows, block in centred_blocks(X, centre, dtype=dtype, size=GRAM_BYTES):
        np.multiply(block, roots[rows, None], out=block)
        gram += block.T @ block
    return gram


def row_products(X: NDArray[Any], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inner products (n, n) of all pairs of rows (n, D) minus the centre (D,), in float64."""
    products = np.zeros((len(X), len(X)))
    for _, block in centred_columns(X, centre):
        products += block @ block.T
    return products


def combine_rows(X: NDArray[Any], centre: NDArray[np.float64], *, parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """The linear combinations (K, D) of the rows (n, D) minus the centre (D,) by `parts` (K, n), in float64."""
    sums = np.empty((len(parts), X.shape[1]))
    for columns, block in centred_columns(X, centre):
        sums[:, columns] = parts @ block
    return sums


def centred_columns(X: NDArray[Any], centre: NDArray[np.float64]) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Blocks of columns (n, b) minus their centre, in float64, each with its slice."""
    step = max(1, GRAM_BYTES // (8 * len(X)), len(X) // 4)
    for start in range(0, X.shape[1], step):
        columns = slice(start, start + step)
        yield columns, np.subtract(X[:, columns], centre[columns], dtype=np.float64)
