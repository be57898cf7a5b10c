"""Caches x heads x fusions x splits in; results, made side by side and kept as they come, out."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from sklearn.utils.parallel import Parallel, delayed

from featx.cache import FeatureTable, label_sources
from featx.errors import FeatxError
from featx.fusion import fuse_tables, separate_blocks
from featx.heads import find_fusion, find_recipe
from featx.provenance import usable_cores, versions
from featx.results import Result, ResultsFile, key_of
from featx.splits import Split
from featx.train import STACKED, STACKED_HEADS, is_large, train_head


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

    def run(self) -> Result | Failure:
        """Its result, by one process, or why there is none."""
        try:
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
        except FeatxError as error:
            return Failure(self.name, str(error))
        return replace(result, backbones=self.backbones)


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
    be: other fusions of a head that brings its own, such heads stacked, any head stacked on images of several labels,
    and a selection of columns by one image a class. Raises TableError where tables do not fit or cannot be split,
    HeadError for an unknown head or fusion.
    """
    for head in heads:
        find_recipe(head)
    for fusion in fusions:
        if fusion != STACKED:
            find_fusion(fusion)
    joined = fuse_tables(tables)
    alone, labels = separate_blocks(tables, joined), label_sources(joined.sources)
    entries: list[tuple[FeatureTable, tuple[str, ...], str, str]]
    entries = [(table, (label,), head, "") for table, label in zip(alone, labels, strict=True) for head in heads]
    whole, joining = (joined, fusions) if len(alone) > 1 else (alone[0], [one for one in fusions if one != "concat"])
    entries += [(whole, labels, head, fusion) for head in heads for fusion in _fusions_of(head, joining, joined)]
    unique = {(entry[0].digest, *entry[1:]): entry for entry in entries}
    return [
        Contest(*entry, split, folds, balanced, seed)
        for split in splits(joined)
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

    Each is appended to `into` as it comes, and what is there already is not made again; what failed is. `jobs`
    processes, or the workers of the joblib backend that is set, share the work: by default one a core, and one where
    the features are large, which then has every core. Raises TableError where `into` is no file of results.
    """
    failures: dict[str, Failure] = {}
    with ResultsFile(into) as kept:
        wanted = [contest for contest in contests if contest.key not in kept.results]
        finished = len(contests) - len(wanted)
        report(Tally(finished, len(contests), ""))
        names = {contest.key: contest.name for contest in wanted}
        for count, made in enumerate(_run(wanted, jobs), start=1):
            if isinstance(made, Failure):
                failures[made.contest] = made
            else:
                kept.append(made)
            last = made.contest if isinstance(made, Failure) else names[made.key]
            report(Tally(finished + count, len(contests), last))
        results = tuple(kept.results[contest.key] for contest in contests if contest.key in kept.results)
    return Compared(results, tuple(failures[name] for name in names.values() if name in failures))


def _run(contests: Sequence[Contest], jobs: int | None) -> Iterable[Result | Failure]:
    most = 1 if any(is_large(contest.table) for contest in contests) else usable_cores()
    parallel = Parallel(n_jobs=jobs or most, return_as="generator_unordered")
    made: Iterable[Result | Failure] = parallel(delayed(Contest.run)(contest) for contest in contests)
    return made


def _fusions_of(head: str, fusions: Sequence[str], table: FeatureTable) -> list[str]:
    """Those of the fusions that this head can be given: its own alone, where it brings one."""
    if find_recipe(head).fusion:
        return [""]
    stacked = head in STACKED_HEADS and not table.multilabel
    return [fusion for fusion in fusions if fusion != STACKED or stacked]


def _has_enough(fusion: str, split: Split) -> bool:
    return fusion in ("", STACKED) or split.shots is None or split.shots >= find_fusion(fusion).least_shots
