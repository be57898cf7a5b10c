"""Defines what an extraction reports: its progress, and at its end what it did and what limited it."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.cache import DONE, Cache
from featx.errors import ImageSetError, failure_text
from featx.extract.clock import StageClock
from featx.extract.pace import Pace
from featx.extract.recording import Recorder
from featx.inputs import ImageSet
from featx.showing import Overview, Shown, shorten

REASONS_TOLD = 3
"""Most reasons in the message if all images failed."""


@dataclass(frozen=True)
class Progress:
    """How far an extraction is."""

    finished: int
    """Number of images that are done or have failed, in this run or before it."""
    total: int
    """Number of images of the image set."""
    failed: int
    note: str
    """What limits the run, or how many shards are complete."""
    earlier: int = 0
    """Number of images that were finished before this run."""


@dataclass(frozen=True, repr=False)
class ExtractionSummary(Shown):
    """What an extraction did and what limited it.

    >>> import featx
    >>> images = featx.list_images("photos")
    >>> summary = featx.extract_features(images, featx.load_backbone("efficientnet-lite0"), into="photos.h5")
    >>> summary  # all rows exist already
    ExtractionSummary: 60 images of photos.h5, 0 failed
      backbone: efficientnet-lite0 on CPUExecutionProvider
      computed: 0; 60 rows existed, 0 are duplicates
    """

    cache: str
    backbone: str
    provider: str
    images: int
    views: tuple[str, ...]
    """Names of the views of each image that have a feature; `center` alone without views."""
    done: int
    failed: int
    reused: int
    """Number of images whose row existed, done or failed, and whose bytes did not change, under any name."""
    duplicates: int
    """Number of images with the bytes of another image of this run; their features are computed once."""
    seconds: float
    stages: dict[str, float]
    """Seconds of work in read, decode, infer and write, summed over threads."""
    bound_by: str
    """The stage that the others waited for; "nothing" if all rows existed."""
    advice: tuple[str, ...]
    """How busy the cores were, and what would make the run faster; empty if all rows existed."""
    pace: Pace | None
    """Batch size, streams and threads, and how they were found; None if all rows existed."""
    failures: tuple[tuple[str, str], ...]
    """Name and reason of every image that failed."""

    @property
    def images_per_second(self) -> float:
        """Number of images per second that this run computed."""
        return (self.images - self.reused) / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """The summary as plain JSON values."""
        return asdict(self) | {"images_per_second": round(self.images_per_second, 2)}

    def overview(self) -> Overview:
        """The numbers of images that were computed, reused and failed, and the speed."""
        computed = self.images - self.reused
        speed = f" at {self.images_per_second:.1f} images/s, bound by {self.bound_by}" if computed else ""
        facts = (
            ("backbone", f"{self.backbone} on {self.provider}"),
            ("computed", f"{computed}{speed}; {self.reused} rows existed, {self.duplicates} are duplicates"),
            ("failed", shorten((f"{name} ({reason})" for name, reason in self.failures), most=3)),
        )
        views = f" with {len(self.views)} views each" if len(self.views) > 1 else ""
        return Overview(f"ExtractionSummary: {self.images} images of {self.cache}{views}, {self.failed} failed", facts)


@dataclass(frozen=True)
class Computation:
    """How a run computed its rows."""

    recorder: Recorder
    clock: StageClock
    pace: Pace
    advice: tuple[str, ...]


def summarise(
    cache: Cache, images: ImageSet, *, start: float, reused: int, computation: Computation | None = None
) -> ExtractionSummary:
    """Summary of a run that began at `start` with `reused` rows; `computation` is None if no session was opened."""
    failures = list_failures(cache, images, computation.recorder.reasons if computation else {})
    reused += computation.recorder.recognised if computation else 0
    clock = computation.clock if computation else StageClock()
    computed = computation if reused < len(images) else None
    return ExtractionSummary(
        cache=str(cache.path),
        backbone=cache.card["name"],
        provider=cache.provider,
        images=len(images),
        views=cache.views,
        done=len(images) - len(failures),
        failed=len(failures),
        reused=reused,
        duplicates=computation.recorder.duplicates if computation else 0,
        seconds=round(time.perf_counter() - start, 3),
        stages=clock.stages,
        bound_by=clock.bound_by if computed else "nothing",
        advice=computed.advice if computed else (),
        pace=computed.pace if computed else None,
        failures=failures,
    )


def list_failures(
    cache: Cache, images: ImageSet, reasons: Mapping[int, tuple[int, str]], *, rows: NDArray[np.int64] | None = None
) -> tuple[tuple[str, str], ...]:
    """Name and reason of every image that failed, or of those in these rows.

    `reasons` has the code and the full reason of some rows.
    """
    status = cache.read("status")
    failed = np.flatnonzero(status != DONE)
    return tuple(
        (images.name(row), reasons[row][1] if row in reasons else failure_text(int(status[row])))
        for row in (failed if rows is None else np.intersect1d(failed, rows)).tolist()
    )


def all_failed(into: Path, failures: Sequence[tuple[str, str]]) -> ImageSetError:
    """The error to raise if no image has a feature; it has the commonest reasons, each with an image."""
    first = {reason: name for name, reason in reversed(failures)}
    common = Counter(reason for _, reason in failures).most_common(REASONS_TOLD)
    told = "; ".join(f"{count} as {first[reason]}: {reason}" for reason, count in common)
    return ImageSetError(
        f"{into}: not written, because none of the {len(failures)} images has a feature ({told}); correct that and run "
        "the same command again"
    )
