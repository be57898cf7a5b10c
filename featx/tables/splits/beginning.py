"""The first rows of an order of which every beginning has each class in proportion, and groups as wholes."""

import numpy as np

from featx.cache import FeatureTable
from featx.tables.splits.eligible import EligibleRows, group_rows
from featx.tables.splits.sampling import Integers, Keys, rank_within, shuffle_keys
from featx.tables.splits.split import RowIndices

LEAST = 2
"""The first images of each class that come before all others: with fewer, nothing of it can be left out and learnt."""


def first_rows(table: FeatureTable, rows: RowIndices, *, count: int, seed: int = 0) -> RowIndices:
    """About the first `count` of these labelled rows, ascending, in an order of which every beginning is stratified.

    Fewer rows are a subset of more. Two images, or groups, of each class come first. Groups stay whole: the last one
    may bring more rows than asked for. The order depends on the names of images, or of those in a group, and the seed.

    >>> import featx
    >>> from featx.tables import first_rows
    >>> table = featx.read_features("photos.h5")
    >>> first = first_rows(table, featx.make_splits(table)[0].development, count=20)
    >>> sorted(table.label_names[first].tolist())[::4]
    ['circle', 'cross', 'square', 'star', 'triangle']
    """
    eligible = group_rows(table, rows)
    units = np.arange(len(rows)) if eligible.units is None else eligible.units
    keys, strata = _of_units(eligible, units, shuffle_keys(eligible.keys, seed))
    ranks, sizes = rank_within(strata, keys)
    order = np.lexsort((keys, (ranks + 0.5) / sizes, np.minimum(ranks, LEAST)))
    ends = np.cumsum(np.bincount(units)[order])
    chosen = order[: int(np.searchsorted(ends, count)) + 1]
    return rows[np.isin(units, chosen)]


def _of_units(eligible: EligibleRows, units: Integers, keys: Keys) -> tuple[Keys, Integers]:
    """The least key (u,) and the commonest class (u,) of each unit."""
    if eligible.units is None:
        return keys, eligible.strata
    count = int(units.max()) + 1
    least = np.full(count, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(least, units, keys)
    width = int(eligible.strata.max()) + 1
    pairs, times = np.unique(units * width + eligible.strata, return_counts=True)
    commonest_last = pairs[np.argsort(times, kind="stable")]
    strata = np.empty(count, np.int64)
    strata[commonest_last // width] = commonest_last % width
    return least, strata
