"""The rows of two domains that a gap is measured on: drawn, standardised by the source, with what belongs together."""

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd

from featx.labels import Labels

Floats: TypeAlias = NDArray[np.float64]
Values: TypeAlias = NDArray[np.float32]
Indices: TypeAlias = NDArray[np.int64]

MOST_DIRECTIONS = 64
"""Principal axes of all rows that the classifiers see."""
ROUNDING = 1e-5
"""Axes with a smaller part of the largest singular value are rounding errors."""
FOLDS = 5
FARTHEST = 10.0
"""Standard deviations at which values are cut off: a column with a few extreme values would drown the others."""
CONSTANT = 1e-6
"""A column varies if its standard deviation is more than this times its largest absolute value."""


@dataclass(frozen=True)
class GapRows:
    """The n rows of a source and m of a target, with D columns, of which those that vary nowhere are left out."""

    source: Values
    """(n, d): each column minus its mean in the source, divided by its standard deviation there."""
    target: Values
    """(m, d): the same, by the numbers of the source."""
    source_units: Indices
    """(n,): number of the group or image of each row. The same identity has the same number in both domains."""
    target_units: Indices
    """(m,)"""
    labelled: Indices
    """(k,): the rows of the source that have a label."""
    labels: Labels
    """The labels of these k rows; their classes all occur."""
    columns: Indices
    """(d,): the numbers of the columns that vary, of D."""

    @property
    def units(self) -> Indices:
        """(n + m,): the unit of each row, first those of the source."""
        return np.concatenate([self.source_units, self.target_units])

    @property
    def of_source(self) -> NDArray[np.bool_]:
        """(n + m,): whether each row is of the source."""
        return np.arange(len(self.source) + len(self.target)) < len(self.source)

    @property
    def repeated(self) -> bool:
        """Whether a domain has several rows of one unit: then these are not independent."""
        return any(len(np.unique(one)) < len(one) for one in (self.source_units, self.target_units))

    @cached_property
    def directions(self) -> Floats:
        """(n + m, q): all rows along the principal axes of all, scaled so that a coordinate's mean square is 1.

        Before, each column is divided by its standard deviation over all rows: by that of the source alone, rare values
        of the target would look like a shift. Values beyond FARTHEST standard deviations count as that far.
        """
        rows = np.concatenate([self.source, self.target])
        if not rows.size:
            return np.zeros(rows.shape)
        rows -= rows.mean(axis=0)
        rows /= rows.std(axis=0)
        np.clip(rows, -FARTHEST, FARTHEST, out=rows)
        turned = _turn(rows - rows.mean(axis=0))
        scaled: Floats = turned / np.sqrt(np.mean(np.square(turned)))
        return scaled

    def folds(self, *, seed: int) -> Indices:
        """(n + m,): the fold of each row; whole units are in one fold, and each fold has its part of either domain.

        Units are dealt out one after another: first those of both domains, then those of the source, then those of the
        target; among units of the source class by class.
        """
        numbers, first, unit = np.unique(self.units, return_index=True, return_inverse=True)
        in_source, in_target = (
            np.bincount(unit[mask], minlength=len(numbers)) > 0 for mask in (self.of_source, ~self.of_source)
        )
        kind = np.where(in_source & in_target, 0, np.where(in_source, 1, 2))
        order = np.lexsort((np.random.default_rng(seed).random(len(numbers)), self._codes[first], kind))
        starts = np.searchsorted(kind[order], np.arange(3))
        dealt = np.empty(len(numbers), np.int64)
        dealt[order] = np.arange(len(numbers)) - starts[kind[order]]
        return (dealt % self.fold_count())[unit]

    @property
    def _codes(self) -> Indices:
        """(n + m,): the class of each labelled row of the source, else -1."""
        codes = np.full(len(self.source) + len(self.target), -1)
        codes[self.labelled] = self.labels.codes
        return codes

    def fold_count(self) -> int:
        """Number of folds: 5, or as many as the smaller domain has units."""
        return min(FOLDS, *(len(np.unique(units)) for units in (self.source_units, self.target_units)))


def standardise(source: NDArray[np.float32], target: NDArray[np.float32]) -> tuple[Values, Values, Indices]:
    """Both domains (n, D) and (m, D) in units of the source's standard deviations, and the columns (d,) that vary.

    A column that is constant in the source but not in the target is divided by its standard deviation over all rows.
    """
    mean, deviation = source.mean(axis=0, dtype=np.float64), source.std(axis=0, dtype=np.float64)
    largest = np.maximum(np.abs(source).max(axis=0), np.abs(target).max(axis=0))
    overall = _overall_deviation(source, target)
    scale = np.where(deviation > CONSTANT * largest, deviation, overall)
    columns = np.flatnonzero(scale > CONSTANT * largest)
    chosen = (columns, mean[columns], scale[columns])
    return _scaled(source, *chosen), _scaled(target, *chosen), columns


def _overall_deviation(source: Values, target: Values) -> Floats:
    """(D,): the standard deviation of each column over the rows of both domains."""
    parts = (source, target)
    count = sum(map(len, parts))
    mean = sum(part.sum(axis=0, dtype=np.float64) for part in parts) / count
    squares = sum(
        len(part) * (np.square(part.mean(axis=0, dtype=np.float64) - mean) + part.var(axis=0, dtype=np.float64))
        for part in parts
    )
    deviation: Floats = np.sqrt(squares / count)
    return deviation


def _scaled(rows: Values, columns: Indices, mean: Floats, scale: Floats) -> Values:
    """The chosen columns minus their mean, divided by their scale."""
    scaled = rows if len(columns) == rows.shape[1] else rows[:, columns]
    return ((scaled - mean.astype(np.float32)) / scale.astype(np.float32)).astype(np.float32, copy=False)


def _turn(centred: Values) -> Floats:
    """The rows along their first principal axes, found by random projection (Halko, Martinsson & Tropp 2011)."""
    count = min(MOST_DIRECTIONS, *centred.shape)
    left, values, _ = randomized_svd(centred, count, n_iter=2, random_state=0)
    kept = values > ROUNDING * values.max(initial=0)
    turned: Floats = (left[:, kept] * values[kept]).astype(np.float64)
    return turned
