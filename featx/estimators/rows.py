"""Rows some at a time: passes over features that neither copy nor widen them as a whole."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

BLOCK_BYTES = 2**22
"""Of the rows taken at once: as much as stays in the cache of a core between two products with it."""
GRAM_BYTES = 2**25
"""The same for products of rows with themselves, which want larger blocks."""


def slices(X: NDArray[Any], *, size: int = BLOCK_BYTES) -> Iterator[slice]:
    """Consecutive rows of X (n, D), as many at a time as take this many bytes."""
    step = max(1, size // max(1, X.shape[1] * X.itemsize))
    yield from (slice(start, min(start + step, len(X))) for start in range(0, len(X), step))


def weighted_mean(X: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean (D,) of rows (n, D) by their weights (n,), summed in float64."""
    total: NDArray[np.float64] = np.zeros(X.shape[1])
    for rows in slices(X):
        total += weights[rows] @ X[rows]
    total /= weights.sum()
    return total


def centred_blocks(
    X: NDArray[Any], centre: NDArray[Any], *, dtype: DTypeLike, size: int = BLOCK_BYTES
) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Which rows, and these rows (b, D) less the centre: yours to overwrite, and gone with the next ones."""
    buffer = None
    for rows in slices(X, size=size):
        part = X[rows]
        buffer = np.empty(part.shape, dtype) if buffer is None else buffer
        yield rows, np.subtract(part, centre, out=buffer[: len(part)], dtype=dtype)


def gram_matrix(
    X: NDArray[Any], centre: NDArray[Any], *, weights: NDArray[np.float64], dtype: DTypeLike
) -> NDArray[np.float64]:
    """Sum (D, D) over rows of weight x centred row x its transpose; products in this type, their sum in float64."""
    gram, roots = np.zeros((X.shape[1], X.shape[1])), np.sqrt(weights).astype(dtype)
    for rows, block in centred_blocks(X, centre, dtype=dtype, size=GRAM_BYTES):
        np.multiply(block, roots[rows, None], out=block)
        gram += block.T @ block
    return gram


def row_products(X: NDArray[Any], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """Products (n, n) of every row (D,), less the centre, with every other, in float64."""
    products = np.zeros((len(X), len(X)))
    for _, block in centred_columns(X, centre):
        products += block @ block.T
    return products


def combine_rows(X: NDArray[Any], centre: NDArray[np.float64], *, parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums (K, D) of rows (n, D), less the centre, times their parts (K, n), in float64."""
    sums = np.empty((len(parts), X.shape[1]))
    for columns, block in centred_columns(X, centre):
        sums[:, columns] = parts @ block
    return sums


def centred_columns(X: NDArray[Any], centre: NDArray[np.float64]) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Which columns, some at a time, and these columns (n, b) of the rows less the centre."""
    step = max(1, GRAM_BYTES // (8 * len(X)), len(X) // 4)
    for start in range(0, X.shape[1], step):
        columns = slice(start, start + step)
        yield columns, np.subtract(X[:, columns], centre[columns], dtype=np.float64)
