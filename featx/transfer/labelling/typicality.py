"""Typical images: of each large cluster without a label the image that is nearest to its neighbours."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from featx.transfer.dividing import divide_points, mean_distances
from featx.transfer.labelling.pool import Places, Pool, Turns

MOST_CLUSTERS = 500
"""Number of clusters at most; further images are from clusters that have a label, those with the fewest first."""

Suggested: TypeAlias = Iterator[tuple[int, str]]
"""Place of each suggested image in the pool, and why."""


def suggest_typical(pool: Pool, turns: Turns, *, count: int, seed: int) -> Suggested:
    """TypiClust (Hacohen, Dekel and Weinshall 2022, section 3.2): as many clusters as labels, each with a label.

    All images are divided into clusters, one for each image that has a label or gets one. The next image is always from
    the cluster with the fewest labels, and of those the largest: the image with the smallest mean distance from its
    nearest neighbours in the cluster.
    """
    number = min(len(pool.known) + count, MOST_CLUSTERS)
    cluster = divide_points(pool.points, number, seed=seed).numbers
    members = [np.flatnonzero(cluster == one) for one in range(number)]
    sizes = np.array([len(one) for one in members])
    labels = np.bincount(cluster[pool.known], minlength=number)
    spread: dict[int, NDArray[Any]] = {}
    for _ in range(count):
        chosen, allowed = _next_cluster(members, labels=labels, sizes=sizes, turns=turns)
        if chosen not in spread:
            spread[chosen] = mean_distances(pool.points[members[chosen]])
        place = int(allowed[spread[chosen][np.isin(members[chosen], allowed)].argmin()])
        yield (
            place,
            _why(int(labels[chosen]), int(sizes[chosen]), first=sizes[chosen] == sizes[labels == 0].max(initial=0)),
        )
        turns.take(place)
        labels[chosen] += 1


def _next_cluster(
    members: Sequence[Places], *, labels: NDArray[Any], sizes: NDArray[Any], turns: Turns
) -> tuple[int, Places]:
    """The cluster with the fewest labels, of those the largest, that has images whose turn it is; and these images."""
    allowed = turns.allowed()
    order = np.lexsort((-sizes, labels)).tolist()
    return next((one, free) for one in order if len(free := members[one][allowed[members[one]]]))


def _why(labels: int, size: int, *, first: bool) -> str:
    images = f"{size:,} image{'s' * (size != 1)}"
    if labels:
        return f"typical of a cluster with only {labels:,} label{'s' * (labels != 1)} ({images})"
    return (
        f"centre of the largest cluster without a label ({images})"
        if first
        else f"centre of a cluster without a label ({images})"
    )
