"""Two domains with the same backbones: what is learnt on the source is used on the target."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from featx.cache import FeatureTable, identify_source, label_sources
from featx.errors import TableError
from featx.showing import shorten
from featx.tables import fuse_tables, separate_blocks


@dataclass(frozen=True)
class Pair:
    """One output of one backbone, in both domains."""

    label: str
    """The backbone, with its output if several are of it."""
    source: FeatureTable
    target: FeatureTable


@dataclass(frozen=True)
class Domains:
    """The tables of a source and of a target domain."""

    source: FeatureTable
    """All columns of the source."""
    target: FeatureTable
    """All columns of the target."""
    targets: Sequence[FeatureTable]
    """The tables of the target as they were given."""
    pairs: Sequence[Pair]
    """Each output of the source with that of the target."""

    @classmethod
    def of(cls, sources: Sequence[FeatureTable], targets: Sequence[FeatureTable]) -> Self:
        """The domains. Raises TableError if they have no class in common, or if the target lacks a backbone."""
        domains = cls.of_features(sources, targets)
        _check_labels(domains.source, domains.target)
        return domains

    @classmethod
    def of_features(cls, sources: Sequence[FeatureTable], targets: Sequence[FeatureTable]) -> Self:
        """The domains, whatever labels they have. Raises TableError if the target lacks a backbone."""
        source, target = fuse_tables(sources), fuse_tables(targets)
        return cls(source, target, targets, _pair(sources, source, targets, target))

    @property
    def only_in_source(self) -> list[str]:
        """Classes that no image of the target can have."""
        return [name for name in self.source.classes if name not in self.target.classes]

    @property
    def only_in_target(self) -> list[str]:
        """Classes that a head of the source does not know."""
        return [name for name in self.target.classes if name not in self.source.classes]

    def notes(self) -> Iterator[str]:
        """What differs between the domains, and what may be the same."""
        if self.only_in_source:
            yield f"classes of the source only, which are never right: {shorten(self.only_in_source)}"
        if self.only_in_target:
            yield f"classes of the target only, which the source never predicts: {shorten(self.only_in_target)}"
        same = np.flatnonzero(np.isin(self.target.names, self.source.names))
        if len(same):
            yield (
                f"{len(same):,} images have the same name in source and target, such as "
                f"{self.target.name(int(same[0]))}: if these are the same images, the source has seen test images, and "
                "its accuracy is too good"
            )


def _check_labels(source: FeatureTable, target: FeatureTable) -> None:
    """Raise TableError unless the labels of both can be compared."""
    if source.multilabel != target.multilabel:
        several, one = ("source", "target") if source.multilabel else ("target", "source")
        raise TableError(
            f"images of the {several} have several labels, those of the {one} have one; give both labels of one kind "
            "with --annotations"
        )
    common = set(source.classes) & set(target.classes)
    if not common or (source.multilabel and set(source.classes) != set(target.classes)):
        raise TableError(
            f"the classes of the source are {shorten(source.classes)}, those of the target {shorten(target.classes)}; "
            "classes are matched by name, so give both the same names with --annotations"
        )


def _pair(
    sources: Sequence[FeatureTable], source: FeatureTable, targets: Sequence[FeatureTable], target: FeatureTable
) -> list[Pair]:
    """Each output of the source with the same one of the target. Raises TableError if the target lacks one."""
    known = {block.sources[0].kind: block for block in separate_blocks(targets, target)}
    labels = label_sources(source.sources)
    pairs = []
    for label, block in zip(labels, separate_blocks(sources, source), strict=True):
        own = block.sources[0]
        if own.kind not in known:
            others = [identify_source(one.sources[0]) for one in known.values()]
            raise TableError(
                f"the source has features of {identify_source(own)}, the target of {', '.join(others)}; extract both "
                "with the same backbone and output, and read both with the same views"
            )
        pairs.append(Pair(label, block, known[own.kind]))
    return pairs
