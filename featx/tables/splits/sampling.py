"""Rows in; the part of each out: strata cut in the order of hashed names, or whole units dealt to where they lack."""

from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.columns import CHUNK

Keys = NDArray[np.uint64]
Codes = NDArray[np.int64]


def hash_names(names: NDArray[np.bytes_]) -> Keys:
    """(n,): 64 bits of each name: an order of images that knows nothing of a table's rows, nor of who else is there."""
    chunks = [
        b"".join(blake2b(name, digest_size=8).digest() for name in names[start : start + CHUNK].tolist())
        for start in range(0, len(names), CHUNK)
    ]
    return np.frombuffer(b"".join(chunks), "<u8").astype(np.uint64)


def shuffle_keys(keys: Keys, seed: int) -> Keys:
    """(n,): other keys for this seed; the finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    mixed = keys + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def rank_within(strata: Codes, keys: Keys) -> tuple[Codes, Codes]:
    """(n,) the rank of each row by its key among the rows of its stratum, and (n,) how many these are."""
    _, stratum, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    order = np.lexsort((keys, stratum))
    ranks = np.empty(len(strata), np.int64)
    ranks[order] = np.arange(len(strata)) - (np.cumsum(sizes) - sizes)[stratum[order]]
    return ranks, sizes[stratum]


def deal_rows(strata: Codes, keys: Keys, *, shares: NDArray[np.float64]) -> Codes:
    """(n,): the part of each row; every stratum is cut, in the order of its keys, into parts of these shares.

    A stratum of at least as many rows as there are parts has a row in each; one of fewer fills the last parts. One row
    more or fewer moves at most one other row across each cut.
    """
    ranks, sizes = rank_within(strata, keys)
    parts, cut = np.zeros(len(strata), np.int64), np.zeros(len(strata))
    for index, share in enumerate(np.cumsum(shares)[:-1]):
        most = np.maximum(sizes - (len(shares) - 1 - index), 0)
        cut = np.minimum(np.maximum(np.floor(share * sizes + 0.5), cut + 1), most)
        parts += ranks >= cut
    return parts


def deal_units(units: Codes, members: tuple[Codes, Codes], keys: Keys, *, shares: NDArray[np.float64]) -> Codes:
    """(n,): the part of each row, the same for all rows of a unit; every class is dealt by these shares if it can be.

    `members` are pairs of a row and a class that it is of. Units go, those that hold most of a class first, to the part
    that is furthest from its share of their classes, and of all rows dealt so far; but a class that is left with no
    more units than there are parts without it goes to one of these.
    """
    unit: Codes = np.unique(units, return_inverse=True)[1]
    every = int(members[1].max(initial=-1)) + 1  # one class more: all rows
    owners, classes = np.concatenate([unit[members[0]], unit]), np.append(members[1], np.full(len(unit), every))
    pairs, counts = np.unique(owners * (every + 1) + classes, return_counts=True)
    owners, classes = np.divmod(pairs, every + 1)
    weight = counts / np.bincount(classes, counts)[classes]
    waiting, filled = np.bincount(classes), np.zeros((len(shares), every + 1))
    first, chosen = (
        np.searchsorted(owners, np.arange(unit.max(initial=-1) + 2)),
        np.empty(unit.max(initial=-1) + 1, int),
    )
    for one in _by_size(unit, keys, np.bincount(owners, weight**2)):
        of, share = classes[first[one] : first[one + 1]], weight[first[one] : first[one + 1]]
        empty = filled[:, of] == 0
        urgent = (empty & (waiting[of] <= empty.sum(axis=0))).sum(axis=1)
        goal = np.ones(len(of))
        goal[-1] = filled[:, every].sum() + share[-1]
        chosen[one] = np.lexsort(((filled[:, of] - shares[:, None] * goal) @ share, -urgent))[0]
        filled[chosen[one], of] += share
        waiting[of] -= 1
    return chosen[unit]


def _by_size(unit: Codes, keys: Keys, sizes: NDArray[Any]) -> Codes:
    """The units, large before small; those within a factor of two of each other in the order of their keys."""
    lowest = np.full(len(sizes), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(lowest, unit, keys)
    return np.lexsort((lowest, -np.floor(np.log2(sizes))))
