"""images -> batches -> session -> cache, each stage timed; only what is missing is computed."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from featx.backbones import Backbone, FeatureSession
from featx.cache import (
    DONE,
    PENDING,
    Cache,
    CacheWriter,
    Kept,
    Provenance,
    check_replaceable,
    copy_rows,
    create_partial,
    locked,
    partial_path,
    seal,
)
from featx.devices import provider_of
from featx.errors import failure_text
from featx.extract.advising import advise
from featx.extract.batches import StageClock
from featx.extract.pace import Pace, open_at_pace
from featx.extract.recording import Recorder
from featx.extract.resuming import (
    Earlier,
    Twins,
    check_images,
    check_makers,
    find_earlier,
    find_twins,
    keep_rows,
    shards_folder,
)
from featx.extract.streaming import FeatureBatch, stream_features
from featx.inputs import ImageSet
from featx.provenance import versions
from featx.settings import (
    DEFAULT_STORAGE,
    DEFAULTS,
    Decode,
    Device,
    Settings,
    Storage,
)

WRITES_AHEAD = 4
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far an extraction is."""

    finished: int
    """Images done or failed by this run."""
    total: int
    """Images that this run has to do."""
    failed: int
    note: str
    """What else is to be told: the stage that the others wait for, or how many shards are made."""


@dataclass(frozen=True)
class ExtractionSummary:
    """What an extraction did and what limited it."""

    cache: str
    backbone: str
    provider: str
    images: int
    done: int
    failed: int
    reused: int
    """Images whose rows were there already, done or failed, and whose bytes did not change, whatever their name."""
    duplicates: int
    """Images with the bytes of another one of this run: computed once."""
    seconds: float
    stages: dict[str, float]
    """Seconds of work in read, decode, infer and write, summed over threads."""
    bound_by: str
    """The stage that the others waited for; "nothing" where all rows were there already."""
    advice: tuple[str, ...]
    """What the run was busy with, and what would make it faster; nothing where all rows were there already."""
    pace: Pace | None
    """Batch size, streams and threads that it had, and how they were found; None where all rows were there already."""
    failures: tuple[tuple[str, str], ...]
    """Name and reason of every image that failed."""

    @property
    def images_per_second(self) -> float:
        """Images that this run computed, a second."""
        return (self.images - self.reused) / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """The summary as plain JSON values."""
        return asdict(self) | {"images_per_second": round(self.images_per_second, 2)}


def extract_features(
    images: ImageSet,
    backbone: Backbone,
    *,
    into: Path | str,
    settings: Settings = DEFAULTS,
    overwrite: bool = False,
    retry_failed: bool = False,
    reuse: Sequence[Path] = (),
    storage: Storage = DEFAULT_STORAGE,
    report: Callable[[Progress], None] = lambda progress: None,
) -> ExtractionSummary:
    """Summary of an extraction whose result is the complete cache `into`.

    Rows that are there already, sealed or left by a killed run, or in one of the caches `reuse`, are kept where the
    image's bytes did not change; images of equal bytes are computed once. Raises CacheMismatchError where a cache holds
    something else and `overwrite` is not given, CacheError where it cannot be written, DeviceError and InferenceError
    from the session. Whatever ends it, acknowledged rows stay.
    """
    start, into = time.perf_counter(), Path(into).resolve() if Path(into).is_symlink() else Path(into)
    with locked(into):
        check_replaceable(into)
        _tell_leftovers(into)
        asked: dict[str, Any] = {"decode": settings.decode, "storage": storage, "retry_failed": retry_failed}
        earlier = [] if overwrite else find_earlier(into, backbone, reuse=reuse, **asked)
        check_images(into, earlier, images)
        kept = keep_rows(earlier, images)
        if complete := _find_complete(into, images, earlier=earlier, kept=kept, device=settings.device):
            return _summarise(complete, images, start=start, reused=len(images))
        reused = sum(len(one.new) for one in kept)
        before = earlier[0].cache.batch_size if earlier else None
        session, pace = open_at_pace(backbone, images, settings, count=len(images) - reused, batch_size=before)
        provenance = _provenance(backbone, session, pace, decode=settings.decode, storage=storage)
        for one in earlier:
            check_makers(one.cache, provenance)
        cache = _prepare(into, images, kept, provenance)
        logger.info("%s on %s, %d rows kept of %d", backbone.name, session.provider, reused, len(images))
        run = _Run(images, backbone, session, pace, settings, report)
        made = run.fill(cache, find_twins(earlier, kept, cache))
        sealed = seal(into)
        return _summarise(sealed, images, start=start, reused=reused, made=replace(made, advice=run.advise()))


def find_complete(
    images: ImageSet,
    backbone: Backbone,
    into: Path,
    *,
    settings: Settings,
    storage: Storage = DEFAULT_STORAGE,
    retry_failed: bool = False,
) -> ExtractionSummary | None:
    """Summary of the cache that is there, where it is all that is asked for; else None. Raises as extract_features."""
    start = time.perf_counter()
    earlier = find_earlier(into, backbone, decode=settings.decode, storage=storage, retry_failed=retry_failed)
    check_images(into, earlier, images)
    kept = keep_rows(earlier, images)
    complete = _find_complete(into, images, earlier=earlier, kept=kept, device=settings.device)
    return _summarise(complete, images, start=start, reused=len(images)) if complete else None


def _find_complete(
    into: Path, images: ImageSet, *, earlier: Sequence[Earlier], kept: Sequence[Kept], device: Device
) -> Cache | None:
    """The cache that is there, where it is all that was asked for, made on the device that was asked for."""
    for one, held in zip(earlier, kept, strict=True):
        if (
            one.cache.path == into
            and one.cache.sealed
            and len(held.new) == len(images)
            and provider_of(device) in (None, one.cache.provider)
            and _same_set(one.cache, images)
        ):
            return one.cache
    return None


def _tell_leftovers(into: Path) -> None:
    folder = shards_folder(into)
    if folder.is_dir():
        logger.warning(
            "%s: holds shards of another run, which this one does not take; go on with --shards, or delete it", folder
        )


def _same_set(cache: Cache, images: ImageSet) -> bool:
    return cache.image_set() == images.hash


def _provenance(
    backbone: Backbone, session: FeatureSession, pace: Pace, *, decode: Decode, storage: Storage
) -> Provenance:
    return Provenance(
        card=backbone.card.to_dict(),
        backbone=backbone.hash,
        hashes={output.name: backbone.with_outputs([output]).hash for output in backbone.card.all_outputs},
        provider=session.provider,
        device=session.device,
        precision=backbone.card.computes_in,
        batch_size=pace.batch_size,
        decode=decode,
        storage=storage,
        versions=versions(),
    )


def _prepare(into: Path, images: ImageSet, kept: Sequence[Kept], provenance: Provenance) -> Cache:
    """The partial cache with the kept rows in it and all others pending: the one that is there, or a new one."""
    if not kept or (partial := kept[0].source).path != partial_path(into) or not _same_set(partial, images):
        return create_partial(into, images, provenance, kept=kept)
    with CacheWriter(partial) as writer:
        writer.forget(np.setdiff1d(np.flatnonzero(partial.status != PENDING), kept[0].new))
    copy_rows(kept[1:], partial)
    return partial


@dataclass(frozen=True)
class _Run:
    """One extraction under way."""

    images: ImageSet
    backbone: Backbone
    session: FeatureSession
    pace: Pace
    settings: Settings
    report: Callable[[Progress], None]
    clock: StageClock = field(default_factory=StageClock)

    def fill(self, cache: Cache, twins: Twins) -> "_Made":
        """Compute every pending row of the cache; a thread of its own writes them."""
        found = stream_features(
            self.images,
            self.backbone,
            self.session,
            rows=_pending(cache),
            count=twins.pending,
            pace=self.pace,
            settings=self.settings,
            clock=self.clock,
            known=twins.known,
            storage=cache.storage,
        )
        finished, total = 0, twins.pending
        writing = ThreadPoolExecutor(1, thread_name_prefix="featx-write")
        with closing(found), CacheWriter(cache) as writer, writing as pool:
            recorder, writes = Recorder(writer, twins), deque[Future[None]]()
            for batch in found:
                writes.append(pool.submit(self._write, recorder, batch))
                self._await(writes, WRITES_AHEAD)
                finished += len(batch.rows)
                self.report(Progress(finished, total, len(recorder.reasons), f"bound by {self.clock.bound_by}"))
            self._await(writes, 0)
        self.clock.stop()
        return _Made(recorder, self.clock, self.pace)

    def advise(self) -> tuple[str, ...]:
        """What the run was busy with, and what would make it faster."""
        card, on_cpu = self.backbone.card, self.session.on_cpu
        return advise(self.clock, self.images, card, pace=self.pace, settings=self.settings, on_cpu=on_cpu)

    def _write(self, recorder: Recorder, batch: FeatureBatch) -> None:
        with self.clock.time("write"):
            recorder.write(batch)

    def _await(self, writes: deque[Future[None]], most: int) -> None:
        """Let at most so many writes be outstanding, and meet their errors."""
        with self.clock.time("await disk"):
            while len(writes) > most:
                writes.popleft().result()


@dataclass(frozen=True)
class _Made:
    """What came of a run."""

    recorder: Recorder
    clock: StageClock
    pace: Pace
    advice: tuple[str, ...] = ()


def _pending(cache: Cache) -> Iterator[int]:
    """The rows that are pending, looked up some at a time, as they are asked for."""
    for block in cache.blocks():
        pending = np.flatnonzero(cache.read("status", block) == PENDING)
        yield from (block.start + pending).tolist()


def _summarise(
    cache: Cache, images: ImageSet, *, start: float, reused: int, made: _Made | None = None
) -> ExtractionSummary:
    status = cache.status
    failed = np.flatnonzero(status != DONE)
    reasons = made.recorder.reasons if made else {}
    reused += made.recorder.recognised if made else 0
    clock = made.clock if made else StageClock()
    computed = made if reused < len(images) else None
    return ExtractionSummary(
        cache=str(cache.path),
        backbone=cache.card["name"],
        provider=cache.provider,
        images=len(images),
        done=len(images) - len(failed),
        failed=len(failed),
        reused=reused,
        duplicates=made.recorder.duplicates if made else 0,
        seconds=round(time.perf_counter() - start, 3),
        stages=clock.stages,
        bound_by=clock.bound_by if computed else "nothing",
        advice=computed.advice if computed else (),
        pace=computed.pace if computed else None,
        failures=tuple(
            (images.name(row), reasons[row][1] if row in reasons else failure_text(int(status[row])))
            for row in failed.tolist()
        ),
    )
