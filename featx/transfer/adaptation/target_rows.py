"""Divides the target: rows that methods see without labels, rows with a few labels, and rows that only measure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable
from featx.errors import TableError
from featx.tables import RowIndices, Split, make_splits, select_rows, split_table
from featx.transfer.adaptation.joined import without_labels


@dataclass(frozen=True)
class TargetRows:
    """The rows of the target by what they are for."""

    table: FeatureTable
    """The whole target."""
    seen: FeatureTable
    """What methods see: some of its rows, without any label."""
    split: Split | None
    """Whose test rows measure; None if the target has no labels, so that nothing is measured."""
    transductive: bool
    """Whether the rows that methods see are those that measure."""
    few: "FewLabels | None" = None
    why: str = ""
    """Why nothing is measured; empty if something is."""

    @property
    def labels_used(self) -> int:
        """Labelled images that methods with few labels train on; 0 if there are none."""
        return 0 if self.few is None else len(self.few.split.train)

    def notes(self) -> Iterator[str]:
        """What methods saw of the target, and what measures."""
        seen = f"methods saw {len(self.seen):,} images of the target without labels"
        if self.split is None:
            yield f"{seen}, and nothing is measured: {self.why}"
            return
        tested = f"{len(self.split.test):,} test images measure ({self.split.rule})"
        if self.transductive:
            yield f"transductive: {seen}, the same that measure; a head for other images may do worse"
        else:
            yield f"inductive: {seen}; {tested}, which no method saw"
        if self.few is not None:
            yield (
                f"few labels: {len(self.few.split.train)} images that do not measure, {self.few.split.shots} of each "
                "class; the head that is trained on them alone is tuned on as many others"
            )


@dataclass(frozen=True)
class FewLabels:
    """Rows of the target with a few labels, for the methods that need some."""

    table: FeatureTable
    """The labelled rows that are not tested."""
    split: Split
    """Its training rows have the few labels."""

    @property
    def trained(self) -> FeatureTable:
        """The rows with the few labels."""
        return select_rows(self.table, self.split.train)


def divide_target(target: FeatureTable, *, shots: int | None, transductive: bool, seed: int) -> TargetRows:
    """The rows of the target by what they are for, by the split of rule `auto`.

    Rows without a label are seen, unless an image of their group is tested; rows of weight 0 are not used. If the
    target cannot be split, all rows are seen and nothing is measured. Raises TableError if it has no rows, or lacks the
    labels for few-shot or transductive methods that were asked for.
    """
    used = np.arange(len(target)) if target.weights is None else np.flatnonzero(target.weights > 0)
    if not len(used):
        raise TableError("the target has no image with a feature and a weight; `featx cache info` shows why")
    try:
        split = split_table(target, seed=seed)
    except TableError as error:
        return _unmeasured(target, used, str(error), asked=shots is not None or transductive)
    seen = split.test if transductive else _not_tested(target, used, split)
    if not len(seen):
        raise TableError("every image of the target is a test image, so that methods see none; adapt with transductive")
    few = None if shots is None else _draw_few(target, split, shots=shots, seed=seed)
    return TargetRows(target, without_labels(select_rows(target, seen)), split, transductive, few)


def _unmeasured(target: FeatureTable, used: RowIndices, why: str, *, asked: bool) -> TargetRows:
    """All rows are seen. Raises TableError if what was `asked` for needs labels."""
    if asked:
        raise TableError(f"shots and transductive adaptation need labels of the target: {why}")
    seen = without_labels(select_rows(target, used))
    return TargetRows(target, seen, None, transductive=False, why=why)


def _not_tested(target: FeatureTable, used: RowIndices, split: Split) -> RowIndices:
    """Rows that are neither tested nor of a tested group."""
    rest = np.setdiff1d(used, split.test)
    if target.groups is not None:
        rest = rest[~np.isin(target.groups[rest], target.groups[split.test])]
    return rest


def _draw_few(target: FeatureTable, split: Split, *, shots: int, seed: int) -> FewLabels:
    """`shots` labelled images of each class that are not tested, and as many others to tune on."""
    rows: NDArray[np.int64] = split.development
    # as a split of its own, these images need not have every class left once those with labels are drawn
    table = replace(select_rows(target, rows), splits=np.full(len(rows), b"train"))
    drawn = make_splits(table, "few-shot", shots=[shots], repeats=1, seed=seed)[0]
    return FewLabels(table, drawn)
