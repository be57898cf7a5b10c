"""Defines one shard of an extraction: what a process needs to compute it, wherever it runs, and what it returns."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from featx.backbones import Backbone
from featx.cache import DONE, PENDING, open_cache, partial_path
from featx.errors import CacheError
from featx.extract.extracting import extract_features
from featx.extract.pace import reading_threads, share_cores
from featx.extract.summary import ExtractionSummary, Progress
from featx.hardware import usable_cores
from featx.inputs import ImageSet
from featx.processes import collect_warnings
from featx.settings import Settings, Storage


@dataclass(frozen=True)
class Shard:
    """A part of an image set, the cache for its features, and how they are extracted."""

    images: ImageSet
    backbone: Backbone
    into: Path
    settings: Settings
    storage: Storage
    retry_failed: bool
    reuse: tuple[Path, ...]

    def part(self, index: int, count: int, folder: Path) -> "Shard":
        """Part `index` of `count`, with its cache in this folder."""
        return replace(self, images=self.images.shard(index, count), into=folder / f"{index:06}-of-{count:06}.h5")

    def extract(self, *, sharing: int, report: Callable[[Progress], None] = lambda progress: None) -> "ExtractedShard":
        """Extract the shard, with its share of the cores if `sharing` shards are extracted at once on this machine."""
        cores = max(1, usable_cores() // sharing)
        streams, threads = share_cores(self.settings, cores)
        workers = self.settings.workers or reading_threads(self.images, cores)
        with collect_warnings() as collected:
            summary = extract_features(
                self.images,
                self.backbone,
                into=self.into,
                settings=replace(self.settings, workers=workers, streams=streams, threads=threads),
                storage=self.storage,
                retry_failed=self.retry_failed,
                reuse=self.reuse,
                report=report,
            )
        return ExtractedShard(summary, tuple(collected))

    def count(self) -> tuple[int, int]:
        """Number of rows that are done or failed, and of those that failed, in the shard's cache, complete or not.

        Both are 0 if no cache can be read, for example because another process is creating it at the moment.
        """
        for path in (partial_path(self.into), self.into):
            try:
                status = open_cache(path).read("status")
            except CacheError:
                continue
            return int(np.count_nonzero(status != PENDING)), int(np.count_nonzero(status > DONE))
        return 0, 0


@dataclass(frozen=True)
class ExtractedShard:
    """What a worker returns for a shard."""

    summary: ExtractionSummary
    warnings: tuple[str, ...]
    """Warnings of the extraction, for the process that distributes the shards to report."""
