"""The rows of a linear model in the coordinates that it is fitted in, and the curvature that they give a loss there."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from featx.estimators.rows import (
    GRAM_BYTES,
    centred_blocks,
    combine_rows,
    gram_matrix,
    row_products,
    slices,
    weighted_mean,
)

Point: TypeAlias = NDArray[np.float64]
"""(K, q + 1): coefficients of a design's coordinates a class, and in the last column the biases."""

FEW_ROWS = 4
"""Rows of up to so many times their columns are turned: the copy takes no more than twice their Gram matrix."""
FAR = 4.0
"""A column whose mean is farther from 0 than so many of its standard deviations is centred before it is multiplied."""
LEAST_WEIGHT = 1e-6
"""The root of the part of the largest weight below which it does not matter where a row lies."""
FEW_CLASSES = 4
"""Up to so many are multiplied one by one: a matrix product would first copy the rows into another order."""


@dataclass(frozen=True)
class Design:
    """Rows less their weighted mean, in coordinates in which norms, and with them penalties, are those of the columns.

    Few rows are turned into the principal axes of all of them, along which their Gram matrix is diagonal: q is at most
    the lesser of rows and columns. Many rows stay as they are, and are not copied.
    """

    rows: NDArray[Any]
    """(n, q)"""
    centre: NDArray[Any] | None
    """(q,), to be taken from the rows before they are multiplied."""
    offset: NDArray[np.float64]
    """(q,): what is left of their mean, and taken from products."""
    curvatures: NDArray[np.float64]
    """(q,): eigenvalues of their weighted Gram matrix."""
    axes: NDArray[np.float64] | None
    """(q, q): its eigenvectors; None where rows lie along them."""
    mean: NDArray[np.float64]
    """(D,), of the columns."""
    to_columns: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    """Coefficients (K, q) to those (K, D) of the columns."""

    def turn(self, point: Point) -> Point:
        """The point with its coefficients along the axes."""
        return point if self.axes is None else np.column_stack([point[:, :-1] @ self.axes, point[:, -1]])

    def turn_back(self, point: Point) -> Point:
        """The point, whose coefficients lie along the axes, in the coordinates of the rows."""
        return point if self.axes is None else np.column_stack([point[:, :-1] @ self.axes.T, point[:, -1]])

    def blocks(self, rows: NDArray[Any] | None = None) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Which rows, and these rows (b, q) to be multiplied, of all or of those given."""
        rows = self.rows if rows is None else rows
        if self.centre is None:
            return ((part, rows[part]) for part in slices(rows))
        return centred_blocks(rows, self.centre, dtype=rows.dtype)

    def scorer(self, point: Point) -> Callable[[NDArray[Any]], NDArray[Any]]:
        """From a block of rows (b, q) to its scores (K, b), in the type of the rows."""
        kind = self.rows.dtype
        coefficients = point[:, :-1].astype(kind)
        biases = (point[:, -1:] - point[:, :-1] @ self.offset[:, None]).astype(kind)
        turned = np.ascontiguousarray(coefficients.T)

        def score(block: NDArray[Any]) -> NDArray[Any]:
            """The scores (K, b) of rows (b, q)."""
            few = len(coefficients) <= FEW_CLASSES
            products = [block @ one for one in coefficients] if few else (block @ turned).T
            scores = np.array(products, order="C")
            scores += biases
            return scores

        return score

    def add_pull(self, slope: Point, forces: NDArray[Any], block: NDArray[Any]) -> None:
        """Add to a slope what forces (K, b) on the scores of a block of rows are on the point, but for the offset."""
        few = len(forces) <= FEW_CLASSES
        slope[:, :-1] += [force @ block for force in forces] if few else forces @ block
        slope[:, -1] += forces.sum(axis=1, dtype=np.float64)

    def take_offset(self, slope: Point) -> None:
        """Take from a slope what the offset of all rows has added to it."""
        slope[:, :-1] -= np.outer(slope[:, -1], self.offset)

    def of_columns(self, point: Point) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Coefficients (K, D) and intercepts (K,) for columns as they are."""
        coefficients = self.to_columns(point[:, :-1])
        return coefficients, point[:, -1] - coefficients @ self.mean


def design_of(X: NDArray[Any], weights: NDArray[np.float64]) -> Design:
    """The design of rows (n, D) with these weights (n,), of whose scale nothing but the curvatures depends."""
    mean, unit = weighted_mean(X, weights), float(weights.max())
    design = (_by_rows if len(X) < X.shape[1] else _by_columns)(X, weights / unit, mean)
    return replace(design, curvatures=unit * design.curvatures)


def _by_columns(X: NDArray[Any], weights: NDArray[np.float64], mean: NDArray[np.float64]) -> Design:
    """Rows as they are, or few of them along the principal axes of their columns."""
    gram = gram_matrix(X, mean.astype(X.dtype), weights=weights, dtype=X.dtype)
    far = np.abs(mean) > FAR * np.sqrt(gram.diagonal() / weights.sum())
    curvatures, axes = np.linalg.eigh(gram)
    del gram
    if len(X) <= FEW_ROWS * X.shape[1]:
        return _turned(X, mean, curvatures.clip(0), axes.astype(X.dtype))
    centre = np.where(far, mean, 0).astype(X.dtype) if far.any() else None
    return Design(X, centre, np.where(far, 0, mean), curvatures.clip(0), axes, mean, lambda coefficients: coefficients)


def _by_rows(X: NDArray[Any], weights: NDArray[np.float64], mean: NDArray[np.float64]) -> Design:
    """Fewer rows than columns along their principal axes: by products of rows with rows where these tell enough.

    Products in float64 lose nothing that float32 has; of rows of float64 they would lose half the digits.
    """
    roots = np.sqrt(weights)
    if X.dtype == np.float64:
        _, lengths, axes = np.linalg.svd((X - mean) * roots[:, None], full_matrices=False)
        kept = lengths > lengths.max() * max(X.shape) * np.finfo(np.float64).eps
        return _turned(X, mean, lengths[kept] ** 2, axes[kept].T)
    values, vectors = np.linalg.eigh(row_products(X, mean) * np.outer(roots, roots))
    kept = values > values.max() * np.sqrt(X.size) * np.finfo(np.float64).eps
    values, vectors = values[kept], vectors[:, kept]
    lengths = np.sqrt(values)
    rows = (vectors * lengths / roots.clip(LEAST_WEIGHT)[:, None]).astype(X.dtype)

    def to_columns(coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        """Coefficients (K, D) from those along the axes, which are sums of rows."""
        return combine_rows(X, mean, parts=(coefficients / lengths) @ vectors.T * roots)

    return Design(rows, None, np.zeros(len(values)), values, None, mean, to_columns)


def _turned(X: NDArray[Any], mean: NDArray[np.float64], curvatures: NDArray[np.float64], axes: NDArray[Any]) -> Design:
    """Rows (n, D), less their mean, along these axes (D, q)."""
    rows = np.empty((len(X), axes.shape[1]), X.dtype)
    for part, block in centred_blocks(X, mean.astype(X.dtype), dtype=X.dtype, size=GRAM_BYTES):
        np.matmul(block, axes, out=rows[part])
    nowhere = np.zeros(axes.shape[1])
    return Design(rows, None, nowhere, curvatures, None, mean, lambda coefficients: coefficients @ axes.T)
