"""How many clusters there are: the number at which images are nearest to their own cluster."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import silhouette_samples

from featx.transfer.dividing import Division
from featx.transfer.space import Points

NUMBERS = (2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50)
"""Numbers of clusters that are tried."""
COMPARED = 2_000
"""Number of images of which silhouettes are computed."""


def silhouettes(points: Points, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """(m,): the silhouettes of the first COMPARED images (Rousseeuw 1987); NaN for all if they are in one cluster.

    The silhouette is (b - a) / max(a, b), where a is the mean distance from the images of the same cluster, and b that
    from those of the next nearest one. Points are in the order of hashed names, so that the first ones are a sample.
    """
    some, own = points[:COMPARED], numbers[:COMPARED]
    if not 1 < len(np.unique(own)) < len(own):
        return np.full(len(own), np.nan)
    return np.asarray(silhouette_samples(some, own), np.float64)


def try_numbers(
    points: Points, divide: Callable[[int], Division], report: Callable[[int, int], None]
) -> Iterator[tuple[int, float, Division]]:
    """Each number of clusters that is possible, with the mean silhouette, and the clusters."""
    possible = [number for number in NUMBERS if number < len(points)]
    for done, number in enumerate(possible):
        report(done, len(possible))
        found = divide(number)
        score = float(np.mean(silhouettes(points, found.numbers)))
        if np.isfinite(score):
            yield number, score, found
