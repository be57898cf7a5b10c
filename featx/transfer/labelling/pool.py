"""The images that can be suggested, and whose turn it is: no image twice, and every group once before any twice."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable
from featx.errors import TableError
from featx.tables import RowIndices
from featx.transfer.space import PlacedImages, Points

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Pool:
    """The images with and without labels, each set of images of equal features once, in the order of hashed names."""

    table: FeatureTable
    rows: RowIndices
    """(m,): rows of the table."""
    points: Points
    """(m, k)"""
    labelled: NDArray[np.bool_]
    """(m,): whether the image, or one that equals it, has a label."""
    groups: Places | None
    """(m,): number of the group of each image."""
    left_out: int
    """Number of images without a label that equal another image."""

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def free(self) -> Places:
        """Places of the images that can be suggested."""
        return np.flatnonzero(~self.labelled)

    @cached_property
    def known(self) -> Places:
        """Places of the images that have labels."""
        return np.flatnonzero(self.labelled)

    def name(self, place: int) -> str:
        """Name of the image at this place."""
        return self.table.name(int(self.rows[place]))


def make_pool(table: FeatureTable, placed: PlacedImages) -> Pool:
    """The pool of these images. Raises TableError if all of them have labels."""
    labelled = table.labelled[placed.rows]
    if labelled.all():
        raise TableError(
            f"all {len(labelled)} images have a label already; give images without one, or --annotations that leave "
            "lines out"
        )
    # of equal images one with a label comes first, so that its copies are not suggested
    order = np.lexsort((np.arange(len(labelled)), ~labelled))
    _, first = np.unique(placed.features[order], return_index=True)
    kept = np.sort(order[first])
    groups = None
    if table.groups is not None:
        groups = np.unique(table.groups[placed.rows[kept]], return_inverse=True)[1]
    return Pool(
        table=table,
        rows=placed.rows[kept],
        points=placed.points[kept],
        labelled=labelled[kept],
        groups=groups,
        left_out=int((~labelled).sum() - (~labelled[kept]).sum()),
    )


class Turns:
    """Which images of a pool may be suggested next."""

    def __init__(self, pool: Pool) -> None:
        self._left = ~pool.labelled
        self._groups = pool.groups
        self._used = np.zeros(len(pool), np.int64)
        if pool.groups is not None:
            self._used = np.bincount(pool.groups[pool.known], minlength=int(pool.groups.max()) + 1)

    def allowed(self, among: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
        """(m,): the images that are left, `among` these if given, of the groups with the fewest images so far."""
        left = self._left if among is None else self._left & among
        if self._groups is None or not left.any():
            return left
        used = self._used[self._groups]
        return np.asarray(left & (used == used[left].min()))

    def take(self, place: int) -> None:
        """Suggest this image."""
        self._left[place] = False
        if self._groups is not None:
            self._used[self._groups[place]] += 1


def mask(size: int, places: Sequence[int] | Places) -> NDArray[np.bool_]:
    """(size,): true at these places."""
    marked = np.zeros(size, bool)
    marked[places] = True
    return marked
