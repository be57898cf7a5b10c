"""One shard of an extraction: all that a process needs to make it, wherever it runs, and what comes back."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from featx.backbones import Backbone
from featx.cache import (
    DONE,
    PENDING,
    open_cache,
    partial_path,
)
from featx.errors import CacheError
from featx.extract.extracting import (
    ExtractionSummary,
    Progress,
    extract_features,
)
from featx.extract.pace import reading_threads, share_cores
from featx.hardware import usable_cores
from featx.inputs import ImageSet
from featx.processes import collect_warnings
from featx.settings import Settings, Storage


@dataclass(frozen=True)
class Shard:
    """One part of the work."""

    images: ImageSet
    backbone: Backbone
    into: Path
    settings: Settings
    storage: Storage
    retry_failed: bool
    reuse: tuple[Path, ...]

    def part(self, index: int, count: int, folder: Path) -> "Shard":
        """Part `index` of `count`, its cache in this folder."""
        return replace(self, images=self.images.shard(index, count), into=folder / f"{index:06}-of-{count:06}.h5")

    def extract(self, *, sharing: int, report: Callable[[Progress], None] = lambda progress: None) -> "Extracted":
        """The shard's own cache made or completed, with its part of the cores that so many shards share."""
        cores, settings = max(1, usable_cores() // sharing), self.settings
        reading = settings.workers or reading_threads(self.images, cores)
        streams, threads = share_cores(settings, cores)
        settings = replace(settings, workers=reading, streams=streams, threads=threads)
        with collect_warnings() as told:
            summary = extract_features(
                self.images,
                self.backbone,
                into=self.into,
                settings=settings,
                storage=self.storage,
                retry_failed=self.retry_failed,
                reuse=self.reuse,
                report=report,
            )
        return Extracted(summary, tuple(told))

    def count(self) -> tuple[int, int]:
        """Rows of the unfinished or finished cache that are done or failed, and those that failed.

        None where it cannot be read just now: another process is making it.
        """
        for path in (partial_path(self.into), self.into):
            try:
                status = open_cache(path).read("status")
            except CacheError:
                continue
            return int(np.count_nonzero(status != PENDING)), int(np.count_nonzero(status > DONE))
        return 0, 0


@dataclass(frozen=True)
class Extracted:
    """What became of a shard."""

    summary: ExtractionSummary
    warnings: tuple[str, ...]
    """What was to be told meanwhile, for those who asked for the shard to tell it."""
