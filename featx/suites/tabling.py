"""Turns the caches of a target into tables of the same images, one for each source, and splits them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from featx.cache import FeatureTable, label_sources
from featx.compare import Candidate, list_candidates
from featx.errors import TableError
from featx.suites.suite import Protocol, Target
from featx.tables import (
    FEW_SHOT_REPEATS,
    FOLDS,
    SHOTS,
    Split,
    fuse_tables,
    make_splits,
    possible_shots,
    read_tables,
    separate_blocks,
    without_learned,
)

if TYPE_CHECKING:  # what reads results of a suite needs no backbones
    from featx.suites.preparing import PreparedTarget

FEW_SHOT = "few-shot"


@dataclass(frozen=True, repr=False)
class SuiteCandidate(Candidate):
    """A candidate of one target: its name begins with that of the target."""

    target: str = ""

    @property
    def name(self) -> str:
        """The name that messages use."""
        return f"{self.target}: {super().name}"

    @property
    def backbone(self) -> str:
        """Name of the backbone."""
        return self.table.sources[0].name

    @property
    def output(self) -> str:
        """Name of the output."""
        return self.table.sources[0].output


@dataclass(frozen=True)
class TargetTables:
    """The tables of one target, and its splits."""

    target: str
    weight: float
    label_rule: str
    joined: FeatureTable
    """All sources side by side: its digest stands for all of them."""
    blocks: tuple[FeatureTable, ...]
    """One table for each source; all have the same images in the same order."""
    splits: tuple[Split, ...]
    left_out: tuple[int, ...]
    """Numbers of shots for which a class has too few images."""

    @property
    def names(self) -> list[tuple[str, str]]:
        """Backbone and output of each block."""
        return [(block.sources[0].name, block.sources[0].output) for block in self.blocks]

    def candidates(self, protocol: Protocol) -> list[SuiteCandidate]:
        """Every head on every source and split. Raises what featx.list_candidates raises."""
        labels = label_sources(self.joined.sources)
        return list(self._list(labels, protocol))

    def _list(self, labels: Sequence[str], protocol: Protocol) -> Iterator[SuiteCandidate]:
        for block, label in zip(self.blocks, labels, strict=True):
            for one in list_candidates(
                block,
                heads=protocol.heads,
                fusions=(),
                splits=lambda table: self.splits,
                tuning=protocol.tuning,
                balanced=protocol.balanced,
                seed=protocol.seed,
            ):
                known = {field.name: getattr(one, field.name) for field in fields(Candidate)}
                yield SuiteCandidate(**known | {"backbones": (label,)}, target=self.target)


def read_target(prepared: "PreparedTarget", caches: Mapping[Path, Sequence[str]], protocol: Protocol) -> TargetTables:
    """The tables of these caches, with these outputs of each, and the splits of their images.

    Raises CacheError, TableError.
    """
    tables = [
        table
        for path, outputs in caches.items()
        for table in read_tables([path], outputs=outputs, annotations=prepared.annotations)
    ]
    joined = fuse_tables(tables)
    target = prepared.target
    published = prepared.splits
    splits, left_out = (published.splits_of(target.name, joined), ()) if published else draw(joined, target, protocol)
    splits = without_learned(joined, splits) if published else splits
    return TargetTables(
        target=target.name,
        weight=target.weight,
        label_rule=target.label_rule,
        joined=joined,
        blocks=tuple(separate_blocks(tables, joined)),
        splits=tuple(splits),
        left_out=left_out,
    )


def draw(table: FeatureTable, target: Target, protocol: Protocol) -> tuple[list[Split], tuple[int, ...]]:
    """The splits by the target's rule, few-shot splits beside them if the protocol has shots; and the shots left out.

    Raises TableError.
    """
    rule = target.splits or protocol.splits
    few_shot = rule == FEW_SHOT
    asked = protocol.shots or (SHOTS if few_shot else ())
    repeats = protocol.repeats or FEW_SHOT_REPEATS
    shots = possible_shots(table, asked, repeats=repeats, seed=protocol.seed) if asked else ()
    found = [] if few_shot else _draw_by_rule(table, rule, target, protocol)
    if shots:
        found += make_splits(table, FEW_SHOT, repeats=repeats, shots=shots, seed=protocol.seed)
    if not found:
        raise TableError(f"no class has images enough for {min(asked)} shots; ask for fewer, or choose another rule")
    return found, tuple(number for number in asked if number not in shots)


def _draw_by_rule(table: FeatureTable, rule: str, target: Target, protocol: Protocol) -> list[Split]:
    """The splits by this rule; the image set's own split is one, however many repeats are asked for."""
    repeats = None if rule in ("official", "auto") and table.splits is not None else protocol.repeats
    return make_splits(
        table,
        rule,
        repeats=repeats,
        folds=protocol.folds or FOLDS,
        seed=protocol.seed,
        source_domains=target.source_domains,
        target_domain=target.target_domain,
    )


def count_splits(rule: str, protocol: Protocol) -> int:
    """About how many splits there will be, before the images are known."""
    few_shot = len(protocol.shots or (SHOTS if rule == FEW_SHOT else ())) * (protocol.repeats or FEW_SHOT_REPEATS)
    by_rule = (protocol.repeats or 1) * ((protocol.folds or FOLDS) if rule == "k-fold" else 1)
    return few_shot + (0 if rule == FEW_SHOT else by_rule)
