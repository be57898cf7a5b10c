"""A map of features: images as points on a plane, near to each other if their features are alike."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from featx.cache import FeatureTable
from featx.errors import TableError
from featx.estimators import BlockScaler
from featx.showing import Overview, Shown
from featx.tables import GivenTables, RowIndices, as_table, check_not_empty, check_range, hash_names, shuffle_keys

MOST_MAPPED = 2_000
"""Most images of a map; of a larger table that many are drawn."""
LEAST_MAPPED = 3


@dataclass(frozen=True, repr=False)
class FeatureMap(Shown):
    """Images on a plane: the two principal components of their standardised features.

    >>> import featx
    >>> featx.map_features("photos.h5")
    FeatureMap: 60 of 60 images
      shown: ... of the variance of the features
    """

    rows: RowIndices
    """(n,): the images, as rows of the table."""
    points: NDArray[np.float64]
    """(n, 2)."""
    explained: tuple[float, float]
    """The share of the variance of the standardised features that each of the two directions has."""
    images: int
    """Number of images in the table."""

    def overview(self) -> Overview:
        """How many images are shown, and how much of what tells them apart."""
        share = f"{sum(self.explained):.0%} of the variance of the features"
        return Overview(f"FeatureMap: {len(self.rows)} of {self.images} images", (("shown", share),))


def map_features(table: GivenTables, *, most: int = MOST_MAPPED, seed: int = 0) -> FeatureMap:
    """The images on a plane, by principal component analysis of their features; no label is read.

    Columns are standardised, and blocks of different backbones count alike. Of more than `most` images that many are
    drawn. What is near on the map need not be near in all directions: `explained` says how much of the variance is
    seen. The signs of the directions are such that the largest value of each is positive.

    Raises TableError if there are fewer than three images, or if features are NaN or infinite.

    >>> import featx
    >>> found = featx.map_features("photos.h5", most=30)
    >>> found.points.shape, found.images
    ((30, 2), 60)
    """
    table = as_table(table)
    check_not_empty(table)
    if len(table) < LEAST_MAPPED:
        raise TableError(f"a map needs {LEAST_MAPPED} images or more, but there are {len(table)}")
    rows = _draw(table, most=most, seed=seed)
    features = table.take(rows)
    check_range(features, lambda row: f"the features of {table.name(int(rows[row]))} are")
    widths = tuple(source.stop - source.start for source in table.sources)
    with threadpool_limits(1):
        points, explained = _project(BlockScaler(widths).fit_transform(features), seed=seed)
    return FeatureMap(rows, points, explained, len(table))


def _draw(table: FeatureTable, *, most: int, seed: int) -> RowIndices:
    """All rows, or `most` of them that their names and the seed choose, in the order of the table."""
    if len(table) <= most:
        return np.arange(len(table))
    return np.sort(np.argsort(shuffle_keys(hash_names(table.names), seed), kind="stable")[:most])


def _project(scaled: NDArray[np.floating[Any]], *, seed: int) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """The rows (n, d) on their two principal components, (n, 2), and the share of the variance that each has."""
    points = np.zeros((len(scaled), 2))
    shares = np.zeros(2)
    kept = min(2, scaled.shape[1])
    if scaled.any():
        analysis = PCA(kept, svd_solver="randomized", random_state=seed)
        points[:, :kept] = analysis.fit_transform(scaled)
        shares[:kept] = analysis.explained_variance_ratio_
    points *= np.where(points.max(axis=0) >= -points.min(axis=0), 1, -1)
    return points, (float(shares[0]), float(shares[1]))
