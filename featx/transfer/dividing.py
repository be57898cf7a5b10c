"""Divides points into clusters by k-means."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from featx.transfer.space import Points

ALL_AT_ONCE = 20_000
"""Up to this number of points every step of k-means looks at all; of more, at BATCH that are drawn."""
BATCH = 4_096
MOST_STEPS = 100
STARTS = 60
"""Number of clusters in all starts together: few clusters need several starts, many hardly gain by them."""


@dataclass(frozen=True)
class Division:
    """Points in clusters; a cluster may be empty if there are fewer different points than clusters."""

    numbers: NDArray[np.int64]
    """(n,): number of the cluster of each point."""
    centres: Points
    """(clusters, k)"""
    inertia: float
    """Sum of the squared distances of the points from their centres."""


def divide_points(points: Points, clusters: int, *, seed: int) -> Division:
    """The points (n, k) in at most so many clusters, by k-means++ and Lloyd's algorithm, the best of several starts.

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
    return Division(found.labels_.astype(np.int64), found.cluster_centers_, float(found.inertia_))
