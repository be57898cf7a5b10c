"""Assigns eligible rows to test, validation and training, and checks an assignment before it becomes a split."""

import logging
from typing import Any

import numpy as np

from featx.errors import TableError
from featx.tables.splits.eligible import EligibleRows
from featx.tables.splits.sampling import Integers
from featx.tables.splits.split import Split

logger = logging.getLogger(__name__)

TEST, VALIDATION, TRAIN, UNUSED = range(4)
PART_NAMES = ("test", "validation", "training")
TEST_SHARE = 1 / 4
"""Share of all rows that the test set gets."""
VALIDATION_SHARE = 1 / 5
"""Share of the other rows that the validation set gets."""
TEST_VALIDATE_TRAIN = (TEST_SHARE, (1 - TEST_SHARE) * VALIDATION_SHARE, (1 - TEST_SHARE) * (1 - VALIDATION_SHARE))
VALIDATE_TRAIN = (VALIDATION_SHARE, 1 - VALIDATION_SHARE)
OFFICIAL = "the image set's own split"


def official_assignment(eligible: EligibleRows) -> Integers:
    """The part of each row in the image set's own split.

    Raises TableError if the image set has no split, or if a group is in two parts of it.
    """
    if eligible.table.splits is None:
        raise TableError(
            "the image set has no split of its own, or --split chose images of one part of it; give a manifest or "
            "--annotations a column 'split', leave --split out, or choose another rule"
        )
    given = eligible.table.splits[eligible.rows]
    parts = np.full(len(eligible), UNUSED)
    for part, name in ((TEST, b"test"), (VALIDATION, b"validation"), (TRAIN, b"train")):
        parts[given == name] = part
    if eligible.units is not None:
        _check_groups(eligible, parts)
    return parts


def replace_missing_test(parts: Integers) -> Integers:
    """The assignment of an image set without test rows, with its validation rows as test rows instead.

    Data sets with only a training and a validation set, such as ImageNet, are meant to be measured on the latter.
    """
    if np.any(parts == TEST) or not np.any(parts == VALIDATION):
        return parts
    logger.warning("%s has no test images: its validation images are the test images", OFFICIAL)
    return np.where(parts == VALIDATION, TEST, parts)


def _check_groups(eligible: EligibleRows, parts: Integers) -> None:
    assert eligible.table.groups is not None
    groups = {
        part: np.unique(eligible.table.groups[eligible.rows[parts == part]]) for part in (TEST, VALIDATION, TRAIN)
    }
    for first, second in ((TEST, TRAIN), (TEST, VALIDATION), (VALIDATION, TRAIN)):
        if len(both := np.intersect1d(groups[first], groups[second])):
            raise TableError(
                f"group {both[0].decode()!r} has both {PART_NAMES[first]} and {PART_NAMES[second]} images in "
                f"{OFFICIAL} (one of {len(both)} such groups); assign each group to one part, or leave the column "
                "'group' out"
            )


def hold_out_validation(eligible: EligibleRows, parts: Integers, *, seed: int) -> Integers:
    """The assignment with a stratified fifth of the training rows moved to validation."""
    development = parts == TRAIN
    changed = parts.copy()
    changed[development] = VALIDATION + eligible.take(development).assign(VALIDATE_TRAIN, seed=seed)
    return changed


def build_split(
    eligible: EligibleRows, parts: Integers, rule: str, *, everywhere: bool, warn: bool = True, **about: Any
) -> Split:
    """The split with this assignment; `about` are further fields of Split.

    Raises TableError if a part is empty or a held-out class has no training rows. A class that has no test or no
    validation rows is an error if classes must be `everywhere`, else a warning if `warn` is set.
    """
    rows, classes = eligible.members
    counts = np.zeros((len(PART_NAMES) + 1, len(eligible.table.classes)), np.int64)
    np.add.at(counts, (parts[rows], classes), 1)
    for part in (TRAIN, VALIDATION, TEST):
        if not np.any(parts == part):
            raise TableError(
                f"{rule} has no {PART_NAMES[part]} rows; assign some images to that part, or choose another rule"
            )
    for part in (TEST, VALIDATION):
        _check_trained(eligible, counts, rule, part=part)
        _check_everywhere(eligible, counts, rule, part=part, required=everywhere, warn=warn)
    train, validation, test = (eligible.rows[parts == part] for part in (TRAIN, VALIDATION, TEST))
    return Split(train, validation, test, rule, **about)


def _check_trained(eligible: EligibleRows, counts: Integers, rule: str, *, part: int) -> None:
    if len(unknown := np.flatnonzero((counts[part] > 0) & (counts[TRAIN] == 0))):
        first = unknown[0]
        raise TableError(
            f"{rule}: class {eligible.table.classes[first]!r} has {counts[part][first]} {PART_NAMES[part]} images but "
            "none to train on; give it some, leave it out, or choose another rule"
        )


def _check_everywhere(
    eligible: EligibleRows, counts: Integers, rule: str, *, part: int, required: bool, warn: bool
) -> None:
    occurs = counts.sum(axis=0) > 0
    lacking = np.flatnonzero((counts[part] == 0) & occurs)
    if not len(lacking):
        return
    name = eligible.table.classes[lacking[0]]
    if required:
        raise TableError(
            f"{rule}: class {name!r} has {counts[TRAIN][lacking[0]]} training images but no {PART_NAMES[part]} image "
            f"(one of {len(lacking)} such classes); try another seed, or add {eligible.unit_name}s of it"
        )
    if warn:
        logger.warning(
            "%s: %d of %d classes, such as %r, have no %s image",
            rule,
            len(lacking),
            np.sum(occurs),
            name,
            PART_NAMES[part],
        )
