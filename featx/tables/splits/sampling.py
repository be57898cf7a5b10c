"""Stratified assignment of rows to parts: row by row in the order of hashed names, or greedily by whole groups."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from featx.columns import CHUNK

Keys: TypeAlias = NDArray[np.uint64]
Integers: TypeAlias = NDArray[np.int64]


def hash_names(names: NDArray[np.bytes_]) -> Keys:
    """(n,): a 64-bit hash of each name; the order of the hashes depends neither on rows nor on other images."""
    chunks = [
        b"".join(blake2b(name, digest_size=8).digest() for name in names[start : start + CHUNK].tolist())
        for start in range(0, len(names), CHUNK)
    ]
    return np.frombuffer(b"".join(chunks), "<u8").astype(np.uint64)


def shuffle_keys(keys: Keys, seed: int) -> Keys:
    """(n,): each key mixed with the seed by the finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    mixed = keys + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def rank_within(strata: Integers, keys: Keys) -> tuple[Integers, Integers]:
    """The rank of each row by its key within its stratum (n,), and the size of that stratum (n,)."""
    _, stratum, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    order = np.lexsort((keys, stratum))
    ranks = np.empty(len(strata), np.int64)
    ranks[order] = np.arange(len(strata)) - (np.cumsum(sizes) - sizes)[stratum[order]]
    return ranks, sizes[stratum]


def assign_rows(strata: Integers, keys: Keys, *, shares: NDArray[np.float64]) -> Integers:
    """(n,): the part of each row, such that every part receives its share of every stratum.

    The rows of a stratum are cut in the order of their keys. A stratum with at least one row per part has a row in each
    part; a smaller one fills the last parts. Adding or removing one row moves at most one other row across each cut.
    """
    ranks, sizes = rank_within(strata, keys)
    parts = np.zeros(len(strata), np.int64)
    cut = np.zeros(len(strata))
    for index, share in enumerate(np.cumsum(shares)[:-1]):
        most = np.maximum(sizes - (len(shares) - 1 - index), 0)
        cut = np.minimum(np.maximum(np.floor(share * sizes + 0.5), cut + 1), most)
        parts += ranks >= cut
    return parts


def assign_units(
    units: Integers, members: tuple[Integers, Integers], keys: Keys, *, shares: NDArray[np.float64]
) -> Integers:
    """(n,): the part of each row; rows of one unit (a group or a block) share a part, and classes are balanced.

    `members` are pairs of a row and a class of that row. Units are assigned one after the other, those with the most
    of a class first, to the part that is furthest below its share of the unit's classes and of all rows assigned so
    far. A class with no more units left than there are parts without it goes to one of those parts.
    """
    unit: Integers = np.unique(units, return_inverse=True)[1]
    count = int(unit.max(initial=-1)) + 1
    contents = _measure_units(unit, members)
    waiting = np.bincount(contents.classes)
    filled = np.zeros((len(shares), contents.all_rows + 1))
    chosen = np.empty(count, int)
    for number in _by_size(unit, keys, np.bincount(contents.units, contents.weights**2)):
        classes, share = contents.of(number)
        empty = filled[:, classes] == 0
        urgent = (empty & (waiting[classes] <= empty.sum(axis=0))).sum(axis=1)
        goal = np.ones(len(classes))
        goal[-1] = filled[:, contents.all_rows].sum() + share[-1]
        chosen[number] = np.lexsort(((filled[:, classes] - shares[:, None] * goal) @ share, -urgent))[0]
        filled[chosen[number], classes] += share
        waiting[classes] -= 1
    return chosen[unit]


@dataclass(frozen=True)
class _Contents:
    """The classes that each unit contains; one entry per pair of a unit and a class, sorted by unit, then by class."""

    units: Integers
    classes: Integers
    weights: NDArray[np.float64]
    """Share of the class's rows that the unit has."""
    starts: Integers
    """(units + 1,): the first entry of each unit, and the number of entries."""
    all_rows: int
    """Number of an extra class, after the last one, that every row has: it balances the sizes of the parts too."""

    def of(self, unit: int) -> tuple[Integers, NDArray[np.float64]]:
        """The classes of this unit, `all_rows` last, and their weights."""
        entries = slice(self.starts[unit], self.starts[unit + 1])
        return self.classes[entries], self.weights[entries]


def _measure_units(unit: Integers, members: tuple[Integers, Integers]) -> _Contents:
    rows, row_classes = members
    all_rows = int(row_classes.max(initial=-1)) + 1
    owners = np.concatenate([unit[rows], unit])
    classes = np.append(row_classes, np.full(len(unit), all_rows))
    pairs, counts = np.unique(owners * (all_rows + 1) + classes, return_counts=True)
    owners, classes = np.divmod(pairs, all_rows + 1)
    weights = counts / np.bincount(classes, counts)[classes]
    starts = np.searchsorted(owners, np.arange(unit.max(initial=-1) + 2))
    return _Contents(owners, classes, weights, starts, all_rows)


def _by_size(unit: Integers, keys: Keys, sizes: NDArray[Any]) -> Integers:
    """The units, large before small; units within a factor of two of each other in the order of their lowest keys."""
    lowest = np.full(len(sizes), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(lowest, unit, keys)
    return np.lexsort((lowest, -np.floor(np.log2(sizes))))
