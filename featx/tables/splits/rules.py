"""A table and the name of a rule in; splits out. Each rule says how test rows are chosen, and then validation rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from featx.cache import FeatureTable
from featx.errors import TableError, did_you_mean
from featx.tables.splits.assignment import (
    HOLD_OUT,
    OFFICIAL,
    TEST,
    TEST_SHARE,
    TRAIN,
    VALIDATION,
    build_split,
    official_sides,
    validate,
)
from featx.tables.splits.eligible import Pool, taking_part
from featx.tables.splits.few_shot import (
    DRAWS,
    SHOTS,
    few_shot_sides,
)
from featx.tables.splits.sampling import Codes, shuffle_keys
from featx.tables.splits.split import Split

FOLDS = 5
QUARTERS = round(1 / TEST_SHARE)
BLOCKS = 5 * QUARTERS
"""Blocks that the image set is cut into: each quarter of it is five."""


@dataclass(frozen=True)
class Draws:
    """How many splits are asked for."""

    repeats: int | None
    """None: as many as the rule is used to."""
    folds: int
    shots: Sequence[int]
    seed: int

    def seeds(self, usual: int = 1) -> range:
        """One for each repeat."""
        return range(self.seed, self.seed + (usual if self.repeats is None else self.repeats))


def make_splits(
    table: FeatureTable,
    rule: str = "auto",
    *,
    repeats: int | None = None,
    folds: int = FOLDS,
    shots: Sequence[int] = SHOTS,
    seed: int = 0,
) -> list[Split]:
    """The splits that this rule makes of the labelled images whose weight is above 0.

    - `official`: the image set's own; where it has no validation rows, a stratified fifth of its training rows.
    - `stratified`: a quarter of every class is tested, a fifth of the rest validates.
    - `grouped`: the same of whole groups.
    - `blocks`: contiguous quarters of the image set's order, the last one first, as many as there are repeats; the
      honest variant where neighbours are of one module or scene. Validation and tuning keep twentieths together.
    - `k-fold`: every one of the folds is tested in turn; whole groups where there are any.
    - `few-shot`: so many images of every class train and as many others validate, the rest (or the image set's own
      test rows) is tested; five draws of each, unless repeats says otherwise. Validation rows are never trained on.
    - `auto`: `official` where the image set has a split, else `grouped` where it has groups, else `stratified`.

    Repeat r has the seed `seed` + r. Rows are chosen by their images' names, so tables of the same images, whatever
    their backbones, give the same splits. Soft labels count as their largest share, several labels as their rarest.
    Rules other than `official` and `few-shot` do not look at the image set's own split.
    Raises TableError where a class or the groups cannot fill a split, or the table lacks what the rule needs.
    """
    for what, least, number in (("repeats", 1, repeats), ("folds", 2, folds), ("shots", 1, min(shots, default=0))):
        if number is not None and number < least:
            raise TableError(f"{what} must be {least} or more, not {number}")
    if rule not in (*RULES, "auto"):
        raise TableError(f"no split rule {rule!r}{did_you_mean(rule, RULES)}; choose auto, {', '.join(RULES)}")
    pool = taking_part(table)
    return RULES[_choose(table) if rule == "auto" else rule](pool, Draws(repeats, folds, shots, seed))


def split_table(table: FeatureTable, *, seed: int = 0) -> Split:
    """The split of rule `auto`, as make_splits has it. Raises TableError as that does."""
    return make_splits(table, seed=seed)[0]


def _choose(table: FeatureTable) -> str:
    if table.splits is not None:
        return "official"
    return "stratified" if table.groups is None else "grouped"


def _official(pool: Pool, draws: Draws) -> list[Split]:
    if draws.repeats not in (None, 1):
        raise TableError(
            f"the image set's own split is one, and {draws.repeats} repeats were asked for; leave them out or choose "
            "another rule"
        )
    sides = official_sides(pool)
    if not np.any(sides == VALIDATION):
        development = pool.take(sides == TRAIN)
        development.check_enough(2, "to train and validate", where=" among the training rows")
        sides = validate(pool, sides, seed=draws.seed)
    return [build_split(pool, sides, OFFICIAL, everywhere=False, key="official")]


def _stratified(pool: Pool, draws: Draws) -> list[Split]:
    if pool.units is not None:
        raise TableError(
            f"a stratified split would tear the {len(np.unique(pool.units))} groups apart; choose grouped, or leave "
            "the column out"
        )
    return _hold_out(pool, draws, name="stratified", quarter="stratified quarter")


def _grouped(pool: Pool, draws: Draws) -> list[Split]:
    if pool.units is None:
        raise TableError("the images have no groups; give a manifest or --annotations a column 'group'")
    return _hold_out(pool, draws, name="grouped", quarter="stratified quarter of the groups")


def _hold_out(pool: Pool, draws: Draws, *, name: str, quarter: str) -> list[Split]:
    pool.check_enough(len(HOLD_OUT), "to train, validate and test")
    return [
        build_split(
            pool,
            pool.deal(HOLD_OUT, seed=seed),
            f"{quarter} held out, seed {seed}",
            everywhere=True,
            key=f"{name}/{seed}",
        )
        for seed in draws.seeds()
    ]


def _blocks(pool: Pool, draws: Draws) -> list[Split]:
    if len(draws.seeds()) > QUARTERS:
        raise TableError(
            f"{len(draws.seeds())} repeats were asked for, but there are {QUARTERS} quarters to test; "
            f"ask for {QUARTERS} or fewer where blocks are among the splits"
        )
    blocks = _cut(pool)
    blocked = replace(pool, units=blocks, what="block")
    of_table = np.full(len(pool.table), -1)
    of_table[pool.rows] = blocks
    splits = []
    for quarter in reversed(range(QUARTERS - len(draws.seeds()), QUARTERS)):
        sides = np.where(blocks * QUARTERS // BLOCKS == quarter, TEST, TRAIN)
        rule = f"quarter {quarter + 1} of {QUARTERS} of the image set's order held out"
        sides = validate(blocked, sides, seed=draws.seed)
        splits.append(build_split(blocked, sides, rule, everywhere=False, key=f"blocks/{quarter}", blocks=of_table))
    return splits


def _cut(pool: Pool) -> Codes:
    """(m,): contiguous blocks of the image set's order, of equal size; a group lies in the block of its first image."""
    order = np.argsort(pool.table.positions[pool.rows], kind="stable")
    block = np.empty(len(pool), np.int64)
    block[order] = np.arange(len(pool)) * BLOCKS // len(pool)
    if pool.units is None:
        return block
    first = np.full(pool.units.max() + 1, BLOCKS)
    np.minimum.at(first, pool.units, block)
    return first[pool.units]


def _k_fold(pool: Pool, draws: Draws) -> list[Split]:
    pool.check_enough(draws.folds, f"for {draws.folds} folds", step="ask for fewer, " if draws.folds > 2 else "")
    splits = []
    for seed in draws.seeds():
        folds = pool.deal_folds(draws.folds, seed=seed)
        shuffled = replace(pool, keys=shuffle_keys(pool.keys, seed))
        for fold in range(draws.folds):
            sides = np.where(folds == fold, TEST, TRAIN)
            pool.take(folds != fold).check_enough(2, "to train and validate", where=f" outside of fold {fold}")
            rule = f"fold {fold + 1} of {draws.folds}{'' if pool.units is None else ' of the groups'}, seed {seed}"
            sides = validate(shuffled, sides, seed=fold)
            splits.append(build_split(pool, sides, rule, everywhere=True, key=f"{draws.folds}-fold/{seed}.{fold}"))
    return splits


def _few_shot(pool: Pool, draws: Draws) -> list[Split]:
    splits: list[Split] = []
    for shots in draws.shots:
        for seed in draws.seeds(DRAWS):
            rule = f"{shots} {'image' if shots == 1 else 'images'} of each class drawn, seed {seed}"
            sides = few_shot_sides(pool, shots, seed=seed)
            about = {"key": f"few-shot-{shots}/{seed}", "refit": False, "shots": shots}
            everywhere, tell = pool.table.splits is None, not splits
            splits.append(build_split(pool, sides, rule, everywhere=everywhere, tell=tell, **about))
    return splits


RULES: Mapping[str, Callable[[Pool, Draws], list[Split]]] = {
    "official": _official,
    "stratified": _stratified,
    "grouped": _grouped,
    "blocks": _blocks,
    "k-fold": _k_fold,
    "few-shot": _few_shot,
}
