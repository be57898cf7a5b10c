"""The rows that can be split, which are labelled and have a weight above 0, and the groups that must stay whole."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable
from featx.columns import take
from featx.errors import TableError
from featx.tables.splits.sampling import (
    Integers,
    Keys,
    assign_rows,
    assign_units,
    hash_names,
    shuffle_keys,
)
from featx.tables.splits.split import RowIndices


@dataclass(frozen=True)
class EligibleRows:
    """The m rows of a table that are to be split; every array has one entry per row."""

    table: FeatureTable
    rows: RowIndices
    """Positions in the table, in its order."""
    keys: Keys
    """Hashes of the images' names, which decide the order in which rows are drawn."""
    units: Integers | None = None
    """(m,): number of the group or block of each row, whose rows share a part; None if rows are assigned one by one."""
    unit_name: str = "image"
    """What messages call a unit: image, group or block."""

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, chosen: NDArray[np.bool_]) -> "EligibleRows":
        """The rows at which `chosen` (m,) is true."""
        where = np.flatnonzero(chosen)
        return replace(self, rows=self.rows[where], keys=self.keys[where], units=take(self.units, where))

    @cached_property
    def members(self) -> tuple[Integers, Integers]:
        """Pairs of a row and a class that it has: one pair per row, or several if the table is multi-label."""
        labels = self.table.labels_of(self.rows)
        if labels.multilabel:
            rows, classes = np.nonzero(labels.shares > 0)
            return rows, classes
        return np.arange(len(self)), labels.codes

    @cached_property
    def strata(self) -> Integers:
        """(m,): the class of each row; of several classes the rarest; the number of classes for a row without any."""
        rows, classes = self.members
        if not self.table.multilabel:
            return classes
        counts = np.bincount(classes, minlength=len(self.table.classes))
        strata = np.full(len(self), len(self.table.classes))
        rarest_last = np.lexsort((classes, -counts[classes]))
        strata[rows[rarest_last]] = classes[rarest_last]
        return strata

    def count_units(self) -> tuple[Integers, Integers]:
        """The classes that occur, and the number of units with each; every image is a unit if there are no groups."""
        rows, classes = self.members
        if self.units is not None:
            classes = np.unique(np.stack([self.units[rows], classes]), axis=1)[1]
        return np.unique(classes, return_counts=True)

    def assign(self, shares: Sequence[float], *, seed: int) -> Integers:
        """(m,): the part of each row, such that every part receives its share of every class; units stay whole."""
        keys = shuffle_keys(self.keys, seed)
        if self.units is not None:
            return assign_units(self.units, self.members, keys, shares=np.array(shares))
        return assign_rows(_merge_small(self.strata, len(shares)), keys, shares=np.array(shares))

    def assign_folds(self, folds: int, *, seed: int) -> Integers:
        """(m,): the fold of each row, stratified by class; units stay whole."""
        parts = self.assign([1 / folds] * folds, seed=seed)
        if self.units is not None:
            return parts
        return (parts + self.strata) % folds  # a different fold receives the rounded-up share of each class

    def check_enough(self, needed: int, purpose: str, *, where: str = "", step: str = "") -> None:
        """Raise TableError if a class has fewer than `needed` units."""
        classes, counts = self.count_units()
        if len(classes) and counts.min() < needed:
            name = self.table.classes[classes[counts.argmin()]]
            count = int(counts.min())
            units = self.unit_name if count == 1 else f"{self.unit_name}s"
            has = "has" if self.units is None else "is in"
            raise TableError(
                f"class {name!r} {has} {count} {units}{where}, too few {purpose}, which needs {needed}; "
                f"{step}add {self.unit_name}s of it or leave the class out"
            )


def _merge_small(strata: Integers, parts: int) -> Integers:
    """(m,): the strata, with all that have fewer rows than there are parts merged into one stratum."""
    known, inverse, counts = np.unique(strata, return_inverse=True, return_counts=True)
    return np.where(counts >= parts, known, -1)[inverse]


def eligible_rows(table: FeatureTable) -> EligibleRows:
    """The labelled rows with a weight above 0; the rows of one group are a unit.

    Raises TableError if no image has a feature, a label or a weight, if all images of a class have weight 0, or if
    there are fewer than two classes.
    """
    check_not_empty(table)
    labelled = np.flatnonzero(table.labelled)
    if not len(labelled):
        raise TableError(
            "no image has a label; put images into class folders, or give a manifest or --annotations with labels"
        )
    rows = labelled if table.weights is None else labelled[table.weights[labelled] > 0]
    if not len(rows):
        raise TableError(f"all {len(labelled)} labelled images have weight 0; give some of them a weight above 0")
    eligible = group_rows(table, rows)
    _check_weights(eligible, labelled)
    _check_classes(eligible)
    return eligible


def group_rows(table: FeatureTable, rows: RowIndices) -> EligibleRows:
    """These rows, all of which are labelled; the rows of one group are a unit."""
    keys = hash_names(table.names[rows])
    if table.groups is None:
        return EligibleRows(table, rows, keys)
    units = np.unique(table.groups[rows], return_inverse=True)[1]
    return EligibleRows(table, rows, keys, units, "group")


def check_not_empty(table: FeatureTable) -> None:
    """Raise TableError if no image has a feature."""
    if not len(table):
        raise TableError(f"all {len(table.failed)} images failed; `featx cache info` shows why")


def _check_weights(eligible: EligibleRows, labelled: RowIndices) -> None:
    all_classes = np.unique(replace(eligible, rows=labelled).members[1])
    if len(gone := np.setdiff1d(all_classes, eligible.members[1])):
        raise TableError(
            f"all images of class {eligible.table.classes[gone[0]]!r} have weight 0; give some of them a weight above 0"
        )


def _check_classes(eligible: EligibleRows) -> None:
    known = np.unique(eligible.members[1])
    if eligible.table.multilabel and not len(known):
        raise TableError(f"none of the {len(eligible)} labelled images has a class; give some of them a 1")
    if not eligible.table.multilabel and len(known) < 2:
        raise TableError(
            f"all {len(eligible)} labelled images have class {eligible.table.classes[known[0]]!r}; "
            "a head needs two classes or more"
        )
