"""The test images of one split or of several, and the paired test of heads on them: the one place that chooses it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable
from featx.heads import Result, unpack_drawn, unpack_guesses
from featx.labels import Labels
from featx.measures import (
    Comparison,
    SharedImages,
    class_correctness,
    corrected_t_test,
    domains_t_test,
    draws_t_test,
    paired_bootstrap,
    paired_recalls,
    paired_resamples,
)
from featx.tables import RowIndices, Split

Pairs: TypeAlias = Sequence[tuple[str, str]]
"""Names of two heads each: the one that is tested, and the reference."""
Places: TypeAlias = NDArray[np.int64]
"""Positions of some of the test images of a split."""


@dataclass(frozen=True)
class Outcome:
    """What one head reached on the test images of one split."""

    value: float
    """The measure; NaN if it is not defined."""
    each: NDArray[Any]
    """What a test needs beside it.

    For accuracy, the share of it that is correct for each image (n,); for balanced accuracy, the predicted class of
    each image (n,), -1 for none of them; for several labels, the measure on the images and on b resamples (1 + b,).
    """


@dataclass(frozen=True)
class SplitImages:
    """The test images of one split or several, on which heads are compared with each other."""

    table: FeatureTable
    splits: tuple[Split, ...]
    rows: tuple[RowIndices, ...]
    """Rows of the table that are tested in each split."""
    labels: tuple[Labels, ...]
    """Labels of these rows."""
    balanced: bool
    """Whether the measure is balanced accuracy, if images have one label."""
    seed: int

    @classmethod
    def of(cls, table: FeatureTable, splits: Sequence[Split], *, balanced: bool, seed: int) -> Self:
        """All test images of these splits of the table."""
        rows = tuple(split.test for split in splits)
        return cls(table, tuple(splits), rows, tuple(map(table.labels_of, rows)), balanced, seed)

    @property
    def multilabel(self) -> bool:
        """Whether images have several labels."""
        return self.labels[0].multilabel

    @property
    def domains(self) -> tuple[str | None, ...]:
        """The domain that each split tests; None for a split that tests several, or images without domains."""
        return tuple(self.table.domain_of(rows) for rows in self.rows)

    @property
    def tested(self) -> Labels:
        """Labels of all images that are tested in any split, each once."""
        return self.table.labels_of(np.unique(np.concatenate(self.rows)))

    def outcome(self, result: Result, place: int) -> Outcome:
        """What a head with this result reached in the split of this position."""
        if self.multilabel:
            return Outcome(result.value, unpack_drawn(result.drawn or ""))
        guesses = predicted_classes(result, self.labels[place])
        each = guesses if self.balanced else class_correctness(guesses, self.labels[place])
        return Outcome(result.value, each)

    def take(self, places: Sequence[Places]) -> "SplitImages":
        """Only the test images at these positions of each split, compared by accuracy.

        Splits that have none of them are left out.
        """
        kept = [index for index, some in enumerate(places) if len(some)]
        return replace(
            self,
            splits=tuple(self.splits[index] for index in kept),
            rows=tuple(self.rows[index][places[index]] for index in kept),
            labels=tuple(self.labels[index].take(places[index]) for index in kept),
            balanced=False,
        )

    def without_groups(self) -> "SplitImages":
        """These images without their groups, so that each counts as independent."""
        labels = tuple(replace(labels, groups=None) for labels in self.labels)
        return replace(self, table=replace(self.table, groups=None), labels=labels)

    def compare(self, outcomes: Mapping[str, Sequence[Outcome]], pairs: Pairs) -> tuple[Comparison, ...]:
        """A comparison of each pair of heads, with Holm's correction over all of them.

        `outcomes` has one outcome of each head for each split. On one split it is the paired bootstrap of the images,
        or a t-test over their groups; on few-shot draws the t-test of draws that share test images; on splits by
        domain a t-test over the images, with equal weights of splits; on others the corrected resampled t-test.
        """
        if len(self.splits) == 1:
            return self._compare_images({name: of_head[0].each for name, of_head in outcomes.items()}, pairs)
        values = {name: [outcome.value for outcome in of_head] for name, of_head in outcomes.items()}
        if self.splits[0].shots:
            train = [split.fitted for split in self.splits]
            return draws_t_test(values, pairs, train=train, tested=self.shared(outcomes))
        if self.splits[0].by_domain:
            return domains_t_test(values, pairs, tested=self.shared(outcomes), domains=len(set(self.domains)))
        train_sizes = [len(split.fitted) for split in self.splits]
        test_sizes = [len(split.test) for split in self.splits]
        return corrected_t_test(values, pairs, train=train_sizes, test=test_sizes)

    def _compare_images(self, each: Mapping[str, NDArray[Any]], pairs: Pairs) -> tuple[Comparison, ...]:
        labels = self.labels[0]
        if self.multilabel:
            return paired_resamples(each, pairs, labels=labels)
        if self.balanced:
            return paired_recalls(each, pairs, labels=labels, seed=self.seed)
        return paired_bootstrap(each, pairs, labels=labels, seed=self.seed)

    def shared(self, outcomes: Mapping[str, Sequence[Outcome]]) -> SharedImages:
        """What the test images, which few-shot draws share, add to the variance of each mean over draws."""
        each = {name: [outcome.each for outcome in of_head] for name, of_head in outcomes.items()}
        if self.multilabel:
            aligned = all(np.array_equal(rows, self.rows[0]) for rows in self.rows)
            return SharedImages.of_resamples(each, labels=self.labels, aligned=aligned)
        if self.balanced:
            return SharedImages.of_guesses(each, labels=self.labels, rows=self.rows, balanced=True)
        return SharedImages.of_values(each, labels=self.labels, rows=self.rows)


def means_by_domain(values: NDArray[np.float64], domains: Sequence[str | None]) -> dict[str, float]:
    """Domain -> mean of the values (splits,) of the splits that test it; empty unless splits test different domains."""
    names = [name for name in dict.fromkeys(domains) if name is not None]
    if len(names) < 2:
        return {}
    return {name: float(values[[one == name for one in domains]].mean()) for name in names}


def predicted_classes(result: Result, labels: Labels) -> NDArray[np.int64]:
    """(n,): the predicted class of each test image, as a position in the classes of the labels."""
    column = np.array([labels.classes.index(name) for name in result.classes])
    return column[unpack_guesses(result.guesses or "")]
