"""Divides points into clusters, and says which points are typical of them."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import AgglomerativeClustering, KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from featx.transfer.space import Points, squared_distances

ALL_AT_ONCE = 20_000
"""Up to this number of points every step of k-means looks at all; of more, at BATCH that are drawn."""
BATCH = 4_096
MOST_STEPS = 100
MOST_MERGED = 5_000
"""Number of points that are merged into clusters; others join the nearest centre."""
NEIGHBOURS = 20
"""Number of nearest images whose mean distance says how typical an image is."""
MOST_REFERENCES = 2_000
"""Number of images of a cluster among which neighbours are searched for."""
AT_ONCE = 1_024
STARTS = 60
"""Number of clusters in all starts together: few clusters need several starts, many hardly gain by them."""


@dataclass(frozen=True)
class Division:
    """Points in clusters; a cluster may be empty if there are fewer different points than clusters."""

    numbers: NDArray[np.int64]
    """(n,): number of the cluster of each point."""
    centres: Points
    """(clusters, k)"""


def divide_points(points: Points, clusters: int, *, seed: int) -> Division:
    """The points (n, k) in at most `clusters` clusters, by k-means++ and Lloyd's algorithm, the best of several starts.

    More than ALL_AT_ONCE points are divided by mini-batches (Sculley 2010). One thread, so that the same points always
    give the same clusters.
    """
    clusters = min(clusters, len(points))
    starts = max(1, STARTS // clusters)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different points than clusters
        if len(points) <= ALL_AT_ONCE:
            found = KMeans(clusters, n_init=starts, max_iter=MOST_STEPS, random_state=seed).fit(points)
        else:
            found = MiniBatchKMeans(
                clusters, n_init=starts, max_iter=MOST_STEPS, batch_size=BATCH, random_state=seed
            ).fit(points)
    return Division(found.labels_.astype(np.int64), found.cluster_centers_)


def merge_points(points: Points, clusters: int, *, seed: int) -> Division:
    """The points (n, k) in `clusters` clusters, merged so that the squared distances within them grow the least.

    Ward's method (1963), for the first MOST_MERGED points; each other point joins the nearest centre. Nothing is drawn
    at random, whatever the seed.
    """
    some = points[:MOST_MERGED]
    clusters = min(clusters, len(some))
    own = AgglomerativeClustering(clusters).fit(some).labels_ if len(some) > 1 else np.zeros(1, np.int64)
    centres = np.stack([some[own == number].mean(axis=0) for number in range(clusters)])
    others = [
        squared_distances(points[start : start + AT_ONCE], centres).argmin(axis=1)
        for start in range(len(some), len(points), AT_ONCE)
    ]
    return Division(np.concatenate([own, *others]).astype(np.int64), centres)


def mean_distances(points: Points) -> NDArray[np.float64]:
    """(n,): the mean distance of each point from its nearest neighbours among these points; of a single one 0."""
    references = points[:MOST_REFERENCES]
    count = min(NEIGHBOURS, len(references) - 1)
    if count < 1:
        return np.zeros(len(points))
    means = np.empty(len(points))
    for start in range(0, len(points), AT_ONCE):
        distances = np.sqrt(squared_distances(points[start : start + AT_ONCE], references))
        nearest = np.partition(distances, count, axis=1)[:, : count + 1]  # the point itself is among them
        means[start : start + AT_ONCE] = nearest.sum(axis=1, dtype=np.float64) / count
    return means
