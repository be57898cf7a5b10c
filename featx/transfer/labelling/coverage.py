"""Covering images: each suggested image brings the others as near as possible to a label."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from featx.transfer.labelling.pool import Places, Pool, Turns, mask
from featx.transfer.space import Points, squared_distances

AT_A_TIME = 5_000
"""Number of images that are covered, and suggested, at a time: their distances take 100 MB."""
IMAGES_EACH = 4
"""Least number of images among which each suggestion is chosen; all of them if there are fewer."""
AT_ONCE = 256


def suggest_covering(
    pool: Pool, turns: Turns, *, count: int, weights: NDArray[np.float64] | None = None
) -> Iterator[tuple[int, int]]:
    """Places of images, and the number of images that each of them is nearer to than all labelled ones.

    Greedy facility location, as in Wei, Iyer and Bilmes (2015): the next image is the one that shortens the sum of
    weight x distance from the nearest label the most. A sum is less easily led by single images far away than the
    largest distance (k-center greedy, Sener and Savarese 2018). Weights (m,) are 1 if not given. In a large pool this
    is done for a part of the images, or for one part after the other.
    """
    weights = np.ones(len(pool)) if weights is None else weights
    free = pool.free
    blocks = math.ceil(min(len(free), IMAGES_EACH * count) / AT_A_TIME)
    done = list(pool.known)
    for images, share in zip(
        np.array_split(free[: blocks * AT_A_TIME], blocks), np.array_split(np.arange(count), blocks), strict=True
    ):
        for place, covered in _cover(
            pool, turns, images, done=np.array(done, np.int64), count=len(share), weights=weights
        ):
            done.append(place)
            yield place, covered


def _cover(
    pool: Pool, turns: Turns, images: Places, *, done: Places, count: int, weights: NDArray[np.float64]
) -> Iterator[tuple[int, int]]:
    """Suggest some of these images so that they are near to what is labelled or suggested."""
    points = pool.points[images]
    distances = np.sqrt(squared_distances(points, points))
    nearest = _nearest(points, pool.points[done], farthest=float(distances.max(initial=0)))
    among = mask(len(pool), images)
    own = weights[images]
    gains = _gains(distances, nearest, own)
    for _ in range(count):
        allowed = turns.allowed(among)[images]
        best = int(np.where(allowed, gains, -np.inf).argmax())
        nearer = np.flatnonzero(distances[:, best] < nearest)
        gains -= _gains(distances[nearer], nearest[nearer], own[nearer])
        nearest[nearer] = distances[nearer, best]
        gains += _gains(distances[nearer], nearest[nearer], own[nearer])
        turns.take(int(images[best]))
        yield int(images[best]), len(nearer)


def _nearest(points: Points, labelled: Points, *, farthest: float) -> NDArray[np.float32]:
    """(n,): the distance of each point from the nearest labelled one, `farthest` if there is none."""
    nearest = np.full(len(points), farthest, np.float32)
    for start in range(0, len(labelled), AT_ONCE):
        some = np.sqrt(squared_distances(points, labelled[start : start + AT_ONCE]))
        np.minimum(nearest, some.min(axis=1), out=nearest)
    return nearest


def _gains(
    distances: NDArray[np.float32], nearest: NDArray[np.float32], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n,): by how much each candidate would shorten the weighted sum of these images' distances (r, n)."""
    gains = np.zeros(distances.shape[1])
    for start in range(0, len(distances), AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        gains += weights[rows] @ np.maximum(nearest[rows, None] - distances[rows], 0)
    return gains
