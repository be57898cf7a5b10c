"""Caches x heads x fusions x splits in; results, made side by side and kept as they come, out."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from featx.cache import FeatureTable, label_sources
from featx.errors import FeatxError, TableError
from featx.heads import (
    STACKED,
    STACKED_HEADS,
    Result,
    ResultsFile,
    find_fusion,
    find_recipe,
    is_large,
    key_of,
    train_head,
)
from featx.processes import heard_warnings, side_by_side
from featx.provenance import versions
from featx.tables import Split, fuse_tables, separate_blocks

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failure:
    """A contest without a result."""

    contest: str
    """Its name."""
    reason: str


@dataclass(frozen=True)
class Contest:
    """One head, on one table and split, to be trained and measured."""

    table: FeatureTable
    backbones: tuple[str, ...]
    """What its blocks are called among all that take part: by their output too where one backbone has several."""
    head: str
    fusion: str
    split: Split
    folds: int | None
    """Of tuning; None for validation rows."""
    balanced: bool
    """Whether classes count alike in fitting and tuning, however many images they have."""
    seed: int

    @cached_property
    def key(self) -> str:
        """What its result is called."""
        return key_of(
            self.table.digest,
            head=self.head,
            fusion=self.fusion,
            split=self.split.key,
            folds=self.folds,
            balanced=self.balanced,
            seed=self.seed,
            versions=versions(),
        )

    @property
    def name(self) -> str:
        """What people call it."""
        fusion = f" ({self.fusion})" if self.fusion else ""
        return f"{self.head}{fusion} on {' + '.join(self.backbones)}, {self.split.key}"

    @property
    def large(self) -> bool:
        """Whether one fit has work for every core."""
        return is_large(len(self.split.development), self.table.dim)

    def run(self) -> "Made":
        """Its result, by one process, or why there is none, and what there was to say meanwhile."""
        with heard_warnings() as told:
            try:
                made: Result | Failure = self._train()
            except FeatxError as error:
                made = Failure(self.name, str(error))
        return Made(made.key if isinstance(made, Result) else self.key, self.name, made, tuple(told))

    def _train(self) -> Result:
        _, result = train_head(
            self.table,
            self.head,
            fusion=self.fusion,
            split=self.split,
            folds=self.folds,
            balanced=self.balanced,
            seed=self.seed,
            jobs=1,
        )
        return replace(result, backbones=self.backbones)


@dataclass(frozen=True)
class Made:
    """What became of a contest in the process that ran it."""

    key: str
    """As that process calls a result, by its own versions."""
    name: str
    outcome: Result | Failure
    told: tuple[str, ...]
    """Warnings."""


@dataclass(frozen=True)
class Tally:
    """How far a comparison is."""

    finished: int
    """Of the contests, those that failed among them."""
    total: int
    last: str
    """The name of the contest that ended last; empty where none has."""


@dataclass(frozen=True)
class Compared:
    """What became of all contests, in their order."""

    results: tuple[Result, ...]
    failures: tuple[Failure, ...]


def list_contests(
    tables: Sequence[FeatureTable],
    *,
    heads: Sequence[str],
    fusions: Sequence[str] = ("concat",),
    splits: Callable[[FeatureTable], Sequence[Split]],
    folds: int | None = None,
    balanced: bool = False,
    seed: int = 0,
) -> list[Contest]:
    """Every head on every block alone and, joined by every fusion, on all of them, for every split: on the same rows.

    A block is an output of a table. Only images that have a feature in every table take part. Left out is what cannot
    be, which a warning tells: other fusions of a head that brings its own, a head stacked on images of several labels,
    a selection of columns by one image a class. Raises TableError where tables do not fit, cannot be split or cannot be
    balanced, HeadError for an unknown head or fusion.
    """
    for head in heads:
        find_recipe(head)
    for fusion in fusions:
        if fusion != STACKED:
            find_fusion(fusion)
    joined = fuse_tables(tables)
    if balanced and joined.multilabel:
        raise TableError("classes cannot count alike where images are of several; leave `balanced` out")
    alone, labels = separate_blocks(tables, joined), label_sources(joined.sources)
    entries: list[tuple[FeatureTable, tuple[str, ...], str, str]]
    entries = [(table, (label,), head, "") for table, label in zip(alone, labels, strict=True) for head in heads]
    whole, joining = (joined, fusions) if len(alone) > 1 else (alone[0], [one for one in fusions if one != "concat"])
    entries += [(whole, labels, head, fusion) for head in heads for fusion in _fusions_of(head, joining, joined)]
    unique = {(entry[0].digest, *entry[1:]): entry for entry in entries}
    drawn = splits(joined)
    _tell_left_out(heads, joining, joined, drawn)
    return [
        Contest(*entry, split, folds, balanced, seed)
        for split in drawn
        for entry in unique.values()
        if _has_enough(entry[3], split)
    ]


def compare_backbones(
    contests: Sequence[Contest],
    *,
    into: Path | None = None,
    jobs: int | None = None,
    report: Callable[[Tally], None] = lambda tally: None,
) -> Compared:
    """Results of these contests, and why there is none of some.

    Each is appended to `into` as it comes (of joblib backends that cannot hand it on, at the end), and what is there
    already is not made again; what failed is. `jobs` processes, or the workers of the joblib backend that is set, share
    the work: by default one a core, and one where the features are large, which then has every core. Raises TableError
    where `into` is no file of results.
    """
    failures: dict[str, Failure] = {}
    said = set[str]()
    with ResultsFile(into) as kept:
        wanted = {contest.key: contest for contest in contests if contest.key not in kept.results}
        finished, total = len(kept.results.keys() & {contest.key for contest in contests}), len(wanted)
        report(Tally(finished, finished + total, ""))
        for count, made in enumerate(_run(list(wanted.values()), jobs), start=1):
            outcome = made.outcome if made.key in wanted else _of_other_versions(made)
            if isinstance(outcome, Failure):
                failures[made.name] = outcome
            else:
                kept.append(outcome)
            for text in made.told:
                if text not in said:
                    logger.warning("%s: %s", made.name, text)
            said.update(made.told)
            report(Tally(finished + count, finished + total, made.name))
        results = tuple(kept.results[contest.key] for contest in contests if contest.key in kept.results)
    return Compared(results, tuple(failures[one.name] for one in wanted.values() if one.name in failures))


def _run(contests: Sequence[Contest], jobs: int | None) -> Iterator[Made]:
    """As they end: so many side by side as there are cores, and then the large ones, each of which takes all cores."""
    small, large = list[Contest](), list[Contest]()
    for contest in contests:
        (large if contest.large and not jobs else small).append(contest)
    yield from side_by_side([contest.run for contest in small], jobs=jobs, ordered=False)
    yield from map(Contest.run, large)


def _of_other_versions(made: Made) -> Failure:
    if isinstance(made.outcome, Failure):
        return made.outcome
    return Failure(
        made.name, f"a worker made it by other versions ({made.key.partition('featx ')[2]}); install the same"
    )


def _fusions_of(head: str, fusions: Sequence[str], table: FeatureTable) -> list[str]:
    """Those of the fusions that this head can be given: its own alone, where it brings one."""
    if find_recipe(head).fusion:
        return [""]
    stacked = head in STACKED_HEADS and not table.multilabel
    return [fusion for fusion in fusions if fusion != STACKED or stacked]


def _has_enough(fusion: str, split: Split) -> bool:
    return fusion in ("", STACKED) or split.shots is None or split.shots >= find_fusion(fusion).least_shots


def _tell_left_out(heads: Sequence[str], fusions: Sequence[str], table: FeatureTable, splits: Sequence[Split]) -> None:
    """Warn of what was asked for and cannot be; that a head with its own fusion is not concatenated is not told."""
    own = [head for head in heads if find_recipe(head).fusion]
    left = [f"other fusions of {', '.join(own)}, which bring their own"] if own and set(fusions) - {"concat"} else []
    if STACKED in fusions and table.multilabel:
        left.append("stacked heads of images with several labels")
    few = {one: {split.shots for split in splits if not _has_enough(one, split)} for one in fusions}
    left += [f"{fusion} at {shots.pop()} shot" for fusion, shots in few.items() if shots]
    if left:
        logger.warning("left out, as it cannot be: %s", "; ".join(left))
