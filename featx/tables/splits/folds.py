"""Folds for tuning: the split's validation rows, or cross-validation over all rows that are not tested."""

from dataclasses import replace

import numpy as np

from featx.cache import FeatureTable
from featx.errors import TableError
from featx.tables.splits.eligible import EligibleRows, group_rows
from featx.tables.splits.sampling import Integers
from featx.tables.splits.split import RowIndices, Split


def tuning_folds(
    table: FeatureTable, split: Split, *, folds: int | None = None, seed: int = 0
) -> list[tuple[RowIndices, RowIndices]]:
    """Pairs of table rows: those to fit on, and those to choose parameters by.

    Without `folds` that is one pair, the training and validation rows of the split. Else both are joined and divided
    into stratified folds, which keep groups, or the blocks of the split, together. Raises TableError if a class has too
    few images for the folds.
    """
    if folds is None:
        return [(split.train, split.validation)]
    rows = split.development
    eligible = group_rows(table, rows)
    if split.blocks is not None:
        eligible = replace(eligible, units=split.blocks[rows], unit_name="block")
    return [(rows[fit], rows[held_out]) for fit, held_out in _divide(eligible, folds, seed)]


def make_folds(
    table: FeatureTable, rows: RowIndices, *, folds: int, seed: int = 0
) -> list[tuple[RowIndices, RowIndices]]:
    """Pairs of positions in `rows`, to fit on and to hold out: stratified folds that keep groups together.

    Raises TableError if a class has too few images or groups for the folds.
    """
    return _divide(group_rows(table, rows), folds, seed)


def _divide(eligible: EligibleRows, folds: int, seed: int) -> list[tuple[RowIndices, RowIndices]]:
    eligible.check_enough(folds, f"for {folds} folds", step="ask for fewer, " if folds > 2 else "")
    fold = eligible.assign_folds(folds, seed=seed)
    _check_folds(eligible, fold, folds)
    return [(np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in range(folds)]


def _check_folds(eligible: EligibleRows, fold: Integers, folds: int) -> None:
    """Raise TableError if a fold lacks a class: the greedy assignment of groups found nothing better."""
    rows, classes = eligible.members
    counts = np.zeros((len(eligible.table.classes), folds), np.int64)
    np.add.at(counts, (classes, fold[rows]), 1)
    lacking = np.flatnonzero((counts.sum(axis=1) > 0) & (counts == 0).any(axis=1))
    if len(lacking):
        units = f"{eligible.unit_name}s"
        raise TableError(
            f"class {eligible.table.classes[lacking[0]]!r} is in only {np.sum(counts[lacking[0]] > 0)} of {folds} "
            f"folds of the {units}; ask for fewer folds, try another seed, or add {units} of it"
        )
