"""The rows that a head may learn from, and nothing of those it is tested on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable
from featx.columns import take
from featx.errors import TableError
from featx.labels import Labels
from featx.tables import (
    Rows,
    Split,
    select_rows,
    tuning_folds,
)

Target = NDArray[np.int64] | NDArray[np.float64]
"""Labels (n,), or shares (n, classes) where these do not say it all."""


LARGE = 2**28
"""Bytes of features, as float32."""


@dataclass(frozen=True)
class Lesson:
    """Training and validation rows, their features still on disk, and how they are dealt for tuning."""

    table: FeatureTable
    """Of these rows alone: whoever holds a lesson cannot see a test row."""
    truth: Labels
    """Of the same rows; only classes that some of them have."""
    groups: NDArray[Any] | None
    """(n,): what is to stay together where rows are dealt again, if anything is."""
    folds: tuple[tuple[Rows, Rows], ...]
    """Rows of the table to fit on, rows to choose by."""
    train: Rows
    """Rows of the table that the chosen head is fitted on."""
    balanced: bool = False
    """Whether every class is to weigh alike."""

    def features(self, rows: Rows) -> NDArray[np.float32]:
        """(n, d): of these rows. Raises TableError where one is NaN or infinite, naming the image."""
        features = self.table.take(rows)
        if not np.isfinite(features).all():
            bad = rows[~np.isfinite(features).all(axis=1)][0]
            name = self.table.name(int(bad))
            raise TableError(f"the features of {name} are NaN or infinite; run `featx cache verify`")
        return features

    def target(self, rows: Rows) -> Target:
        """What a classifier is to learn of these rows."""
        truth = self.counted(rows)
        return truth.codes if truth.given_shares is None else truth.given_shares

    def weights(self, rows: Rows) -> NDArray[np.float64] | None:
        """What these rows weigh in fitting, or None where all weigh alike."""
        return self.counted(rows).given_weights

    def counted(self, rows: Rows) -> Labels:
        """What is true of these rows, as it counts in fitting and choosing."""
        truth = self.truth.take(rows)
        return balance(truth) if self.balanced else truth

    def groups_of(self, rows: Rows) -> NDArray[Any] | None:
        """The group of each of these rows, or None where there are none."""
        return None if self.groups is None else self.groups[rows]

    def block(self, index: int) -> "Lesson":
        """The same rows, of one block of columns alone."""
        source = self.table.sources[index]
        alone = replace(source, start=0, stop=source.stop - source.start)
        return replace(self, table=replace(self.table, parts=(self.table.parts[index],), sources=(alone,)))

    @property
    def large(self) -> bool:
        """As `is_large` has it."""
        return is_large(len(self.table), self.table.dim)

    @property
    def fitted(self) -> list[Rows]:
        """All rows that something is fitted on: of each fold, and in the end."""
        return [*(fit for fit, _ in self.folds), self.train]

    @property
    def most(self) -> int:
        """How many rows are fitted at once at most, one of soft labels counting once a class."""
        given = self.truth.given_shares
        return max(map(len, self.fitted)) if given is None or self.truth.multilabel else int(np.count_nonzero(given))

    @property
    def blocks(self) -> tuple[int, ...]:
        """How many columns each block has."""
        return tuple(source.stop - source.start for source in self.table.sources)


def make_lesson(
    table: FeatureTable, split: Split, *, folds: int | None = None, balanced: bool = False, seed: int = 0
) -> Lesson:
    """What a head may learn from: to be tuned on the validation rows, or on folds of all rows but the test rows.

    Raises TableError where the rows cannot be dealt so, or classes that are to count alike are several an image.
    """
    if balanced and table.multilabel:
        raise TableError("classes cannot count alike where images are of several; leave `balanced` out")
    dealt = tuning_folds(table, split, folds=folds, seed=seed)
    learnt = split.development
    place = np.full(len(table), -1)
    place[learnt] = np.arange(len(learnt))
    truth = keep_classes(table.labels_of(learnt))
    _check_classes(truth, table.labels_of(split.test))
    groups = table.groups if split.blocks is None else split.blocks
    return Lesson(
        table=select_rows(table, learnt),
        truth=truth,
        groups=take(groups, learnt),
        folds=tuple((place[fit], place[held_out]) for fit, held_out in dealt),
        train=place[split.fitted],
        balanced=balanced,
    )


def is_large(rows: int, columns: int) -> bool:
    """Whether one fit of so many features has work for every core, so that not several are to run side by side."""
    return 4 * rows * columns > LARGE


def balance(truth: Labels) -> Labels:
    """The same with weights, and shares of soft labels, by which all classes weigh alike, and as much together."""
    totals = truth.class_totals
    factor = np.divide(totals.sum() / np.count_nonzero(totals), totals, out=np.zeros_like(totals), where=totals > 0)
    if truth.given_shares is None:
        return replace(truth, given_weights=truth.weights * factor[truth.codes])
    given = truth.given_shares * factor
    sums = given.sum(axis=1)
    given /= np.where(sums > 0, sums, 1)[:, None]
    return replace(truth, given_weights=truth.weights * sums, given_shares=given)


def _check_classes(learnt: Labels, tested: Labels) -> None:
    tests = zip(tested.classes, tested.class_totals, strict=True)
    unknown = [name for name, total in tests if total > 0 and name not in learnt.classes]
    if unknown:
        raise TableError(f"class {unknown[0]!r} has a share of test images but of none to learn from; leave it out")


def keep_classes(truth: Labels) -> Labels:
    """The same without classes that no row has; all of them where an image can be of several."""
    present = np.flatnonzero(truth.class_totals > 0)
    if truth.multilabel or len(present) == len(truth.classes):
        return truth
    return replace(
        truth,
        classes=_pick(truth.classes, present),
        codes=np.searchsorted(present, truth.codes),
        given_shares=None if truth.given_shares is None else truth.given_shares[:, present],
    )


def _pick(classes: Sequence[str], present: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(classes[index] for index in present)
