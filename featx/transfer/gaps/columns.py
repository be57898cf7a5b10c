"""Which columns of features differ between two domains, in mean and in scale."""

from collections.abc import Sequence

import numpy as np
from sklearn.feature_selection import f_classif

from featx.cache import Source
from featx.measures import holm
from featx.transfer.gaps.gap import BlockShift, ColumnShift
from featx.transfer.gaps.rows import Floats, GapRows, Indices, Values

SIGNIFICANT = 0.05
LISTED = 10
"""Columns that are named."""


def compare_columns(rows: GapRows, sources: Sequence[Source]) -> tuple[tuple[ColumnShift, ...], tuple[BlockShift, ...]]:
    """The columns that move most, and how many move in each output; the mean of each unit counts once.

    `sources` say which columns are of which backbone and output.
    """
    source, target = (
        unit_means(rows.source, rows.source_units),
        unit_means(rows.target, rows.target_units),
    )
    differences = target.mean(axis=0) - source.mean(axis=0)
    corrected = _corrected(source, target)
    scales = _scale_ratios(rows)
    first = np.argsort(-np.abs(differences), kind="stable")[:LISTED]
    place = _locate(rows.columns, sources)
    columns = tuple(
        ColumnShift(
            backbone=sources[place[index]].name,
            output=sources[place[index]].output,
            column=int(rows.columns[index]) - sources[place[index]].start,
            difference=float(differences[index]),
            scale_ratio=float(scales[index]) if np.isfinite(scales[index]) else None,
            p_holm=float(corrected[index]),
        )
        for index in first.tolist()
    )
    blocks = tuple(
        BlockShift(
            backbone=one.name,
            output=one.output,
            columns=one.stop - one.start,
            moved=int(np.count_nonzero(corrected[place == number] < SIGNIFICANT)),
            mean_difference=float(np.abs(differences[place == number]).mean()) if (place == number).any() else 0.0,
        )
        for number, one in enumerate(sources)
    )
    return columns, blocks


def unit_means(rows: Values, units: Indices) -> Floats:
    """(u, d): the mean of the rows of each unit."""
    numbers, unit = np.unique(units, return_inverse=True)
    if len(numbers) == len(rows):
        return rows.astype(np.float64)
    sums = np.zeros((len(numbers), rows.shape[1]))
    np.add.at(sums, unit, rows)
    means: Floats = sums / np.bincount(unit)[:, None]
    return means


def _corrected(source: Floats, target: Floats) -> Floats:
    """(d,): p of each column's difference in means, by a t-test, with Holm's correction over all; 1 if unknown."""
    both = np.concatenate([source, target])
    if not both.shape[1] or len(both) < 3:
        return np.ones(both.shape[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        _, p = f_classif(both, np.arange(len(both)) < len(source))
    return np.array(holm(np.nan_to_num(p, nan=1.0).tolist()))


def _scale_ratios(rows: GapRows) -> Floats:
    """(d,): the standard deviation of each column in the target, divided by that in the source; NaN if that is 0."""
    deviation = rows.source.std(axis=0)
    ratios: Floats = np.divide(
        rows.target.std(axis=0), deviation, out=np.full(len(deviation), np.nan), where=deviation > 0
    )
    return ratios


def _locate(columns: Indices, sources: Sequence[Source]) -> Indices:
    """(d,): the number of the source that each column is of."""
    return np.searchsorted([one.stop for one in sources], columns, side="right")
