"""What every source reached on every target: the material of the leaderboard and of the agreement."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable
from featx.compare import SplitImages
from featx.heads import Result
from featx.suites.tabling import SuiteCandidate, TargetTables
from featx.tables import Split
from featx.transfer import Predictor, join_results, majority_predictor

SourceName = tuple[str, str]
"""Backbone and output."""


@dataclass(frozen=True, order=True)
class Lane:
    """How features were computed: numbers of different lanes do not mean the same."""

    decode: str
    storage: str
    precision: str
    provider: str

    @classmethod
    def of(cls, table: FeatureTable) -> "Lane":
        """The lane of the table of one source."""
        source = table.sources[0]
        lower = source.card.get("dtype") in ("float16", "bfloat16")
        return cls(
            decode=source.decode,
            storage=str(table.parts[0].values.dtype),
            precision=str(source.card.get("precision") or (source.card["dtype"] if lower else "float32")),
            provider=source.provider,
        )


@dataclass(frozen=True)
class Standing:
    """What one source reached on one target, with one head, on all splits of one kind."""

    source: SourceName
    label: str
    """The backbone, with its output if several outputs of it are compared."""
    baseline: str
    """What the source is if it transfers nothing; empty for all others."""
    reference: str
    """What the card says of its accuracy on the source task."""
    columns: int
    lane: Lane
    predictor: Predictor
    results: tuple[Result, ...]
    """One for each split."""

    @property
    def value(self) -> float:
        """The measure on test images, as a mean over the splits."""
        return float(self.predictor.values.mean())

    def mean(self, measure: str) -> float | None:
        """The mean over the splits of another measure; None if it is not defined on each of them."""
        values = [getattr(result.metrics, measure) for result in self.results]
        return None if None in values else float(np.mean(values))

    @property
    def validated(self) -> NDArray[np.float64]:
        """(splits,): the measure on validation images."""
        return np.array([result.validated for result in self.results])


@dataclass(frozen=True)
class Field:
    """All sources with one head on one kind of split of one target."""

    target: TargetTables
    head: str
    kind: str
    """`few-shot-K`, or `all` for splits that give all training images to heads."""
    splits: tuple[Split, ...]
    images: SplitImages
    standings: tuple[Standing, ...]
    majority: Predictor
    missing: tuple[SourceName, ...]
    """Sources that have no result on every split."""


def list_fields(
    targets: Sequence[TargetTables], candidates: Sequence[SuiteCandidate], results: Sequence[Result]
) -> list[Field]:
    """One field for each head and kind of split of each target, in the order of the candidates."""
    by_key = {result.key: result for result in results}
    tables = {target.target: target for target in targets}
    fields = dict[tuple[str, str, str], list[SuiteCandidate]]()
    for one in candidates:
        fields.setdefault((one.target, one.head, kind_of(one.split)), []).append(one)
    return [
        _field(tables[target], found, head=head, kind=kind, results=by_key)
        for (target, head, kind), found in fields.items()
    ]


def kind_of(split: Split) -> str:
    """`few-shot-K`, or `all` for splits by whatever rule that give heads all images to learn from."""
    return "all" if split.shots is None else f"few-shot-{split.shots}"


def _field(
    target: TargetTables, found: Sequence[SuiteCandidate], *, head: str, kind: str, results: Mapping[str, Result]
) -> Field:
    by_split = {one.split.key: one for one in found}
    first = found[0]
    splits = tuple(one.split for one in by_split.values())
    images = SplitImages.of(first.table, splits, balanced=first.balanced, seed=first.seed)
    sources = dict[SourceName, list[SuiteCandidate]]()
    for one in found:
        sources.setdefault((one.backbone, one.output), []).append(one)
    standings = tuple(_standings(sources, images, results))
    there = {one.source for one in standings}
    return Field(
        target=target,
        head=head,
        kind=kind,
        splits=splits,
        images=images,
        standings=standings,
        majority=majority_predictor(first.table, images, folds=[one.folds for one in by_split.values()]),
        missing=tuple(source for source in sources if source not in there),
    )


def _standings(
    sources: Mapping[SourceName, Sequence[SuiteCandidate]], images: SplitImages, results: Mapping[str, Result]
) -> Iterator[Standing]:
    for name, candidates in sources.items():
        predictor = join_results(candidates, results, images)
        if predictor is None or np.isnan(predictor.values).any():
            continue
        table = candidates[0].table
        card = table.sources[0].card
        yield Standing(
            source=name,
            label=candidates[0].backbones[0],
            baseline=str(card.get("baseline", "")),
            reference=str(card.get("reference", "")),
            columns=table.dim,
            lane=Lane.of(table),
            predictor=predictor,
            results=tuple(results[one.key] for one in candidates),
        )
