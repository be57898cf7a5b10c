"""The rows that a head may learn from, and nothing of those it is tested on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable
from featx.errors import TableError
from featx.fusion import select_rows
from featx.splits import Rows, Split, tuning_folds
from featx.truth import Truth, truth_of

Target = NDArray[np.int64] | NDArray[np.float64]
"""Labels (n,), or shares (n, classes) where these do not say it all."""


LARGE = 2**28
"""Bytes of features, as float32."""


@dataclass(frozen=True)
class Lesson:
    """Training and validation rows, their features still on disk, and how they are dealt for tuning."""

    table: FeatureTable
    """Of these rows alone: whoever holds a lesson cannot see a test row."""
    truth: Truth
    """Of the same rows; only classes that some of them have."""
    folds: tuple[tuple[Rows, Rows], ...]
    """Rows of the table to fit on, rows to choose by."""
    train: Rows
    """Rows of the table that the chosen head is fitted on."""

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
        truth = self.truth.take(rows)
        return truth.labels if truth.given is None else truth.given

    def weights(self, rows: Rows) -> NDArray[np.float64] | None:
        """Weights of these rows, or None where none are given."""
        return self.truth.take(rows).weights

    def block(self, index: int) -> "Lesson":
        """The same rows, of one block of columns alone."""
        source = self.table.sources[index]
        alone = replace(source, start=0, stop=source.stop - source.start)
        return replace(self, table=replace(self.table, parts=(self.table.parts[index],), sources=(alone,)))

    @property
    def large(self) -> bool:
        """Whether one fit of its features has work for every core, so that not several are to run side by side."""
        return 4 * len(self.table) * self.table.dim > LARGE

    @property
    def blocks(self) -> tuple[int, ...]:
        """How many columns each block has."""
        return tuple(source.stop - source.start for source in self.table.sources)


def make_lesson(table: FeatureTable, split: Split, *, folds: int | None = None, seed: int = 0) -> Lesson:
    """What a head may learn from: to be tuned on the validation rows, or on folds of all rows but the test rows.

    Raises TableError where the rows cannot be dealt so.
    """
    dealt = tuning_folds(table, split, folds=folds, seed=seed)
    learnt = split.development
    place = np.full(len(table), -1)
    place[learnt] = np.arange(len(learnt))
    alone = select_rows(table, learnt)
    truth = keep_classes(truth_of(alone, np.arange(len(learnt))))
    return Lesson(alone, truth, tuple((place[fit], place[held_out]) for fit, held_out in dealt), place[split.fitted])


def keep_classes(truth: Truth) -> Truth:
    """The same without classes that no row has; all of them where an image can be of several."""
    present = np.flatnonzero(truth.weight @ truth.shares > 0)
    if truth.multilabel or len(present) == len(truth.classes):
        return truth
    return replace(
        truth,
        classes=_pick(truth.classes, present),
        labels=np.searchsorted(present, truth.labels),
        given=None if truth.given is None else truth.given[:, present],
    )


def _pick(classes: Sequence[str], present: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(classes[index] for index in present)
