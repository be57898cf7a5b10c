"""Extracts the features of an image set into one cache; computes only the rows that do not exist yet."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featx.backbones import Backbone
from featx.cache import (
    DONE,
    PENDING,
    Cache,
    CacheWriter,
    KeptRows,
    Provenance,
    copy_rows,
    create_partial,
    lock_cache,
    partial_path,
    seal,
)
from featx.devices import provider_of
from featx.extract.advising import advise
from featx.extract.clock import StageClock
from featx.extract.duplicates import KnownImages, find_known_images
from featx.extract.recording import Recorder
from featx.extract.resuming import PreviousCache, check_images, check_runtime, find_previous, keep_rows
from featx.extract.streaming import FeatureBatch, FeatureStream, open_stream, with_views
from featx.extract.summary import (
    Computation,
    ExtractionSummary,
    Progress,
    all_failed,
    list_failures,
    summarise,
)
from featx.inputs import ImageSet
from featx.provenance import versions
from featx.settings import DEFAULT_STORAGE, DEFAULTS, Device, Settings, Storage
from featx.targets import Target

WRITES_AHEAD = 4
"""Most batches that wait to be written."""
logger = logging.getLogger(__name__)


def extract_features(
    images: ImageSet,
    backbone: Backbone,
    *,
    into: Path | str,
    settings: Settings = DEFAULTS,
    overwrite: bool = False,
    retry_failed: bool = False,
    reuse: Sequence[Path | str] = (),
    storage: Storage = DEFAULT_STORAGE,
    all_may_fail: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> ExtractionSummary:
    """Extract the features of all images into the cache `into`, and return a summary of the run.

    Rows that exist already, in a complete cache or in one that an interrupted run left, are kept if the image's bytes
    did not change. Images with equal bytes are computed once. If the run is interrupted, a second call continues it.

    Args:
        images: the image set.
        backbone: the backbone that computes the features.
        into: path of the cache, which ends in `.h5`.
        settings: device, batch size, how images are decoded, and the views of each image that get a feature.
        overwrite: whether to discard an existing cache of other features or images.
        retry_failed: whether to try images again that failed before.
        reuse: further caches from which rows are taken.
        storage: type in which features are stored.
        all_may_fail: whether to write the cache even if every image fails. A shard is written in any case.
        report: called with the progress after every batch.

    Raises:
        CacheMismatchError: a cache holds features or images of another kind, and `overwrite` is false.
        CacheError: the cache cannot be written, or is locked by another process.
        ImageSetError: every image failed; then nothing is written, and an existing cache stays as it is.
        DeviceError: the device cannot be used.
        InferenceError: the model fails.

    >>> import featx
    >>> images = featx.list_images("new")
    >>> summary = featx.extract_features(images, featx.load_backbone("efficientnet-lite0"), into="new.h5")
    >>> summary.done, summary.failed
    (5, 0)
    >>> featx.read_features("new.h5").features.shape
    (5, 1280)
    """
    start = time.perf_counter()
    settings = with_views(settings, backbone)
    with lock_cache(Path(into), overwrite=overwrite) as target:
        into = target.path
        _warn_of_shards(into)
        existing = _Existing()
        if not overwrite:
            existing = _find_existing(
                into, images, backbone, settings=settings, storage=storage, retry_failed=retry_failed, reuse=reuse
            )
        complete = existing.choose_complete(into, images, settings.device)
        if complete:
            return summarise(complete, images, start=start, reused=len(images))
        sealed, computation = _compute(
            target,
            images,
            backbone,
            settings=settings,
            storage=storage,
            existing=existing,
            must_succeed=not (all_may_fail or images.part_of),
            report=report,
        )
        return summarise(sealed, images, start=start, reused=existing.count, computation=computation)


@dataclass(frozen=True)
class ExtractedRows:
    """What the extraction of some rows did."""

    cache: Path
    """The file that has the rows: unfinished, or complete if it was before."""
    computed: int
    """Number of rows that did not exist yet."""
    seconds: float
    """How long they took, after the session was opened."""


def extract_rows(
    images: ImageSet,
    backbone: Backbone,
    rows: NDArray[np.int64],
    *,
    into: Path | str,
    settings: Settings = DEFAULTS,
    storage: Storage = DEFAULT_STORAGE,
    report: Callable[[Progress], None] = lambda progress: None,
) -> ExtractedRows:
    """Extract the features of these rows of the image set, and leave the others pending in the unfinished cache.

    `extract_features` with the same arguments continues from there, and its cache is the same as without this call. If
    all these rows exist, no session is opened. Raises as extract_features does, also if none of these images has a
    feature.
    """
    settings = with_views(settings, backbone)
    with lock_cache(Path(into)) as target:
        existing = _find_existing(target.path, images, backbone, settings=settings, storage=storage, retry_failed=False)
        if complete := existing.choose_complete(target.path, images, settings.device):
            return ExtractedRows(complete.path, 0, 0.0)
        if existing.can_go_on(target.path, images) and np.isin(rows, existing.kept[0].new).all():
            return ExtractedRows(partial_path(target.path), 0, 0.0)
        missing = existing.missing(rows)
        with open_stream(images, backbone, settings, count=len(missing), batch_size=existing.batch_size) as stream:
            cache = _prepare(target, stream, existing, storage)
            run = _Run(stream, report)
            recorder = run.fill(cache, find_known_images(existing.previous, existing.kept, cache), rows=missing)
        if not np.any(cache.read("status", rows) == DONE):
            failures = list_failures(cache, images, recorder.reasons, rows=rows)
            if not np.any(cache.read("status") == DONE):
                cache.path.unlink()  # the same call tries all of them again
            raise all_failed(target.path, failures)
        return ExtractedRows(cache.path, len(missing), run.clock.elapsed)


def find_complete(
    images: ImageSet,
    backbone: Backbone,
    into: Path,
    *,
    settings: Settings,
    storage: Storage = DEFAULT_STORAGE,
    retry_failed: bool = False,
) -> ExtractionSummary | None:
    """Summary of the existing cache if it has all rows of these images, else None. Raises as extract_features does."""
    start = time.perf_counter()
    settings = with_views(settings, backbone)
    existing = _find_existing(into, images, backbone, settings=settings, storage=storage, retry_failed=retry_failed)
    complete = existing.choose_complete(into, images, settings.device)
    return summarise(complete, images, start=start, reused=len(images)) if complete else None


@dataclass(frozen=True)
class _Existing:
    """Previous caches, and for each the rows that stay as they are."""

    previous: Sequence[PreviousCache] = ()
    kept: Sequence[KeptRows] = ()

    @property
    def count(self) -> int:
        """Number of rows that stay as they are."""
        return sum(len(rows.new) for rows in self.kept)

    @property
    def batch_size(self) -> int | None:
        """That of existing rows, which new rows must have too."""
        return self.previous[0].cache.batch_size if self.previous else None

    def missing(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of these rows of the image set that do not exist, in order."""
        return np.setdiff1d(rows, np.concatenate([np.empty(0, np.int64), *(kept.new for kept in self.kept)]))

    def can_go_on(self, into: Path, images: ImageSet) -> bool:
        """Whether there is an unfinished cache of this image set, in which new rows are written in place."""
        if not self.kept:
            return False
        first = self.kept[0].source
        return first.path == partial_path(into) and _has_images(first, images)

    def choose_complete(self, into: Path, images: ImageSet, device: Device) -> Cache | None:
        """The cache at `into` if it has all rows, computed on the requested device; else None."""
        for previous, rows in zip(self.previous, self.kept, strict=True):
            cache = previous.cache
            if (
                cache.path == into
                and cache.sealed
                and len(rows.new) == len(images)
                and provider_of(device) in (None, cache.provider)
                and _has_images(cache, images)
            ):
                return cache
        return None


def _find_existing(
    into: Path,
    images: ImageSet,
    backbone: Backbone,
    *,
    settings: Settings,
    storage: Storage,
    retry_failed: bool,
    reuse: Sequence[Path | str] = (),
) -> _Existing:
    previous = find_previous(into, backbone, reuse=reuse, settings=settings, storage=storage, retry_failed=retry_failed)
    check_images(into, previous, images)
    return _Existing(previous, keep_rows(previous, images))


def _compute(
    target: Target,
    images: ImageSet,
    backbone: Backbone,
    *,
    settings: Settings,
    storage: Storage,
    existing: _Existing,
    must_succeed: bool,
    report: Callable[[Progress], None],
) -> tuple[Cache, Computation]:
    """Compute all missing rows; returns the complete cache, and how it was computed.

    Raises ImageSetError if one image `must_succeed` and none did.
    """
    missing = len(images) - existing.count
    with open_stream(images, backbone, settings, count=missing, batch_size=existing.batch_size) as stream:
        cache = _prepare(target, stream, existing, storage)
        run = _Run(stream, report)
        recorder = run.fill(cache, find_known_images(existing.previous, existing.kept, cache))
    if must_succeed and not np.any(cache.read("status") == DONE):
        cache.path.unlink()  # the same command tries all of them again
        raise all_failed(target.path, list_failures(cache, images, recorder.reasons))
    sealed = seal(target)
    return sealed, Computation(recorder, run.clock, stream.pace, run.advise())


def _has_images(cache: Cache, images: ImageSet) -> bool:
    """Whether the cache is of exactly this image set."""
    return cache.image_set() == images.hash


def shards_folder(into: Path) -> Path:
    """The folder that holds the shards of this cache until they are merged."""
    return into.with_name(into.name + ".shards")


def _warn_of_shards(into: Path) -> None:
    folder = shards_folder(into)
    if folder.is_dir():
        logger.warning(
            "%s: contains shards of another run, which this run does not use; continue with --shards, or delete it",
            folder,
        )


def _prepare(target: Target, stream: FeatureStream, existing: _Existing, storage: Storage) -> Cache:
    """The partial cache, unfinished or new, with the kept rows in it and all others pending."""
    images = stream.images
    kept = existing.kept
    provenance = _provenance(stream, storage)
    for previous in existing.previous:
        check_runtime(previous.cache, provenance)
    provider = stream.session.provider
    logger.info("%s on %s, %d rows kept of %d", stream.backbone.name, provider, existing.count, len(images))
    if not existing.can_go_on(target.path, images):
        return create_partial(target, images, provenance, kept=kept)
    partial = kept[0].source
    with CacheWriter(partial) as writer:
        writer.forget(np.setdiff1d(np.flatnonzero(partial.status != PENDING), kept[0].new))
    copy_rows(kept[1:], partial)
    return partial


def _provenance(stream: FeatureStream, storage: Storage) -> Provenance:
    backbone = stream.backbone
    return Provenance(
        card=backbone.card.to_dict(),
        backbone=backbone.hash,
        hashes={output.name: backbone.with_outputs([output]).hash for output in backbone.card.all_outputs},
        provider=stream.session.provider,
        device=stream.session.device,
        precision=backbone.card.computes_in,
        batch_size=stream.pace.batch_size,
        decode=stream.settings.decode,
        views=stream.settings.views,
        storage=storage,
        versions=versions(),
    )


@dataclass(frozen=True)
class _Run:
    """The computation of the missing rows."""

    stream: FeatureStream
    report: Callable[[Progress], None]
    clock: StageClock = field(default_factory=StageClock)

    def fill(self, cache: Cache, known: KnownImages, *, rows: NDArray[np.int64] | None = None) -> Recorder:
        """Compute every pending row of the cache, or only these, and write them in another thread."""
        count = known.pending if rows is None else len(rows)
        pending = _pending(cache) if rows is None else iter(rows.tolist())
        batches = self.stream.batches(
            pending, count=count, known=known.fingerprints, storage=cache.storage, clock=self.clock
        )
        total = cache.images if rows is None else count
        earlier = total - count
        finished = earlier
        writes = deque[Future[None]]()
        writing = ThreadPoolExecutor(1, thread_name_prefix="featx-write")
        with CacheWriter(cache) as writer, writing as pool:
            recorder = Recorder(writer, known)
            try:
                for batch in batches:
                    writes.append(pool.submit(self._write, recorder, batch))
                    self._await(writes, WRITES_AHEAD)
                    finished += len(batch.rows)
                    note = f"bound by {self.clock.bound_by}"
                    self.report(Progress(finished, total, len(recorder.reasons), note, earlier))
                self._await(writes, 0)
            finally:
                writer.add_cost(self.stream.cost(self.clock))
        self.clock.stop()
        return recorder

    def advise(self) -> tuple[str, ...]:
        """How busy the cores were, and what would make the run faster."""
        stream = self.stream
        return advise(
            self.clock,
            stream.images,
            stream.backbone.card,
            pace=stream.pace,
            settings=stream.settings,
            on_cpu=stream.session.on_cpu,
        )

    def _write(self, recorder: Recorder, batch: FeatureBatch) -> None:
        with self.clock.time("write"):
            recorder.write(batch)

    def _await(self, writes: deque[Future[None]], most: int) -> None:
        """Wait until at most `most` writes are outstanding, and raise their errors."""
        with self.clock.time("await disk"):
            while len(writes) > most:
                writes.popleft().result()


def _pending(cache: Cache) -> Iterator[int]:
    """Yields the pending rows; looks them up block by block, as they are needed."""
    for block in cache.blocks():
        pending = np.flatnonzero(cache.read("status", block) == PENDING)
        yield from (block.start + pending).tolist()
