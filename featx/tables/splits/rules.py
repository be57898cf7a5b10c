"""The rules that split a table, by name: each chooses test rows first, then validation rows."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from featx.cache import FeatureTable
from featx.errors import TableError, did_you_mean
from featx.tables.given import GivenTables
from featx.tables.joining import as_table
from featx.tables.splits.assignment import (
    OFFICIAL,
    TEST,
    TEST_SHARE,
    TEST_VALIDATE_TRAIN,
    TRAIN,
    VALIDATION,
    build_split,
    hold_out_validation,
    official_assignment,
    replace_missing_test,
)
from featx.tables.splits.domains import leave_domains_out, split_source_and_target
from featx.tables.splits.eligible import EligibleRows, eligible_rows
from featx.tables.splits.few_shot import (
    FEW_SHOT_REPEATS,
    SHOTS,
    few_shot_split,
)
from featx.tables.splits.sampling import Integers, shuffle_keys
from featx.tables.splits.split import LEAVE_ONE_DOMAIN_OUT, SOURCE_TARGET, Split
from featx.tables.splits.unlearned import without_learned

logger = logging.getLogger(__name__)

FOLDS = 5
QUARTERS = round(1 / TEST_SHARE)
BLOCKS = 5 * QUARTERS
"""Number of contiguous blocks that the image set is cut into; each quarter has five."""


@dataclass(frozen=True)
class SplitOptions:
    """The options of a split rule; a rule ignores those that it has no use for."""

    repeats: int | None
    """Number of times that a split is drawn; None for the rule's default."""
    folds: int
    shots: Sequence[int]
    seed: int
    source_domains: Sequence[str] = ()
    target_domain: str | None = None

    def seeds(self, default: int = 1) -> range:
        """One seed for each repeat; `default` is the rule's number of repeats."""
        return range(self.seed, self.seed + (default if self.repeats is None else self.repeats))


def make_splits(
    table: GivenTables,
    rule: str = "auto",
    *,
    repeats: int | None = None,
    folds: int = FOLDS,
    shots: Sequence[int] = SHOTS,
    seed: int = 0,
    source_domains: Sequence[str] = (),
    target_domain: str | None = None,
) -> list[Split]:
    """The splits of the labelled images with a weight above 0 by one of these rules.

    - `official`: the image set's own split; if it has no validation rows, a stratified fifth of its training rows; if
      it has no test rows, its validation rows are tested.
    - `stratified`: a quarter of every class is tested, a fifth of the rest validates.
    - `grouped`: as `stratified`, but every group of images is in one part only.
    - `blocks`: contiguous quarters of the image set's order are tested, the last quarter first, one for each repeat.
      Use it if neighbouring images show the same module or scene. Validation and tuning keep twentieths together.
    - `k-fold`: each fold is tested once; if there are groups, they stay whole.
    - `few-shot`: for each number k of `shots`, k images of every class train and k others validate (at least k if
      images have several labels); the rest, or the image set's own test rows, are tested. Five repeats by default.
      Heads are never fitted on the validation rows.
    - `leave-one-domain-out`: each domain is tested by heads that the other domains train and validate. If groups have
      images in several domains, a quarter of those that the tested domain has in common with others is tested, and is
      left out of training; the others train.
    - `source-target`: `source_domains` (by default all others) train and validate, half of the `target_domain` is
      tested, and adaptation may see its other images without labels (`Split.adaptation`): it is inductive. Training
      images whose group is tested are left out. Each of two domains is the target once if none is named.
    - `auto`: `official` if the image set has a split, and labels not only in its training set; else `grouped` if it
      has groups, else `stratified`.

    Repeat r uses the seed `seed` + r. Rows are drawn by their images' names, so that all tables of the same images get
    the same splits. Images with soft labels are stratified by their largest share, images with several labels by their
    rarest one. Only `official` and `few-shot` use the image set's own split.

    Images that a fine-tuned backbone of the table learned from are not tested, by any rule; those that a rule draws for
    the test are in no part. The table of a frozen backbone does not know which images these are, unless it is fused
    with a table of the tuned one.

    Raises TableError if a class has too few images or groups, if the table lacks what the rule needs, or if a domain is
    unknown.

    >>> import featx
    >>> table = featx.read_features("photos.h5")
    >>> splits = featx.make_splits(table, "k-fold", folds=3)
    >>> [len(split.test) for split in splits]
    [20, 20, 20]
    """
    for name, least, number in (("repeats", 1, repeats), ("folds", 2, folds), ("shots", 1, min(shots, default=0))):
        if number is not None and number < least:
            raise TableError(f"{name} must be {least} or more, not {number}")
    if rule not in (*RULES, "auto"):
        raise TableError(f"no split rule {rule!r}{did_you_mean(rule, RULES)}; choose auto, {', '.join(RULES)}")
    eligible = eligible_rows(as_table(table))
    split = RULES[_choose_rule(eligible) if rule == "auto" else rule]
    drawn = split(eligible, SplitOptions(repeats, folds, shots, seed, source_domains, target_domain))
    return without_learned(eligible.table, drawn)


def split_table(table: FeatureTable, *, seed: int = 0) -> Split:
    """The one split of rule `auto`. Raises TableError as make_splits does."""
    return make_splits(table, seed=seed)[0]


def _choose_rule(eligible: EligibleRows) -> str:
    """The rule of `auto`; a split whose labelled images are all for training, as in contests, cannot be used."""
    table = eligible.table
    if table.splits is not None and not np.all(table.splits[eligible.rows] == b"train"):
        return "official"
    other = "stratified" if table.groups is None else "grouped"
    if table.splits is not None:
        logger.warning("%s has labels for training images only; the split is %s instead", OFFICIAL, other)
    return other


def _split_officially(eligible: EligibleRows, options: SplitOptions) -> list[Split]:
    if options.repeats not in (None, 1):
        raise TableError(
            f"the image set's own split is one split, but {options.repeats} repeats were asked for; leave them out or "
            "choose another rule"
        )
    parts = replace_missing_test(official_assignment(eligible))
    drawn = not np.any(parts == VALIDATION)
    if drawn:
        training = eligible.take(parts == TRAIN)
        training.check_enough(2, "to train and validate", where=" among the training rows")
        parts = hold_out_validation(eligible, parts, seed=options.seed)
    return [build_split(eligible, parts, OFFICIAL, everywhere=False, key="official", validation_drawn=drawn)]


def _split_stratified(eligible: EligibleRows, options: SplitOptions) -> list[Split]:
    if eligible.units is not None:
        raise TableError(
            f"a stratified split would divide the {len(np.unique(eligible.units))} groups; choose grouped, or leave "
            "the column 'group' out"
        )
    return _hold_out(eligible, options, name="stratified", quarter="stratified quarter")


def _split_grouped(eligible: EligibleRows, options: SplitOptions) -> list[Split]:
    if eligible.units is None:
        raise TableError("the images have no groups; give a manifest or --annotations a column 'group'")
    return _hold_out(eligible, options, name="grouped", quarter="stratified quarter of the groups")


def _hold_out(eligible: EligibleRows, options: SplitOptions, *, name: str, quarter: str) -> list[Split]:
    eligible.check_enough(len(TEST_VALIDATE_TRAIN), "to train, validate and test")
    return [
        build_split(
            eligible,
            eligible.assign(TEST_VALIDATE_TRAIN, seed=seed),
            f"{quarter} held out, seed {seed}",
            everywhere=True,
            key=f"{name}/{seed}",
            validation_drawn=True,
        )
        for seed in options.seeds()
    ]


def _split_blocks(eligible: EligibleRows, options: SplitOptions) -> list[Split]:
    repeats = len(options.seeds())
    if repeats > QUARTERS:
        raise TableError(
            f"{repeats} repeats were asked for, but blocks have only {QUARTERS} quarters to test; "
            f"ask for {QUARTERS} or fewer, or choose another rule"
        )
    blocks = _cut_blocks(eligible)
    blocked = replace(eligible, units=blocks, unit_name="block")
    of_table = np.full(len(eligible.table), -1)
    of_table[eligible.rows] = blocks
    splits = []
    for quarter in reversed(range(QUARTERS - repeats, QUARTERS)):
        parts = np.where(blocks * QUARTERS // BLOCKS == quarter, TEST, TRAIN)
        parts = hold_out_validation(blocked, parts, seed=options.seed)
        rule = f"quarter {quarter + 1} of {QUARTERS} of the image set's order held out"
        about: dict[str, Any] = {"key": f"blocks/{quarter}", "blocks": of_table, "validation_drawn": True}
        splits.append(build_split(blocked, parts, rule, everywhere=False, **about))
    return splits


def _cut_blocks(eligible: EligibleRows) -> Integers:
    """(m,): the contiguous block of the image set's order that each row is in; a group is in its first image's block.

    Blocks have equal numbers of rows.
    """
    order = np.argsort(eligible.table.positions[eligible.rows], kind="stable")
    block = np.empty(len(eligible), np.int64)
    block[order] = np.arange(len(eligible)) * BLOCKS // len(eligible)
    if eligible.units is None:
        return block
    first = np.full(eligible.units.max() + 1, BLOCKS)
    np.minimum.at(first, eligible.units, block)
    return first[eligible.units]


def _split_folds(eligible: EligibleRows, options: SplitOptions) -> list[Split]:
    count = options.folds
    eligible.check_enough(count, f"for {count} folds", step="ask for fewer, " if count > 2 else "")
    of_what = "" if eligible.units is None else " of the groups"
    splits = []
    for seed in options.seeds():
        folds = eligible.assign_folds(count, seed=seed)
        shuffled = replace(eligible, keys=shuffle_keys(eligible.keys, seed))
        for fold in range(count):
            rest = eligible.take(folds != fold)
            rest.check_enough(2, "to train and validate", where=f" outside of fold {fold + 1}")
            parts = hold_out_validation(shuffled, np.where(folds == fold, TEST, TRAIN), seed=fold)
            rule = f"fold {fold + 1} of {count}{of_what}, seed {seed}"
            about: dict[str, Any] = {"key": f"{count}-fold/{seed}.{fold}", "validation_drawn": True}
            splits.append(build_split(eligible, parts, rule, everywhere=True, **about))
    return splits


def _split_few_shot(eligible: EligibleRows, options: SplitOptions) -> list[Split]:
    splits: list[Split] = []
    for shots in options.shots:
        for seed in options.seeds(FEW_SHOT_REPEATS):
            splits.append(few_shot_split(eligible, shots, seed=seed, warn=not splits))
    return splits


def _leave_domains_out(eligible: EligibleRows, options: SplitOptions) -> list[Split]:
    return [split for seed in options.seeds() for split in leave_domains_out(eligible, seed=seed)]


def _split_source_and_target(eligible: EligibleRows, options: SplitOptions) -> list[Split]:
    return [
        split
        for seed in options.seeds()
        for split in split_source_and_target(
            eligible, sources=options.source_domains, target=options.target_domain, seed=seed
        )
    ]


RULES: Mapping[str, Callable[[EligibleRows, SplitOptions], list[Split]]] = {
    "official": _split_officially,
    "stratified": _split_stratified,
    "grouped": _split_grouped,
    "blocks": _split_blocks,
    "k-fold": _split_folds,
    "few-shot": _split_few_shot,
    LEAVE_ONE_DOMAIN_OUT: _leave_domains_out,
    SOURCE_TARGET: _split_source_and_target,
}
