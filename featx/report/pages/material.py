"""What a report is made of: results, suites, heads, caches and other measurements, read and ranked."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from featx.cache import CacheInfo, FailedImage, FeatureTable
from featx.compare import RankedResults
from featx.heads import Examination, Head, Result
from featx.report.pages.printed import Document
from featx.report.section import Section
from featx.report.split_rankings import KnownTests, SplitRanking, split_rankings
from featx.suites import SuiteOutcome
from featx.tables import Duplicates

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class GivenInput:
    """A file, or an object of Python, that the report was made from."""

    name: str
    """The path of the file, or the name of the object's class."""
    what: str
    digest: str
    """sha256 of the file, or of a table; empty for a cache, whose model and images have hashes of their own, and for
    folders and other objects."""


@dataclass(frozen=True)
class ImagesOfCache:
    """How many images a cache or table has, and which of them failed."""

    rows: int
    failed: tuple[FailedImage, ...]
    splits: Mapping[str, int]
    """Split -> number of its images, as in CacheInfo."""
    domains: Mapping[str, int]
    groups: int | None
    digest: str = ""
    """Hash of the image set; empty for a table, which does not know it."""

    @property
    def done(self) -> int:
        """Number of images that have features."""
        return self.rows - len(self.failed)

    @property
    def reasons(self) -> dict[str, int]:
        """Reason -> number of images that failed for it, the most frequent first."""
        return dict(Counter(one.reason for one in self.failed).most_common())

    @classmethod
    def of_cache(cls, info: CacheInfo) -> "ImagesOfCache":
        """The images of a cache."""
        digest = str(info.provenance.get("image_set", ""))
        return cls(info.rows, info.failed_images, info.splits, info.domains, info.groups, digest)

    @classmethod
    def of_table(cls, table: FeatureTable) -> "ImagesOfCache":
        """The images of a table."""
        groups = None if table.groups is None else len(np.unique(table.groups))
        rows = len(table) + len(table.failed)
        return cls(rows, tuple(table.failed.values()), _count(table.splits), _count(table.domains), groups)


def _count(column: NDArray[np.bytes_] | None) -> dict[str, int]:
    values: Iterable[bytes] = () if column is None else sorted(column.tolist())
    return {value.decode(): count for value, count in Counter(values).items()}


@dataclass(frozen=True, eq=False)
class GivenCache:
    """The table of a cache, or one that was given itself."""

    path: Path | None
    """The cache; None for a table that was given itself, whose cache is not known."""
    images: ImagesOfCache
    table: FeatureTable
    backbones: frozenset[str]
    """What its features come from, as heads name it: of a cache, of all of its outputs."""

    @property
    def name(self) -> str:
        """The name of the file, or the word that stands for it in commands."""
        return "CACHES" if self.path is None else self.path.name


@dataclass(frozen=True)
class GivenHead:
    """A head, and what it predicts for its own test images."""

    path: Path
    """Its file; of a head that was given itself, a name that its file could have."""
    head: Head
    result: Result | None
    """How it was measured when it was trained; None for a head that does not say."""
    examined: Examination | None = None
    why: str = ""
    """Why it is not known what it predicts."""


@dataclass(frozen=True)
class Material:
    """All that a report is made of."""

    inputs: tuple[GivenInput, ...]
    ranked: RankedResults
    tests: Mapping[tuple[str, str], KnownTests]
    """Tests that are known from elsewhere, for candidates whose images are not at hand."""
    duplicates: Mapping[str, Duplicates]
    suites: tuple[SuiteOutcome, ...]
    heads: tuple[GivenHead, ...]
    caches: tuple[GivenCache, ...]
    documents: tuple[Document, ...]
    further: tuple[Section, ...]
    """What is said of objects that are nothing of the above."""

    @property
    def results(self) -> tuple[Result, ...]:
        """All results that are ranked."""
        return tuple(result for ranking in self.ranked.rankings for one in ranking for result in one.results)

    def of(self, kind: type[Kind]) -> tuple[Kind, ...]:
        """The documents of this kind."""
        return tuple(one for one in self.documents if isinstance(one, kind))


def list_rankings(material: Material) -> list[SplitRanking]:
    """The candidates of all results by kind of split, those with the most candidates first."""
    found = [
        one
        for ranking, tested in zip(material.ranked.rankings, material.ranked.tested, strict=True)
        for one in split_rankings(ranking, tests=material.tests, could_be_tested=tested)
    ]
    return sorted(found, key=lambda one: -len(one.candidates))
