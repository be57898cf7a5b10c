"""Caches x heads x fusions x splits in; results, made side by side and kept as they come, out."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sklearn.utils.parallel import Parallel, delayed

from featx.cache import FeatureTable
from featx.fusion import fuse_tables, separate_blocks
from featx.heads import find_fusion, find_recipe
from featx.provenance import usable_cores
from featx.results import Result, ResultsFile, key_of
from featx.splits import Split
from featx.train import STACKED, STACKED_HEADS, train_head


@dataclass(frozen=True)
class Contest:
    """One head, on one table and split, to be trained and measured."""

    table: FeatureTable
    head: str
    fusion: str
    split: Split
    folds: int | None
    """Of tuning; None for validation rows."""
    seed: int

    @property
    def key(self) -> str:
        """What its result is called."""
        return key_of(
            self.table.digest,
            head=self.head,
            fusion=self.fusion,
            split=self.split.key,
            folds=self.folds,
            seed=self.seed,
        )

    def run(self) -> Result:
        """Its result, by one process."""
        return train_head(
            self.table,
            self.head,
            fusion=self.fusion,
            split=self.split,
            folds=self.folds,
            seed=self.seed,
            jobs=1,
        )[1]


@dataclass(frozen=True)
class Tally:
    """How far a comparison is."""

    finished: int
    total: int
    last: Result | None


def list_contests(
    tables: Sequence[FeatureTable],
    *,
    heads: Sequence[str],
    fusions: Sequence[str] = ("concat",),
    splits: Callable[[FeatureTable], Sequence[Split]],
    folds: int | None = None,
    seed: int = 0,
) -> list[Contest]:
    """Every head on every block alone and, joined by every fusion, on all of them, for every split: on the same rows.

    A block is an output of a table. Only images that have a feature in every table take part. A head that brings its
    own fusion has no other, and is not stacked. Raises TableError where tables do not fit or cannot be split, HeadError
    for an unknown head or fusion.
    """
    for head in heads:
        find_recipe(head)
    for fusion in fusions:
        if fusion != STACKED:
            find_fusion(fusion)
    joined = fuse_tables(tables)
    alone = separate_blocks(tables, joined)
    entries = [(table, head, "") for table in alone for head in heads]
    whole, joining = (joined, fusions) if len(alone) > 1 else (alone[0], [one for one in fusions if one != "concat"])
    entries += [(whole, head, fusion) for head in heads for fusion in _fusions_of(head, joining)]
    unique = {(table.digest, head, fusion): (table, head, fusion) for table, head, fusion in entries}
    return [Contest(*entry, split, folds, seed) for split in splits(joined) for entry in unique.values()]


def compare_backbones(
    contests: Sequence[Contest],
    *,
    into: Path | None = None,
    jobs: int | None = None,
    report: Callable[[Tally], None] = lambda tally: None,
) -> list[Result]:
    """Results of these contests, in their order.

    Each is appended to `into` as it comes, and what is there already is not made again. `jobs` processes, or the
    workers of the joblib backend that is set, share the work. Raises as train_head, once what was finished is written;
    TableError where `into` is no file of results.
    """
    with ResultsFile(into) as kept:
        wanted = [contest for contest in contests if contest.key not in kept.results]
        finished = len(contests) - len(wanted)
        report(Tally(finished, len(contests), None))
        for count, result in enumerate(_run(wanted, jobs), start=1):
            kept.append(result)
            report(Tally(finished + count, len(contests), result))
        return [kept.results[contest.key] for contest in contests]


def _run(contests: Sequence[Contest], jobs: int | None) -> Iterable[Result]:
    parallel = Parallel(n_jobs=jobs or usable_cores(), return_as="generator_unordered")
    made: Iterable[Result] = parallel(delayed(Contest.run)(contest) for contest in contests)
    return made


def _fusions_of(head: str, fusions: Sequence[str]) -> list[str]:
    """Those of the fusions that this head can be given: its own alone, where it brings one."""
    if find_recipe(head).fusion:
        return [""]
    return [fusion for fusion in fusions if fusion != STACKED or head in STACKED_HEADS]
