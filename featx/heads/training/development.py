"""The development set: training and validation rows of a table, and nothing of the test rows."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable
from featx.columns import take
from featx.errors import TableError
from featx.estimators import balancing_factors
from featx.heads.views import ViewColumns, view_columns
from featx.labels import Labels
from featx.tables import (
    RowIndices,
    Split,
    check_not_tiny,
    check_range,
    select_rows,
    tuning_folds,
)

Target: TypeAlias = NDArray[np.int64] | NDArray[np.float64]
"""What a classifier learns: class codes (n,), or shares (n, classes) of soft labels and multi-label images."""

LARGE_FIT = 2**28
"""Bytes of float32 features above which a single fit keeps all cores busy."""


@dataclass(frozen=True)
class DevelopmentSet:
    """Training and validation rows, with their features still on disk, and how tuning uses them.

    Rows are images. Where a table has several views of each image side by side, a fit gets a row for each of them, with
    an equal part of the image's weight; whatever is split, is split by images, so that their views stay together.
    """

    table: FeatureTable
    """Only these rows: whoever has a development set cannot see a test row."""
    labels: Labels
    """The labels of the same rows, with only the classes that some row has."""
    groups: NDArray[Any] | None
    """(n,): rows of equal group stay together whenever rows are split again; None if there are no groups."""
    folds: tuple[tuple[RowIndices, RowIndices], ...]
    """For each round of tuning, the rows to fit on and the rows to validate on."""
    final_rows: RowIndices
    """The rows that the head with the chosen parameters is fitted on."""
    balanced: bool = False
    """Whether all classes have the same total weight in fitting and tuning."""
    cautious: bool = False
    """Whether columns are standardised, and tuning takes the strongest penalty that is hardly worse than the best."""

    def features(self, rows: RowIndices) -> NDArray[np.float32]:
        """A copy of the features of these rows, (n, d), or (n x views, d) if their views are side by side.

        Raises TableError that names an image without usable ones.
        """
        features = self.table.take(rows)
        check_range(features, lambda row: f"the features of {self.table.name(int(rows[row]))} are")
        check_not_tiny(features)
        return self.view_columns.spread(features)

    @cached_property
    def view_columns(self) -> ViewColumns:
        """How the views of an image stand in its row. Raises HeadError if not all backbones have the same ones."""
        return view_columns(self.table.sources)

    def fitted_labels(self, rows: RowIndices) -> Labels:
        """The labels of the features of these rows: a view has those of its image, and an equal part of its weight."""
        labels = self.labels_of(rows)
        count = self.view_columns.count
        if count == 1:
            return labels
        of_views = labels.take(np.repeat(np.arange(len(rows)), count))
        return replace(of_views, given_weights=of_views.weights / count)

    def labels_of(self, rows: RowIndices) -> Labels:
        """The labels of these rows, with balanced weights if classes are balanced."""
        labels = self.labels.take(rows)
        return balance(labels) if self.balanced else labels

    def target(self, rows: RowIndices) -> Target:
        """What a classifier learns from the features of these rows."""
        labels = self.fitted_labels(rows)
        return labels.codes if labels.given_shares is None else labels.given_shares

    def weights(self, rows: RowIndices) -> NDArray[np.float64] | None:
        """The weights of the features of these rows in fitting, or None if none were given."""
        return self.fitted_labels(rows).given_weights

    def groups_of(self, rows: RowIndices) -> NDArray[Any] | None:
        """The group of the features of each of these rows, or None if there are none; views of an image are a group."""
        if self.view_columns.count == 1:
            return None if self.groups is None else self.groups[rows]
        return np.repeat(rows if self.groups is None else self.groups[rows], self.view_columns.count)

    def join(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """The class scores (n, classes) of rows from those of their features."""
        return self.view_columns.join(scores, multilabel=self.labels.multilabel)

    def block(self, index: int) -> "DevelopmentSet":
        """The development set with the columns of one block: one output of one backbone."""
        source = self.table.sources[index]
        alone = replace(source, start=0, stop=source.stop - source.start)
        return replace(self, table=replace(self.table, parts=(self.table.parts[index],), sources=(alone,)))

    @property
    def block_widths(self) -> tuple[int, ...]:
        """The number of columns of each block that a fit gets."""
        return self.view_columns.widths

    @property
    def validation_rows(self) -> RowIndices:
        """The rows to validate on, of all rounds one after another."""
        return np.concatenate([held_out for _, held_out in self.folds])

    @property
    def all_fits(self) -> list[RowIndices]:
        """The rows of every fit: those of each round of tuning, and the final rows."""
        return [*(fit for fit, _ in self.folds), self.final_rows]

    @property
    def fewest_fitted(self) -> int:
        """The number of features in the smallest fit of tuning."""
        return min(len(fit) for fit, _ in self.folds) * self.view_columns.count

    @property
    def most_fitted(self) -> int:
        """The number of features in the largest fit; those with soft labels count once for each class they have."""
        shares = self.labels.given_shares
        if shares is None or self.labels.multilabel:
            return max(map(len, self.all_fits)) * self.view_columns.count
        return int(np.count_nonzero(shares)) * self.view_columns.count

    @property
    def large(self) -> bool:
        """Whether a single fit keeps all cores busy."""
        return is_large(len(self.table), self.table.dim)


def make_development_set(
    table: FeatureTable,
    split: Split,
    *,
    folds: int | None = None,
    balanced: bool = False,
    cautious: bool = False,
    seed: int = 0,
) -> DevelopmentSet:
    """The rows of the table that a head may learn from: to tune on the validation rows of the split, or on folds.

    `folds` cross-validates on all rows but the test rows. Raises TableError if the rows cannot be split like this, if a
    test image has a class that no other image has, or if the classes of multi-label images are to be balanced.
    """
    if balanced and table.multilabel:
        raise TableError("class balancing does not support multi-label images; leave `balanced` out")
    rows = split.development
    place = np.full(len(table), -1)
    place[rows] = np.arange(len(rows))
    labels = drop_absent_classes(table.labels_of(rows))
    rounds = tuning_folds(table, split, folds=folds, seed=seed)
    _check_classes(labels, table.labels_of(split.test))
    return DevelopmentSet(
        table=select_rows(table, rows),
        labels=labels,
        groups=take(table.groups if split.blocks is None else split.blocks, rows),
        folds=tuple((place[fit], place[held_out]) for fit, held_out in rounds),
        final_rows=place[split.fitted],
        balanced=balanced,
        cautious=cautious,
    )


def is_large(rows: int, columns: int) -> bool:
    """Whether one fit of this many features keeps all cores busy, so that fits should not run side by side."""
    return 4 * rows * columns > LARGE_FIT


def balance(labels: Labels) -> Labels:
    """The labels with weights, and shares of soft labels, by which all classes have the same total weight.

    The sum of all weights does not change.
    """
    factors = balancing_factors(labels.class_totals)
    if labels.given_shares is None:
        return replace(labels, given_weights=labels.weights * factors[labels.codes])
    shares = labels.given_shares * factors
    sums = shares.sum(axis=1)
    shares /= np.where(sums > 0, sums, 1)[:, None]
    return replace(labels, given_weights=labels.weights * sums, given_shares=shares)


def drop_absent_classes(labels: Labels) -> Labels:
    """The labels without classes that no row has; multi-label images keep all classes."""
    present = np.flatnonzero(labels.class_totals > 0)
    if labels.multilabel or len(present) == len(labels.classes):
        return labels
    return replace(
        labels,
        classes=tuple(labels.classes[index] for index in present),
        codes=np.searchsorted(present, labels.codes),
        given_shares=None if labels.given_shares is None else labels.given_shares[:, present],
    )


def _check_classes(development: Labels, test: Labels) -> None:
    totals = zip(test.classes, test.class_totals, strict=True)
    unknown = [name for name, total in totals if total > 0 and name not in development.classes]
    if unknown:
        raise TableError(
            f"class {unknown[0]!r} is in the test images but not in the training and validation images; "
            "leave the class out, or choose another split"
        )
