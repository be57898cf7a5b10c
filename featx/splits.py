"""A table in; training and test rows, and folds of the training rows, out: seeded, as row indices."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, train_test_split

from featx.cache import FeatureTable
from featx.errors import TableError

TEST_PARTS = 4
"""One part of so many is held out."""
MAX_FOLDS = 5

Rows: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Rows to train on, rows to test on, and how they were chosen."""

    train: Rows
    test: Rows
    rule: str


def split_table(table: FeatureTable, *, seed: int = 0) -> Split:
    """The image set's own split where it has one, else a stratified quarter held out, groups kept together.

    Only rows with a label and a weight above 0 take part; validation rows of an official split are trained on. Raises
    TableError where there are fewer than two classes, or a class is too small to be trained on and tested.
    """
    check_any(table)
    rows = _taking_part(table)
    _check_classes(table, rows)
    split = _official(table, rows) if table.splits is not None else _hold_out(table, rows, seed)
    _check_sides(table, split)
    return split


def check_any(table: FeatureTable) -> None:
    """Raise TableError where no image has a feature."""
    if not len(table):
        raise TableError(f"all {len(table.failed)} images failed; `featx cache info` tells why")


def _taking_part(table: FeatureTable) -> Rows:
    rows = np.flatnonzero(table.labels >= 0)
    if table.weights is None:
        return rows
    weighty = rows[table.weights[rows] > 0]
    if len(gone := np.setdiff1d(table.labels[rows], table.labels[weighty])):
        raise TableError(f"all images of class {table.classes[gone[0]]!r} have weight 0; give some of them a weight")
    return weighty


def _official(table: FeatureTable, rows: Rows) -> Split:
    assert table.splits is not None
    test = table.splits[rows] == b"test"
    if table.groups is not None and len(both := np.intersect1d(table.groups[rows[test]], table.groups[rows[~test]])):
        raise TableError(
            f"group {both[0].decode()!r} is both in the test split and outside of it ({len(both)} groups in all are); "
            "put each group on one side, or leave the column out"
        )
    return Split(rows[~test], rows[test], "the image set's own split")


def _hold_out(table: FeatureTable, rows: Rows, seed: int) -> Split:
    labels = table.labels[rows]
    known, counts = np.unique(labels, return_counts=True)
    if table.groups is None:
        held_out = max(-(-len(rows) // TEST_PARTS), len(known))  # every class is tested
        train, test = train_test_split(rows, test_size=held_out, stratify=labels, random_state=seed)
        return Split(np.sort(train), np.sort(test), f"stratified quarter held out, seed {seed}")
    groups = table.groups[rows]
    if len(np.unique(groups)) < TEST_PARTS:
        raise TableError(
            f"{len(np.unique(groups))} groups cannot be split into {TEST_PARTS} parts; give more groups or a split"
        )
    if counts.min() < TEST_PARTS:
        name = table.classes[known[counts.argmin()]]
        raise TableError(
            f"class {name!r} has {counts.min()} images, fewer than the {TEST_PARTS} parts of a grouped split"
        )
    parts = StratifiedGroupKFold(TEST_PARTS, shuffle=True, random_state=seed)
    train, test = next(parts.split(rows, labels, groups))
    return Split(rows[train], rows[test], f"stratified quarter of the groups held out, seed {seed}")


def make_folds(table: FeatureTable, rows: Rows, *, seed: int = 0) -> list[tuple[Rows, Rows]]:
    """Folds for tuning: pairs of positions in `rows`, stratified, groups kept together.

    Raises TableError where a class, or the groups, cannot fill two folds.
    """
    labels = table.labels[rows]
    count = min(MAX_FOLDS, int(np.unique(labels, return_counts=True)[1].min()))
    if table.groups is None:
        return list(StratifiedKFold(count, shuffle=True, random_state=seed).split(rows, labels))
    groups = table.groups[rows]
    count = min(count, *(len(np.unique(groups[labels == label])) for label in np.unique(labels)))
    if count < 2:
        raise TableError(
            "a class lies in a single group of the training rows, so it cannot be tuned; give it more groups"
        )
    folds = list(StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(rows, labels, groups))
    if any(len(np.unique(labels[train])) < len(np.unique(labels)) for train, _ in folds):
        raise TableError(f"the groups cannot be dealt into {count} folds that all hold every class; give more groups")
    return folds


def _check_classes(table: FeatureTable, rows: Rows) -> None:
    if not len(rows):
        raise TableError("no image has a label; put images into class folders, or give a manifest a column 'label'")
    labels, counts = np.unique(table.labels[rows], return_counts=True)
    if len(labels) < 2:
        raise TableError(
            f"all {len(rows)} labelled images are of class {table.classes[labels[0]]!r}; a head needs two or more"
        )
    if counts.min() < 2:
        alone = table.classes[labels[counts.argmin()]]
        raise TableError(
            f"class {alone!r} has one image, which cannot both train and test; add images or leave the class out"
        )


def _check_sides(table: FeatureTable, split: Split) -> None:
    for rows, side in ((split.train, "training"), (split.test, "test")):
        if not len(rows):
            raise TableError(f"{split.rule} has no {side} rows; give some images that split, or no splits at all")
    known, counts = np.unique(table.labels[split.train], return_counts=True)
    if len(known) < 2:
        raise TableError(
            f"{split.rule} has only class {table.classes[known[0]]!r} among its training rows; mix the classes"
        )
    if counts.min() < 2:
        name = table.classes[known[counts.argmin()]]
        raise TableError(
            f"class {name!r} has one image among the training rows and tuning needs two; add images or leave it out"
        )
    if len(unknown := np.setdiff1d(table.labels[split.test], known)):
        raise TableError(
            f"class {table.classes[unknown[0]]!r} has test images but none to train on; add some or leave it out"
        )
