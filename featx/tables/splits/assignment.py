"""The part of each row in; a split, once it is one that a head can learn from and be measured by, out."""

import logging
from typing import Any

import numpy as np

from featx.errors import TableError
from featx.tables.splits.eligible import Pool
from featx.tables.splits.sampling import Codes
from featx.tables.splits.split import Split

logger = logging.getLogger(__name__)

TEST, VALIDATION, TRAIN, UNUSED = range(4)
SIDES = ("test", "validation", "training")
TEST_SHARE, VALIDATION_SHARE = 1 / 4, 1 / 5
"""Of all rows, and of those that are not tested."""
HOLD_OUT = (TEST_SHARE, (1 - TEST_SHARE) * VALIDATION_SHARE, (1 - TEST_SHARE) * (1 - VALIDATION_SHARE))
VALIDATE = (VALIDATION_SHARE, 1 - VALIDATION_SHARE)
OFFICIAL = "the image set's own split"


def official_sides(pool: Pool) -> Codes:
    """The side of each row as the image set has it. Raises TableError where it has none, or a group is on two."""
    if pool.table.splits is None:
        raise TableError(
            "there is no split of the image set's own, or images of one --split were chosen; give a manifest or "
            "--annotations a column 'split', leave --split out, or choose another rule"
        )
    given = pool.table.splits[pool.rows]
    sides = np.full(len(pool), UNUSED)
    for side, name in ((TEST, b"test"), (VALIDATION, b"validation"), (TRAIN, b"train")):
        sides[given == name] = side
    if pool.units is not None:
        _check_groups(pool, sides)
    return sides


def _check_groups(pool: Pool, sides: Codes) -> None:
    assert pool.table.groups is not None
    held = {side: np.unique(pool.table.groups[pool.rows[sides == side]]) for side in (TEST, VALIDATION, TRAIN)}
    for one, other in ((TEST, TRAIN), (TEST, VALIDATION), (VALIDATION, TRAIN)):
        if len(both := np.intersect1d(held[one], held[other])):
            raise TableError(
                f"group {both[0].decode()!r} has both {SIDES[one]} and {SIDES[other]} images in {OFFICIAL}, one of "
                f"{len(both)} groups that do; put each group on one side, or leave the column out"
            )


def validate(pool: Pool, sides: Codes, *, seed: int) -> Codes:
    """The sides, where a fifth of every class of the training rows validates."""
    development, made = sides == TRAIN, sides.copy()
    made[development] = VALIDATION + pool.take(development).deal(VALIDATE, seed=seed)
    return made


def build_split(pool: Pool, sides: Codes, rule: str, *, everywhere: bool, tell: bool = True, **about: Any) -> Split:
    """The split with these rows on each side.

    Raises TableError where a side is empty, or a class is held out but not trained on; where every class is to be
    everywhere, also where one is not held out. Else a warning tells of these, where it is to tell.
    """
    rows, classes = pool.members
    counts = np.zeros((len(SIDES) + 1, len(pool.table.classes)), np.int64)
    np.add.at(counts, (sides[rows], classes), 1)
    for side, name in enumerate(SIDES):
        if not np.any(sides == side):
            raise TableError(f"{rule} has no {name} rows; give some images that split, or choose another rule")
    for side in (TEST, VALIDATION):
        _check_held_out(pool, counts, rule, side=side, everywhere=everywhere, tell=tell)
    train, validation, test = (pool.rows[sides == side] for side in (TRAIN, VALIDATION, TEST))
    return Split(train, validation, test, rule, **about)


def _check_held_out(pool: Pool, counts: Codes, rule: str, *, side: int, everywhere: bool, tell: bool) -> None:
    held_out, trained = counts[side], counts[TRAIN]
    if len(unknown := np.flatnonzero((held_out > 0) & (trained == 0))):
        raise TableError(
            f"{rule}: class {pool.table.classes[unknown[0]]!r} has {held_out[unknown[0]]} {SIDES[side]} images but "
            "none to train on; give it some, leave it out, or choose another rule"
        )
    lacking = np.flatnonzero((held_out == 0) & (counts.sum(axis=0) > 0))
    if len(lacking) and everywhere:
        raise TableError(
            f"{rule}: class {pool.table.classes[lacking[0]]!r} has {trained[lacking[0]]} training images but no "
            f"{SIDES[side]} image, one of {len(lacking)} classes; try another seed, or give it more {pool.what}s"
        )
    if len(lacking) and tell:
        logger.warning(
            "%s: %d of %d classes, such as %r, have no %s image",
            *(rule, len(lacking), np.sum(counts.sum(axis=0) > 0), pool.table.classes[lacking[0]], SIDES[side]),
        )
