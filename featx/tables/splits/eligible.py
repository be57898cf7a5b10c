"""A table in; the rows that take part in a split, and what decides how they are dealt, out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable
from featx.columns import take
from featx.errors import TableError
from featx.tables.splits.sampling import (
    Codes,
    Keys,
    deal_rows,
    deal_units,
    hash_names,
    shuffle_keys,
)
from featx.tables.splits.split import Rows


@dataclass(frozen=True)
class Pool:
    """Rows to deal; one entry a row in every array."""

    table: FeatureTable
    rows: Rows
    """In the table's order."""
    keys: Keys
    """What stands for the image's name."""
    units: Codes | None = None
    """Rows of one unit are dealt together."""
    what: str = "image"
    """What is dealt: images, or units that are a group or a block."""

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, chosen: NDArray[np.bool_]) -> "Pool":
        """These rows alone."""
        where = np.flatnonzero(chosen)
        return replace(self, rows=self.rows[where], keys=self.keys[where], units=take(self.units, where))

    @cached_property
    def members(self) -> tuple[Codes, Codes]:
        """Pairs of a row and a class that it is of: one pair a row, unless there are several labels."""
        truth = self.table.labels_of(self.rows)
        if truth.multilabel:
            rows, classes = np.nonzero(truth.shares > 0)
            return rows, classes
        return np.arange(len(self)), truth.codes

    @cached_property
    def strata(self) -> Codes:
        """(m,): the class of each row; of several its rarest; one more than the last class where it is of none."""
        rows, classes = self.members
        if not self.table.multilabel:
            return classes
        counts = np.bincount(classes, minlength=len(self.table.classes))
        strata = np.full(len(self), len(self.table.classes))
        rarest_last = np.lexsort((classes, -counts[classes]))
        strata[rows[rarest_last]] = classes[rarest_last]
        return strata

    def counts(self) -> tuple[Codes, Codes]:
        """The classes that are met, and how many images, or units, of each there are."""
        rows, classes = self.members
        if self.units is not None:
            classes = np.unique(np.stack([self.units[rows], classes]), axis=1)[1]
        return np.unique(classes, return_counts=True)

    def deal(self, shares: Sequence[float], *, seed: int) -> Codes:
        """(m,): the part of each row, by these shares of every class; whole units where there are any."""
        keys, of_parts = shuffle_keys(self.keys, seed), np.array(shares)
        if self.units is not None:
            return deal_units(self.units, self.members, keys, shares=of_parts)
        return deal_rows(_merge_small(self.strata, len(shares)), keys, shares=of_parts)

    def deal_folds(self, folds: int, *, seed: int) -> Codes:
        """(m,): the fold of each row."""
        parts = self.deal([1 / folds] * folds, seed=seed)
        return parts if self.units is not None else (parts + self.strata) % folds  # classes round up in turn

    def check_enough(self, needed: int, purpose: str, *, where: str = "", step: str = "") -> None:
        """Raise TableError where a class has fewer images, or units, than are needed for this purpose."""
        classes, counts = self.counts()
        if len(classes) and counts.min() < needed:
            name, count = self.table.classes[classes[counts.argmin()]], int(counts.min())
            things = self.what if count == 1 else f"{self.what}s"
            has = f"has {count} {things}" if self.units is None else f"lies in {count} {things}"
            raise TableError(
                f"class {name!r} {has}{where}, too few {purpose}, which takes {needed}; "
                f"{step}add {self.what}s of it or leave the class out"
            )


def _merge_small(strata: Codes, parts: int) -> Codes:
    """Strata too small for all parts become one: those of several labels may be of one image."""
    known, inverse, counts = np.unique(strata, return_inverse=True, return_counts=True)
    return np.where(counts >= parts, known, -1)[inverse]


def taking_part(table: FeatureTable) -> Pool:
    """The labelled rows with a weight above 0; groups are its units.

    Raises TableError where no image has a feature, a label or a weight, all images of a class weigh 0, or there are
    fewer than two classes.
    """
    check_any(table)
    labelled = np.flatnonzero(table.labelled)
    if not len(labelled):
        raise TableError(
            "no image has a label; put images into class folders, or give a manifest or --annotations with labels"
        )
    rows = labelled if table.weights is None else labelled[table.weights[labelled] > 0]
    if not len(rows):
        raise TableError(f"all {len(labelled)} labelled images have weight 0; give some of them a weight above 0")
    pool = pool_of(table, rows)
    _check_weights(pool, labelled)
    _check_classes(pool)
    return pool


def pool_of(table: FeatureTable, rows: Rows) -> Pool:
    """These rows, which are labelled; groups are its units."""
    groups = None if table.groups is None else np.unique(table.groups[rows], return_inverse=True)[1]
    return Pool(table, rows, hash_names(table.names[rows]), groups, "image" if groups is None else "group")


def check_any(table: FeatureTable) -> None:
    """Raise TableError where no image has a feature."""
    if not len(table):
        raise TableError(f"all {len(table.failed)} images failed; `featx cache info` tells why")


def _check_weights(pool: Pool, labelled: Rows) -> None:
    all_classes = np.unique(replace(pool, rows=labelled).members[1])
    if len(gone := np.setdiff1d(all_classes, pool.members[1])):
        raise TableError(
            f"all images of class {pool.table.classes[gone[0]]!r} have weight 0; give some of them a weight"
        )


def _check_classes(pool: Pool) -> None:
    known = np.unique(pool.members[1])
    if pool.table.multilabel and not len(known):
        raise TableError(f"none of the {len(pool)} labelled images is of any class; give some of them a 1")
    if not pool.table.multilabel and len(known) < 2:
        raise TableError(
            f"all {len(pool)} labelled images are of class {pool.table.classes[known[0]]!r}; a head needs two or more"
        )
