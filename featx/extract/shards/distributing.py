"""Distributes the shards of an extraction to workers, and merges them into the cache that a single run would write."""

import logging
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from featx.backbones import Backbone
from featx.cache import is_cache, lock_cache, merge_into, partial_path
from featx.errors import CacheError, CacheLockedError, ImageSetError
from featx.extract.extracting import find_complete, shards_folder
from featx.extract.shards.shard import ExtractedShard, Shard
from featx.extract.shards.workers import LostError, Workers, cluster_workers, local_workers
from featx.extract.summary import ExtractionSummary, Progress, all_failed
from featx.inputs import ImageSet
from featx.locking import hold_lock
from featx.settings import DEFAULT_STORAGE, DEFAULTS, Settings, Storage
from featx.targets import Target

logger = logging.getLogger(__name__)

FRUITLESS_ROUNDS = 4
"""The run gives up after this many rounds in which no shard was completed."""
PAUSE_SECONDS = 5.0
"""Pause after such a round: a lock may belong to a process that is about to end."""
LOOK_SECONDS = 1.0
"""The caches of the shards are read this often to report the progress."""
OF_SHARDS = r"\d{6,}-of-\d{6,}\.h5(\.partial)?"
"""Names of the caches of shards."""
APPEAR_SECONDS = 60.0
"""The cache of a shard may take this long to become visible here after a worker has completed it."""


def extract_shards(
    images: ImageSet,
    backbone: Backbone,
    *,
    into: Path | str,
    count: int,
    jobs: int = 1,
    scheduler: str | None = None,
    settings: Settings = DEFAULTS,
    storage: Storage = DEFAULT_STORAGE,
    overwrite: bool = False,
    retry_failed: bool = False,
    all_may_fail: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
) -> ExtractionSummary:
    """Extract the features of all images in shards into the cache `into`, and return a summary of the run.

    The cache is the same as that of `extract_features`. The shards are in the folder `<into>.shards` until they are
    merged; if the run is interrupted, a second call continues it.

    Args:
        images: the image set.
        backbone: the backbone that computes the features.
        into: path of the cache.
        count: number of shards.
        jobs: number of processes of this machine that extract shards at the same time.
        scheduler: address of a Dask scheduler whose workers extract the shards instead. Images, model and `into` need
            the same paths there.
        settings: device, batch size and how images are decoded.
        storage: type in which features are stored.
        overwrite: whether to discard an existing cache and its shards.
        retry_failed: whether to try images again that failed before.
        all_may_fail: whether to write the cache even if every image fails.
        report: called with the progress about once a second.

    Raises what extract_features raises, ImageSetError if a shard would be empty, and DeviceError if workers cannot be
    reached or die again and again.

    >>> import featx
    >>> images = featx.list_images("photos")
    >>> backbone = featx.load_backbone("efficientnet-lite0")
    >>> summary = featx.extract_shards(images, backbone, into="photos.h5", count=4, jobs=2)
    >>> summary.done, summary.reused  # the cache was complete
    (60, 60)
    """
    start = time.perf_counter()
    if not 1 <= count <= len(images):
        raise ImageSetError(f"{count} shards of {len(images)} images: none may be empty; choose fewer --shards")
    with lock_cache(Path(into), overwrite=overwrite) as target:
        if not overwrite:
            done = find_complete(
                images, backbone, target.path, settings=settings, storage=storage, retry_failed=retry_failed
            )
            if done:
                return replace(done, cache=str(into))
        backbone = replace(backbone, path=backbone.path.absolute())  # workers may run in another folder
        whole = Shard(images, backbone, target.path.absolute(), settings, storage, retry_failed, reuse=())
        workers = partial(cluster_workers, scheduler) if scheduler else partial(local_workers, min(jobs, count))
        parts = _Parts(whole, target, count, workers, report)
        summaries = parts.extract(overwrite=overwrite, all_may_fail=all_may_fail or bool(images.part_of))
    return _sum_up(summaries, cache=str(into), start=start)


@dataclass(frozen=True)
class _Parts:
    """The parts into which an extraction is divided, and the cache that they become."""

    whole: Shard
    target: Target
    count: int
    open_workers: Callable[[], AbstractContextManager[Workers]]
    report: Callable[[Progress], None]

    def extract(self, *, overwrite: bool, all_may_fail: bool) -> list[ExtractionSummary]:
        """Extract all parts, merge them into the target, and remove them; returns their summaries.

        Raises ImageSetError, and removes them too, if no image of any part has a feature.
        """
        into = self.whole.into
        with _locked_folder(shards_folder(into)) as folder:
            if overwrite:
                _remove_shards(folder)
            reuse = () if overwrite else tuple(_reusable(into, folder, self.count))
            whole = replace(self.whole, reuse=reuse)
            shards = [whole.part(index, self.count, folder) for index in range(self.count)]
            summaries = _Run(shards, self.report).finish(self.open_workers)
            none_done = not any(summary.done for summary in summaries)
            if all_may_fail or not none_done:
                merge_into(self.target, [shard.into for shard in shards])
            _remove_shards(folder)
        if none_done and not all_may_fail:
            raise all_failed(self.target.path, [failure for summary in summaries for failure in summary.failures])
        return summaries


@contextmanager
def _locked_folder(folder: Path) -> Iterator[Path]:
    """Lock the folder of the shards against other runs; remove it at the end of the block if it is empty."""
    if folder.is_symlink():
        raise CacheError(f"{folder}: is a link, but the shards need a folder of this name; move the link away")
    try:
        with lock_cache(folder / "run"):
            yield folder
    finally:
        with suppress(OSError):
            folder.rmdir()


def _reusable(into: Path, folder: Path, count: int) -> Iterator[Path]:
    """Yields caches from which rows may be taken: those at `into`, complete or not, and shards of another count."""
    yield from (path for path in (into, partial_path(into)) if path.exists())
    yield from sorted(path for path in _own_caches(folder) if f"-of-{count:06}.h5" not in path.name)


def _own_caches(folder: Path) -> list[Path]:
    """The caches of shards in this folder, complete or not; not what others put there, whatever its name is."""
    found = [path for path in folder.iterdir() if re.fullmatch(OF_SHARDS, path.name) and not path.is_symlink()]
    return [path for path in found if path.is_file() and is_cache(path)]


def _remove_shards(folder: Path) -> None:
    """Remove the caches of shards, and the locks that killed workers left."""
    for path in _own_caches(folder):
        path.unlink()
    for path in folder.glob("*.h5.lock"):
        with suppress(OSError), hold_lock(path):  # its end removes the lock file, if it is one
            pass


@dataclass
class _Run:
    """Shards that workers extract."""

    shards: Sequence[Shard]
    report: Callable[[Progress], None]
    summaries: dict[Path, ExtractionSummary] = field(default_factory=dict)
    """Cache of every completed shard -> its summary."""
    counts: dict[Path, tuple[int, int]] = field(default_factory=dict)
    """Cache of every shard -> number of rows that are done or failed, and of those that failed, when last read."""
    finished: int = 0
    warned: set[str] = field(default_factory=set)

    def finish(self, open_workers: Callable[[], AbstractContextManager[Workers]]) -> list[ExtractionSummary]:
        """Extract all shards; returns their summaries, in order. If workers are lost, others get their shards.

        Raises what extracting a shard raises; LostError or CacheLockedError if trying again does not help.
        """
        self._report_progress(self.shards)
        fruitless = 0
        while left := [shard for shard in self.shards if shard.into not in self.summaries]:
            setback = self._try(left, open_workers)
            missing = len(self.shards) - len(self.summaries)
            fruitless = fruitless + 1 if missing == len(left) else 0
            if setback and fruitless == FRUITLESS_ROUNDS:
                raise setback
            if setback:
                logger.warning("%s; continuing with %d of %d shards", setback, missing, len(self.shards))
                time.sleep(PAUSE_SECONDS if fruitless else 0)
        return [self.summaries[shard.into] for shard in self.shards]

    def _try(
        self, left: Sequence[Shard], open_workers: Callable[[], AbstractContextManager[Workers]]
    ) -> LostError | CacheLockedError | None:
        """Let workers extract these shards; returns the error if some are still missing because of one."""
        waiting = deque(left)
        running: dict[Future[ExtractedShard], Shard] = {}
        locked = None
        try:
            with open_workers() as workers:
                while waiting or running:
                    self._submit(workers, waiting, running)
                    done, _ = wait(running, LOOK_SECONDS, FIRST_COMPLETED)
                    for future in done:
                        shard = running.pop(future)
                        try:
                            self._accept(shard, future.result())
                        except CacheLockedError as error:
                            locked = error
                    self._report_progress(running.values())
        except LostError as error:
            return error
        return locked

    def _submit(self, workers: Workers, waiting: deque[Shard], running: dict[Future[ExtractedShard], Shard]) -> None:
        """Give a shard to each worker that has none."""
        slots = workers.slots()
        if not slots:
            self._warn("there are no workers at the moment; waiting for one")
        while waiting and len(running) < max(slots, 1):
            shard = waiting.popleft()
            running[workers.submit(shard)] = shard

    def _accept(self, shard: Shard, extracted: ExtractedShard) -> None:
        """Keep the result of a shard. Raises CacheError if its cache is not visible here."""
        for warning in extracted.warnings:
            self._warn(warning)
        if not _appears(shard.into):
            raise CacheError(
                f"{shard.into}: a worker wrote it, but it is not visible here; --into must be the same place for all"
            )
        self.summaries[shard.into] = extracted.summary
        self.counts[shard.into] = len(shard.images), extracted.summary.failed

    def _warn(self, warning: str) -> None:
        """Log the warning once, however many shards have it."""
        if warning not in self.warned:
            logger.warning("%s", warning)
        self.warned.add(warning)

    def _report_progress(self, unfinished: Iterable[Shard]) -> None:
        """Report how far the whole extraction is, according to the caches of the shards, whoever writes them."""
        self.counts |= {shard.into: shard.count() for shard in unfinished}
        finished, failed = (sum(numbers) for numbers in zip(*self.counts.values(), strict=True))
        self.finished = max(self.finished, finished)  # rows may become pending again, and progress must not fall
        total = sum(len(shard.images) for shard in self.shards)
        note = f"{len(self.summaries)} of {len(self.shards)} shards"
        self.report(Progress(self.finished, total, failed, note))


def _appears(path: Path) -> bool:
    """Whether the file exists, or appears within APPEAR_SECONDS, as a network file system may show it late."""
    end = time.monotonic() + APPEAR_SECONDS
    while not path.exists():
        if time.monotonic() > end:
            return False
        time.sleep(LOOK_SECONDS)
    return True


def _sum_up(summaries: Sequence[ExtractionSummary], *, cache: str, start: float) -> ExtractionSummary:
    """One summary of all shards."""
    keys = ("images", "done", "failed", "reused", "duplicates")
    numbers = {key: sum(getattr(summary, key) for summary in summaries) for key in keys}
    stages = {stage: round(sum(summary.stages[stage] for summary in summaries), 3) for stage in summaries[0].stages}
    bounds = Counter(summary.bound_by for summary in summaries if summary.reused < summary.images)
    bound_by = bounds.most_common(1)[0][0] if bounds else summaries[0].bound_by
    return replace(
        next(summary for summary in summaries if summary.bound_by == bound_by),
        **numbers,
        cache=cache,
        seconds=round(time.perf_counter() - start, 3),
        stages=stages,
        advice=(),  # a shard's advice is about its own part of the cores
        failures=tuple(failure for summary in summaries for failure in summary.failures),
    )
