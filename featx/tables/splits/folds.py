"""A split in; what tuning fits on and chooses by, out: validation rows, or folds of all rows that are not tested."""

from dataclasses import replace

import numpy as np

from featx.cache import FeatureTable
from featx.errors import TableError
from featx.tables.splits.eligible import Pool, pool_of
from featx.tables.splits.split import Rows, Split


def tuning_folds(
    table: FeatureTable, split: Split, *, folds: int | None = None, seed: int = 0
) -> list[tuple[Rows, Rows]]:
    """Pairs of rows to fit on and rows to choose by: training and validation rows, or folds of both together.

    Folds are stratified; groups, or the blocks of the split, are kept together. Raises TableError where a class cannot
    fill the folds.
    """
    if folds is None:
        return [(split.train, split.validation)]
    pool = pool_of(table, split.development)
    if split.blocks is not None:
        pool = replace(pool, units=split.blocks[split.development], what="block")
    return [(split.development[fit], split.development[held_out]) for fit, held_out in _deal_folds(pool, folds, seed)]


def make_folds(table: FeatureTable, rows: Rows, *, folds: int, seed: int = 0) -> list[tuple[Rows, Rows]]:
    """Folds of these rows: pairs of positions in them, stratified, groups kept together.

    Raises TableError where a class, or the groups, cannot fill the folds.
    """
    return _deal_folds(pool_of(table, rows), folds, seed)


def _deal_folds(pool: Pool, folds: int, seed: int) -> list[tuple[Rows, Rows]]:
    pool.check_enough(folds, f"for {folds} folds", step="ask for fewer, " if folds > 2 else "")
    fold = pool.deal_folds(folds, seed=seed)
    _check_folds(pool, fold, folds)
    return [(np.flatnonzero(fold != one), np.flatnonzero(fold == one)) for one in range(folds)]


def _check_folds(pool: Pool, fold: Rows, folds: int) -> None:
    """Raise TableError where a fold lacks a class: groups could not be dealt better."""
    rows, classes = pool.members
    counts = np.zeros((len(pool.table.classes), folds), np.int64)
    np.add.at(counts, (classes, fold[rows]), 1)
    lacking = np.flatnonzero((counts.sum(axis=1) > 0) & (counts == 0).any(axis=1))
    if len(lacking):
        raise TableError(
            f"class {pool.table.classes[lacking[0]]!r} is in {np.sum(counts[lacking[0]] > 0)} of {folds} folds of the "
            f"{pool.what}s; ask for fewer folds, try another seed, or give it more {pool.what}s"
        )
