"""images -> batches -> session -> cache, each stage timed; only what is missing is computed."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.backbones import DESCRIPTIVE, SINCE_FIRST, Backbone
from featx.batches import Batch, StageClock, iter_batches
from featx.cache import (
    DONE,
    PENDING,
    Cache,
    CacheWriter,
    Kept,
    Provenance,
    Rows,
    create_partial,
    is_cache,
    locked,
    open_cache,
    partial_path,
    seal,
)
from featx.errors import CacheError, CacheMismatchError, Failure, failure_text
from featx.images import ImageSet, fingerprint
from featx.provenance import processor, usable_cores, versions
from featx.session import FeatureSession, gpus, open_session
from featx.settings import DEFAULTS, Settings

WRITES_AHEAD = 4
MAKERS = ("onnxruntime", "onnxruntime-gpu", "pillow")
"""Packages whose version may change a feature's last bits: rows of two versions are not mixed in one cache."""
logger = logging.getLogger(__name__)

STEP = "choose another --into, or give up what is there with --overwrite"


@dataclass(frozen=True)
class Progress:
    """How far an extraction is."""

    finished: int
    """Images done or failed by this run."""
    total: int
    """Images that this run has to do."""
    failed: int
    bound_by: str


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
    """Images whose rows were there already, done or failed, and whose bytes did not change."""
    seconds: float
    stages: dict[str, float]
    """Seconds of work in read, decode, infer and write, summed over threads."""
    bound_by: str
    """The stage that the others waited for; "nothing" where all rows were there already."""
    failures: tuple[tuple[str, str], ...]
    """Name and reason of every image that failed."""

    @property
    def images_per_second(self) -> float:
        """Images that this run computed, a second."""
        return (self.images - self.reused) / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """The summary as plain JSON values."""
        return asdict(self) | {"images_per_second": round(self.images_per_second, 2)}


@dataclass(frozen=True)
class FeatureBatch:
    """Features of one batch, and what is known of its rows."""

    rows: NDArray[np.int64]
    features: NDArray[np.float32]
    """(n, sum of dimensions): every output, side by side; NaN where an image failed."""
    status: NDArray[np.uint8]
    """(n,): 1 done, above 1 a code of errors.Failure."""
    source: Batch
    details: dict[int, str]
    """Row of the image set -> why it failed, in full."""

    def to_rows(self) -> Rows:
        """The same as rows of a cache."""
        return Rows(self.rows, self.features, self.status, self.source.fingerprint, self.source.stat)


def extract_features(
    images: ImageSet,
    backbone: Backbone,
    *,
    into: Path | str,
    settings: Settings = DEFAULTS,
    overwrite: bool = False,
    retry_failed: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> ExtractionSummary:
    """Summary of an extraction whose result is the complete cache `into`.

    Rows that are there already, sealed or left by a killed run, are kept where the image's bytes did not change.
    Raises CacheMismatchError where `into` holds something else and `overwrite` is not given, CacheError where it cannot
    be written, DeviceError and InferenceError from the session. Whatever ends it, acknowledged rows stay.
    """
    start, into = time.perf_counter(), Path(into).resolve() if Path(into).is_symlink() else Path(into)
    with locked(into):
        _check_target(into)
        kept = _keep(None if overwrite else _find_earlier(into, backbone), images, retry_failed=retry_failed)
        if kept and kept.source.sealed and len(kept.new) == len(images) and _same_set(kept.source, images):
            return _summarise(kept.source, images, StageClock(), {}, reused=len(images), start=start)
        session = open_session(backbone, device=settings.device)
        cache = _prepare(into, images, kept, _provenance(backbone, session, settings))
        run = _Run(images, backbone, session, settings, report)
        logger.info(
            "%s on %s, %d rows kept of %d", backbone.name, session.provider, len(kept.new) if kept else 0, len(images)
        )
        run.fill(cache)
        reused = len(kept.new) if kept else 0
        return _summarise(seal(into), images, run.clock, run.details, reused=reused, start=start)


def stream_features(
    images: ImageSet,
    backbone: Backbone,
    session: FeatureSession,
    *,
    rows: NDArray[np.int64],
    settings: Settings,
    clock: StageClock,
) -> Iterator[FeatureBatch]:
    """Features of these rows of the image set, batch by batch, in order. Raises InferenceError."""
    batches = iter_batches(
        images,
        backbone.card,
        rows=rows,
        size=min(settings.batch_size, len(images)),
        workers=settings.workers or usable_cores(),
        max_pixels=settings.max_pixels,
        clock=clock,
    )
    while True:
        with clock.time("await pixels"):
            batch = next(batches, None)
        if batch is None:
            return
        with clock.time("infer"):
            features = session(batch.pixels)[: len(batch.rows)]
        yield _judge(batch, features)


def _judge(batch: Batch, features: NDArray[np.float32]) -> FeatureBatch:
    """Fail the rows whose features are not finite, and leave no number where an image failed."""
    overflown = (batch.status == DONE) & ~np.isfinite(features).all(axis=1)
    status = np.where(overflown, np.uint8(Failure.NOT_FINITE), batch.status)
    details = batch.details | {int(row): Failure.NOT_FINITE.text for row in batch.rows[overflown]}
    features = np.where((status == DONE)[:, None], features, np.float32(np.nan))
    return FeatureBatch(batch.rows, features, status, batch, details)


def _find_earlier(into: Path, backbone: Backbone) -> Cache | None:
    """What an earlier run left: unfinished before complete, since the unfinished one began with what was complete."""
    for path in (partial_path(into), into):
        if path.exists() and ((cache := _open_earlier(path)).sealed or np.any(cache.status != PENDING)):
            check_backbone(cache, backbone)
            return cache
    return None


def _open_earlier(path: Path) -> Cache:
    try:
        return open_cache(path)
    except CacheError as error:
        reason = str(error).removeprefix(f"{path}: ").partition("; ")[0]
        raise CacheError(
            f"{path}: cannot be gone on from ({reason}); delete it, or give it up with --overwrite"
        ) from error


def _check_target(into: Path) -> None:
    """Raise CacheError where `into` is a file of another kind: not even --overwrite gives that up."""
    if into.exists() and not is_cache(into):
        raise CacheError(f"{into}: is there and is no featx cache; choose another --into, or delete it")


def check_backbone(cache: Cache, backbone: Backbone) -> None:
    """Raise CacheMismatchError, naming the difference, where the cache's features are of another backbone."""
    if cache.backbone == backbone.hash:
        return
    inside, asked = cache.card, backbone.card.to_dict()
    keys = asked.keys() - DESCRIPTIVE if inside["name"] == asked["name"] else ["name"]
    key = next((key for key in asked if key in keys and inside.get(key, SINCE_FIRST.get(key)) != asked[key]), "sha256")
    what = f"{key} of the backbone"
    raise CacheMismatchError(cache.path, what=what, inside=inside.get(key), asked=asked[key], step=STEP)


def _same_set(cache: Cache, images: ImageSet) -> bool:
    return cache.image_set() == images.hash


def _keep(earlier: Cache | None, images: ImageSet, *, retry_failed: bool) -> Kept | None:
    """The rows of the earlier cache whose features still hold: acknowledged, intact, of images that did not change."""
    if earlier is None:
        return None
    usable = earlier.intact() & ((earlier.status == DONE) | (not retry_failed))
    names = np.asarray(earlier["images/name"])
    order = np.argsort(names)
    old = order[np.minimum(np.searchsorted(names, images.names, sorter=order), len(names) - 1)]
    same_name = names[old] == images.names
    by_name = [(int(old[row]), int(row)) for row in np.flatnonzero(same_name & usable[old])]
    pairs = [pair for pair in by_name if _unchanged(images, pair[1], earlier, pair[0])]
    orphans = np.setdiff1d(np.flatnonzero(usable & (earlier.status == DONE)), old[same_name])
    pairs += _find_renamed(images, np.flatnonzero(~same_name), earlier, orphans)
    table = np.array(sorted(pairs, key=itemgetter(1)), np.int64).reshape(-1, 2)
    return Kept(earlier, table[:, 0], table[:, 1], _stats(images, table, earlier))


def _unchanged(images: ImageSet, row: int, earlier: Cache, old: int) -> bool:
    """Whether the image's bytes are those of the earlier run: by size and time, and where these differ, by content.

    An image that cannot be read now keeps the row that it had: what is extracted is not lost to a disk that is away.
    """
    known, stat = earlier["images/fingerprint"][old], earlier["images/stat"][old]
    try:
        if known.any() and images.stat(row) == tuple(stat):
            return True
        return fingerprint(images.read(row)) == bytes(known)
    except OSError:
        return True


def _find_renamed(
    images: ImageSet, rows: NDArray[np.int64], earlier: Cache, orphans: NDArray[np.int64]
) -> list[tuple[int, int]]:
    """Pairs (earlier row, new row) of images that have another name now and the same bytes."""
    by_content = {bytes(earlier["images/fingerprint"][old]): int(old) for old in orphans}
    pairs = []
    for row in rows if by_content else ():
        with suppress(OSError):
            images.stat(int(row))
            if (old := by_content.get(fingerprint(images.read(int(row))))) is not None:
                pairs.append((old, int(row)))
    return pairs


def _stats(images: ImageSet, pairs: NDArray[np.int64], earlier: Cache) -> NDArray[np.int64]:
    """What is known now of the files of the kept rows; of those that cannot be reached, what was known."""
    stats, unreachable = np.asarray(earlier["images/stat"])[pairs[:, 0]], 0
    for place, row in enumerate(pairs[:, 1]):
        try:
            stats[place] = images.stat(int(row))
        except OSError:
            unreachable += 1
    if unreachable:
        logger.warning(
            "%d images cannot be reached now; they keep the rows that they had in %s", unreachable, earlier.path
        )
    return stats


def _provenance(backbone: Backbone, session: FeatureSession, settings: Settings) -> Provenance:
    on_gpu = session.provider != "CPUExecutionProvider"
    return Provenance(
        card=backbone.card.to_dict(),
        backbone=backbone.hash,
        hashes={output.name: backbone.taking([output]).hash for output in backbone.card.taken},
        provider=session.provider,
        device="; ".join(gpus()) if on_gpu else processor(),
        precision="float32",
        batch_size=settings.batch_size,
        versions=versions(),
    )


def _prepare(into: Path, images: ImageSet, kept: Kept | None, provenance: Provenance) -> Cache:
    """The partial cache with the kept rows in it and all others pending."""
    if kept is None:
        return create_partial(into, images, provenance)
    earlier = kept.source
    if len(kept.new):
        _check_makers(earlier, provenance)
    if earlier.sealed or not _same_set(earlier, images):
        return create_partial(into, images, provenance, kept=kept)
    with CacheWriter(earlier) as writer:
        writer.forget(np.setdiff1d(np.flatnonzero(earlier.status != PENDING), kept.new))
    return earlier


def _check_makers(earlier: Cache, provenance: Provenance) -> None:
    """Raise CacheMismatchError where rows to come would be made otherwise than those that are there."""
    inside = {"provider": earlier.provider} | {name: earlier.versions.get(name) for name in MAKERS}
    asked = {"provider": provenance.provider} | {name: provenance.versions.get(name) for name in MAKERS}
    for what, value in inside.items():
        if value != asked[what]:
            step = f"run with {value} again, or {STEP}"
            raise CacheMismatchError(earlier.path, what=what, inside=value, asked=asked[what], step=step)


@dataclass(frozen=True)
class _Run:
    """One extraction under way."""

    images: ImageSet
    backbone: Backbone
    session: FeatureSession
    settings: Settings
    report: Callable[[Progress], None]
    clock: StageClock = field(default_factory=StageClock)
    details: dict[int, str] = field(default_factory=dict)
    """Row -> why it failed, in full."""

    def fill(self, cache: Cache) -> None:
        """Compute every pending row of the cache; a thread of its own writes them."""
        rows = np.flatnonzero(cache.status == PENDING)
        found = stream_features(
            self.images, self.backbone, self.session, rows=rows, settings=self.settings, clock=self.clock
        )
        finished = 0
        with CacheWriter(cache) as writer, ThreadPoolExecutor(1, thread_name_prefix="featx-write") as pool:
            writes: deque[Future[None]] = deque()
            for batch in found:
                writes.append(pool.submit(self._write, writer, batch))
                self._await(writes, WRITES_AHEAD)
                self.details.update(batch.details)
                finished += len(batch.rows)
                self.report(Progress(finished, len(rows), len(self.details), self.clock.bound_by))
            self._await(writes, 0)

    def _write(self, writer: CacheWriter, batch: FeatureBatch) -> None:
        with self.clock.time("write"):
            writer.append(batch.to_rows())

    def _await(self, writes: deque[Future[None]], most: int) -> None:
        """Let at most so many writes be outstanding, and meet their errors."""
        with self.clock.time("await disk"):
            while len(writes) > most:
                writes.popleft().result()


def _summarise(
    cache: Cache, images: ImageSet, clock: StageClock, details: dict[int, str], *, reused: int, start: float
) -> ExtractionSummary:
    status = cache.status
    failed = np.flatnonzero(status != DONE)
    reasons = {int(row): details.get(int(row), failure_text(int(status[row]))) for row in failed}
    return ExtractionSummary(
        cache=str(cache.path),
        backbone=cache.card["name"],
        provider=cache.provider,
        images=len(images),
        done=len(images) - len(failed),
        failed=len(failed),
        reused=reused,
        seconds=round(time.perf_counter() - start, 3),
        stages=clock.stages,
        bound_by=clock.bound_by if reused < len(images) else "nothing",
        failures=tuple((images.name(row), reason) for row, reason in reasons.items()),
    )
