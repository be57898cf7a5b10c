"""Images as points in a space of few directions, in which distances are cheap and not dominated by single features."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline, make_pipeline
from threadpoolctl import threadpool_limits

from featx.cache import FeatureTable
from featx.errors import TableError
from featx.estimators import BlockScaler
from featx.tables import RowIndices, check_not_empty, check_range, hash_names

DIRECTIONS = 50
"""Number of principal directions that are kept."""
LEAST_ON_SPHERE = 10
"""With fewer directions than this, points keep their length: an angle alone would say too little."""
MOST_VALUES = 2**24
"""Number of feature values from which scales and directions are learnt; in a larger set, from a part of the images."""
LEAST_ROWS = 2_000
"""Least number of images from which they are learnt; all of them if there are fewer."""
ROWS_AT_ONCE = 4_096
"""Number of images whose features are in memory at a time."""

Points: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class PlacingProgress:
    """How far a command without labels is: what it does now, and how much of that is done."""

    stage: str
    finished: int
    total: int


Report: TypeAlias = Callable[[PlacingProgress], None]


@dataclass(frozen=True)
class PlacedImages:
    """Images as points; the order depends on their names and not on the rows of the table."""

    rows: RowIndices
    """(n,): the row of each image in the table."""
    points: Points
    """(n, k): of length 1, or 0 for an image without any deviation from the mean; of any length if k is small."""
    features: NDArray[np.uint64]
    """(n,): a hash of the features of each image; images of equal features have equal hashes."""


def place_images(table: FeatureTable, *, seed: int, report: Report) -> PlacedImages:
    """The images of weight above 0 as points.

    Columns are standardised, and blocks of different backbones count alike. Of the principal components the first
    DIRECTIONS are kept, and divided by their length, which says more about contrast than about content. Labels are not
    used. One thread, so that the same images always give the same points. Raises TableError if no image has a feature
    or a weight, or if a feature is NaN, infinite or too large.
    """
    check_not_empty(table)
    rows = np.arange(len(table)) if table.weights is None else np.flatnonzero(table.weights > 0)
    if not len(rows):
        raise TableError(f"all {len(table)} images have weight 0; give some of them a weight above 0")
    with threadpool_limits(1):
        return _place(table, rows, seed=seed, report=report)


def _place(table: FeatureTable, rows: RowIndices, *, seed: int, report: Report) -> PlacedImages:
    keys = hash_names(table.names[rows])
    learnt = np.sort(rows[np.argsort(keys, kind="stable")[: max(LEAST_ROWS, MOST_VALUES // table.dim)]])
    directions = _learn_directions(table, learnt[np.argsort(hash_names(table.names[learnt]))], seed=seed)
    points = np.zeros((len(rows), DIRECTIONS), np.float32)
    features = np.empty(len(rows), np.uint64)
    for part in _parts(len(rows)):
        report(PlacingProgress("reading features", part.start, len(rows)))
        block = table.take(rows[part])
        _check(table, rows[part], block)
        features[part] = _hash_rows(block)
        if directions is not None:
            placed = directions.transform(block)
            points[part, : placed.shape[1]] = placed
    order = np.argsort(keys, kind="stable")
    return PlacedImages(rows[order], _on_sphere(points, directions)[order], features[order])


def _learn_directions(table: FeatureTable, rows: RowIndices, *, seed: int) -> Pipeline | None:
    """Standardisation and principal components of these rows; None if the rows do not differ."""
    features = table.take(rows)
    _check(table, rows, features)
    widths = tuple(source.stop - source.start for source in table.sources)
    scaler = BlockScaler(widths).fit(features)
    scaled = scaler.transform(features)
    if not scaled.any():
        return None
    count = min(DIRECTIONS, len(rows) - 1, table.dim)
    return make_pipeline(scaler, PCA(count, svd_solver="randomized", random_state=seed).fit(scaled))


def _check(table: FeatureTable, rows: RowIndices, features: NDArray[np.float32]) -> None:
    """Raise TableError that names the first of these rows with a feature that cannot be computed with."""
    check_range(features, lambda row: f"the features of {table.name(int(rows[row]))} are")


def _on_sphere(points: Points, directions: Pipeline | None) -> Points:
    """The points with length 1, unless they have few directions."""
    kept = 1 if directions is None else directions[-1].n_components_
    points = points[:, :kept]
    if kept < LEAST_ON_SPHERE:
        return points
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    return np.asarray(points / np.where(lengths > 0, lengths, 1), np.float32)


def _parts(count: int) -> Iterator[slice]:
    yield from (slice(start, min(start + ROWS_AT_ONCE, count)) for start in range(0, count, ROWS_AT_ONCE))


def _hash_rows(block: NDArray[np.float32]) -> NDArray[np.uint64]:
    """(b,): a 64-bit hash of each row; 0 and -0 are equal."""
    hashed = b"".join(blake2b(row, digest_size=8).digest() for row in block + 0.0)
    return np.frombuffer(hashed, np.uint64)


def squared_distances(left: Points, right: Points) -> NDArray[np.float32]:
    """(m, n): the squared distance of each left point from each right one."""
    products: NDArray[np.float32] = left @ right.T
    products *= -2
    products += np.einsum("ij,ij->i", left, left)[:, None]
    products += np.einsum("ij,ij->i", right, right)
    np.maximum(products, 0, out=products)
    return products
