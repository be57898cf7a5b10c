"""The coordinates in which a linear model is fitted, chosen so that the rows give a loss the simplest curvature."""

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
    row_slices,
    weighted_mean,
)

Point: TypeAlias = NDArray[np.float64]
"""(K, q + 1): for each class the coefficients of a design's coordinates, and in the last column the bias."""

FEW_ROWS = 4
"""Rows are copied into principal axes if there are at most this many times as many rows as columns."""
FAR = 4.0
"""A column is centred before products if its mean is more than this many standard deviations from 0."""
LEAST_WEIGHT = 1e-6
"""The least root of a weight, relative to the largest, that rows are divided by; below it a row does not matter."""
FEW_CLASSES = 4
"""Up to this many classes are multiplied one by one, because a matrix product would first copy the rows."""


@dataclass(frozen=True)
class Design:
    """Rows minus their weighted mean, in coordinates that keep the norms of coefficients, and so the penalties.

    Few rows are turned into their principal axes, along which their Gram matrix is diagonal; q is then at most the
    smaller of rows and columns. Many rows stay in the coordinates of their columns and are not copied.
    """

    rows: NDArray[Any]
    """(n, q)"""
    centre: NDArray[Any] | None
    """(q,): what is subtracted from the rows before products; None for nothing."""
    offset: NDArray[np.float64]
    """(q,): the rest of their mean, which is subtracted from the products."""
    curvatures: NDArray[np.float64]
    """(q,): the eigenvalues of their weighted Gram matrix."""
    axes: NDArray[np.float64] | None
    """(q, q): its eigenvectors; None if these are the coordinates already."""
    mean: NDArray[np.float64]
    """(D,): the weighted mean of the columns."""
    to_columns: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    """Turns coefficients (K, q) into those (K, D) of the columns."""

    def turn(self, point: Point) -> Point:
        """The point with its coefficients along the eigenvectors."""
        return point if self.axes is None else np.column_stack([point[:, :-1] @ self.axes, point[:, -1]])

    def turn_back(self, point: Point) -> Point:
        """A point with coefficients along the eigenvectors, in the coordinates of the rows."""
        return point if self.axes is None else np.column_stack([point[:, :-1] @ self.axes.T, point[:, -1]])

    def blocks(self, rows: NDArray[Any] | None = None) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Blocks (b, q) of the design's rows or of those given, ready for products, each with its slice."""
        rows = self.rows if rows is None else rows
        if self.centre is None:
            return ((part, rows[part]) for part in row_slices(rows))
        return centred_blocks(rows, self.centre, dtype=rows.dtype)

    def scorer(self, point: Point) -> Callable[[NDArray[Any]], NDArray[Any]]:
        """A function from a block of rows (b, q) to its scores (K, b), in the type of the rows."""
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
        """Add to a slope (K, q + 1) what derivatives (K, b) by the scores of a block contribute, before the offset."""
        few = len(forces) <= FEW_CLASSES
        slope[:, :-1] += [force @ block for force in forces] if few else forces @ block
        slope[:, -1] += forces.sum(axis=1, dtype=np.float64)

    def take_offset(self, slope: Point) -> None:
        """Subtract from a slope what the offset of all rows has contributed."""
        slope[:, :-1] -= np.outer(slope[:, -1], self.offset)

    def of_columns(self, point: Point) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The coefficients (K, D) and intercepts (K,) of the original columns."""
        coefficients = self.to_columns(point[:, :-1])
        return coefficients, point[:, -1] - coefficients @ self.mean


def design_of(X: NDArray[Any], weights: NDArray[np.float64]) -> Design:
    """The design of rows (n, D) with weights (n,); the scale of the weights changes only the curvatures."""
    mean = weighted_mean(X, weights)
    unit = float(weights.max())
    build = _by_rows if len(X) < X.shape[1] else _by_columns
    design = build(X, weights / unit, mean)
    return replace(design, curvatures=unit * design.curvatures)


def _by_columns(X: NDArray[Any], weights: NDArray[np.float64], mean: NDArray[np.float64]) -> Design:
    """At least as many rows as columns: as they are, or along their principal axes if they are few."""
    gram = gram_matrix(X, mean.astype(X.dtype), weights=weights, dtype=X.dtype)
    far = np.abs(mean) > FAR * np.sqrt(gram.diagonal() / weights.sum())
    curvatures, axes = np.linalg.eigh(gram)
    del gram
    if len(X) <= FEW_ROWS * X.shape[1]:
        return _turned(X, mean, curvatures.clip(0), axes.astype(X.dtype))
    centre = np.where(far, mean, 0).astype(X.dtype) if far.any() else None
    return Design(
        rows=X,
        centre=centre,
        offset=np.where(far, 0, mean),
        curvatures=curvatures.clip(0),
        axes=axes,
        mean=mean,
        to_columns=lambda coefficients: coefficients,
    )


def _by_rows(X: NDArray[Any], weights: NDArray[np.float64], mean: NDArray[np.float64]) -> Design:
    """Fewer rows than columns, along their principal axes.

    The axes of float32 rows come from their inner products in float64, which lose nothing. Those of float64 rows come
    from a singular value decomposition, because inner products would lose half of their digits.
    """
    roots = np.sqrt(weights)
    if X.dtype == np.float64:
        _, lengths, axes = np.linalg.svd((X - mean) * roots[:, None], full_matrices=False)
        kept = lengths > lengths.max() * max(X.shape) * np.finfo(np.float64).eps
        return _turned(X, mean, lengths[kept] ** 2, axes[kept].T)
    values, vectors = np.linalg.eigh(row_products(X, mean) * np.outer(roots, roots))
    kept = values > values.max() * np.sqrt(X.size) * np.finfo(np.float64).eps
    values = values[kept]
    vectors = vectors[:, kept]
    lengths = np.sqrt(values)
    rows = (vectors * lengths / roots.clip(LEAST_WEIGHT)[:, None]).astype(X.dtype)

    def to_columns(coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        """The coefficients (K, D) from those along the axes, which are combinations of rows."""
        return combine_rows(X, mean, parts=(coefficients / lengths) @ vectors.T * roots)

    return along_axes(rows, values, mean=mean, to_columns=to_columns)


def _turned(X: NDArray[Any], mean: NDArray[np.float64], curvatures: NDArray[np.float64], axes: NDArray[Any]) -> Design:
    """The design of rows (n, D) minus their mean, along these axes (D, q)."""
    rows = np.empty((len(X), axes.shape[1]), X.dtype)
    for part, block in centred_blocks(X, mean.astype(X.dtype), dtype=X.dtype, size=GRAM_BYTES):
        np.matmul(block, axes, out=rows[part])
    return along_axes(rows, curvatures, mean=mean, to_columns=lambda coefficients: coefficients @ axes.T)


def along_axes(
    rows: NDArray[Any],
    curvatures: NDArray[np.float64],
    *,
    mean: NDArray[np.float64],
    to_columns: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> Design:
    """The design of centred rows (n, q) that are along their principal axes already."""
    return Design(
        rows=rows,
        centre=None,
        offset=np.zeros(len(curvatures)),
        curvatures=curvatures,
        axes=None,
        mean=mean,
        to_columns=to_columns,
    )
