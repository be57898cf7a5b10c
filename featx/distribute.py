"""The same extraction by shards: one file a shard, by several processes here or on a cluster, merged at the end."""

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

import numpy as np

from featx.backbones import Backbone
from featx.cache import DONE, PENDING, locked, merge_caches, open_cache, partial_path
from featx.errors import CacheError, DeviceError, FeatxError, ImageSetError
from featx.extract import ExtractionSummary, Progress, extract_features, find_complete
from featx.images import ImageSet
from featx.provenance import usable_cores
from featx.settings import DEFAULT_STORAGE, DEFAULTS, Settings, Storage

if TYPE_CHECKING:
    from distributed import Client, Future

logger = logging.getLogger(__name__)

ROUNDS = 3
"""How often shards are begun again without one of them being finished, before the run gives up."""
LOOK_SECONDS = 1.0
"""How often the shards are looked at to tell how far the whole is."""
ALLOWED_DEATHS = 3
"""Workers that one shard may take with it, on a cluster, before it is given up."""


@dataclass(frozen=True)
class Shard:
    """One part of the work: all that a process needs to do it, wherever it runs."""

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

    def extract(self) -> ExtractionSummary:
        """The shard's own cache, made or completed."""
        return extract_features(
            self.images,
            self.backbone,
            into=self.into,
            settings=self.settings,
            storage=self.storage,
            retry_failed=self.retry_failed,
            reuse=self.reuse,
        )


Runner = Callable[[Sequence[Shard]], Iterator[tuple[Path, ExtractionSummary]]]
"""Extracts shards and gives what became of each, in any order; ends early where its workers are lost."""


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
    report: Callable[[Progress], None] = lambda progress: None,
) -> ExtractionSummary:
    """Summary of an extraction in `count` shards, whose result is the same cache that one run alone would make.

    `jobs` processes of this machine work at once, or with `scheduler` the workers of that Dask cluster; images, model
    and `into` must have the same paths there. The shards lie in `<into>.shards` until they are merged; the same call
    goes on from those that are there. Raises as extract_features does, DeviceError where the cluster is out of reach.
    """
    start, into = time.perf_counter(), Path(os.path.abspath(into))
    if not 1 <= count <= len(images):
        raise ImageSetError(f"{count} shards of {len(images)} images: none may be empty; choose fewer --shards")
    folder = into.with_name(into.name + ".shards")
    if not (overwrite or folder.exists()):
        done = find_complete(images, backbone, into, storage=storage, retry_failed=retry_failed)
        if done:
            return done
    with locked(folder / "run"), _runner(jobs, scheduler) as run:
        if overwrite:
            _remove_shards(folder)
        reuse = () if overwrite else tuple(_leftovers(into, folder, count))
        work = Shard(images, backbone, into, settings, storage, retry_failed, reuse)
        shards = [work.part(index, count, folder) for index in range(count)]
        with _watched(shards, report):
            made = _run_all(shards, run)
        merge_caches([shard.into for shard in shards], into=into, overwrite=True)
        _remove_shards(folder)
    folder.rmdir()
    return _sum_up([made[shard.into] for shard in shards], into, start)


def _leftovers(into: Path, folder: Path, count: int) -> Iterator[Path]:
    """Caches whose rows may be taken: the one that was merged before, and shards of another count."""
    if into.exists():
        yield into
    if partial_path(into).exists():
        yield partial_path(into)
    others = (path for end in ("", ".partial") for path in folder.glob(f"*-of-*.h5{end}"))
    yield from sorted(path for path in others if f"-of-{count:06}.h5" not in path.name)


def _remove_shards(folder: Path) -> None:
    for path in folder.glob("*-of-*.h5*"):
        path.unlink()


def _run_all(shards: Sequence[Shard], run: Runner) -> dict[Path, ExtractionSummary]:
    """What became of every shard; those of lost workers are done again by others. Raises FeatxError."""
    made: dict[Path, ExtractionSummary] = {}
    fruitless = 0
    while left := [shard for shard in shards if shard.into not in made]:
        before = len(made)
        made |= dict(run(left))
        fruitless = 0 if len(made) > before else fruitless + 1
        if fruitless == ROUNDS:
            raise FeatxError(
                f"{len(left)} of {len(shards)} shards were lost with their workers, {ROUNDS} times in a row; see what "
                "kills them (often memory: fewer --jobs, a smaller --batch-size) and run the same command again"
            )
        if len(made) < len(shards):
            logger.warning("workers were lost; %d of %d shards are done again", len(shards) - len(made), len(shards))
    return made


@contextmanager
def _runner(jobs: int, scheduler: str | None) -> Iterator[Runner]:
    """What runs shards: this process and others of this machine, or the workers of a Dask cluster."""
    if scheduler is None:
        yield lambda shards: _run_here(shards, jobs)
        return
    try:
        from distributed import Client

        client = Client(scheduler, timeout=30, set_as_default=False)
    except ImportError as error:
        raise DeviceError("--scheduler needs Dask; pip install 'featx[dask]'") from error
    except (OSError, ValueError) as error:
        raise DeviceError(
            f"no Dask scheduler answers at {scheduler} ({error}); start one with `dask scheduler`"
        ) from error
    with client:
        yield lambda shards: _run_there(shards, client)


def _run_here(shards: Sequence[Shard], jobs: int) -> Iterator[tuple[Path, ExtractionSummary]]:
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import BrokenProcessPool

    jobs = min(jobs, len(shards))
    tasks = (delayed(_extract)(_sharing(shard, jobs)) for shard in shards)
    try:
        yield from Parallel(n_jobs=jobs, batch_size=1, return_as="generator_unordered")(tasks)
    except BrokenProcessPool as error:
        logger.debug("a worker was lost: %s", error)


def _sharing(shard: Shard, jobs: int) -> Shard:
    """The shard with its part of the cores, where the user did not say how many threads."""
    cores, settings = max(1, usable_cores() // jobs), shard.settings
    threads = replace(settings, workers=settings.workers or cores, threads=settings.threads or cores)
    return replace(shard, settings=threads)


def _run_there(shards: Sequence[Shard], client: "Client") -> Iterator[tuple[Path, ExtractionSummary]]:
    """The scheduler gives a lost worker's shard to another one; shards are sent as they are needed, not all at once."""
    from distributed import KilledWorker, as_completed

    rest = iter(shards)
    ahead = 2 * max(1, sum(client.nthreads().values()))
    working = as_completed([_submit(client, shard) for shard in islice(rest, ahead)])
    for future in working:
        try:
            yield future.result()
        except KilledWorker as error:
            logger.debug("workers were lost: %s", error)
        for shard in islice(rest, 1):
            working.add(_submit(client, shard))


def _submit(client: "Client", shard: Shard) -> "Future[tuple[Path, ExtractionSummary]]":
    return client.submit(_extract, shard, pure=False)


def _extract(shard: Shard) -> tuple[Path, ExtractionSummary]:
    return shard.into, shard.extract()


@contextmanager
def _watched(shards: Sequence[Shard], report: Callable[[Progress], None]) -> Iterator[None]:
    """Report how far the whole is, as the shards' own files tell it, whoever writes them."""
    stop = Event()
    thread = Thread(target=_watch, args=(shards, report, stop), name="featx-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _watch(shards: Sequence[Shard], report: Callable[[Progress], None], stop: Event) -> None:
    total, complete = sum(len(shard.images) for shard in shards), dict[Path, tuple[int, int]]()
    while not stop.wait(LOOK_SECONDS):
        counts = dict(complete)
        for shard in shards:
            if shard.into not in complete:
                counts[shard.into] = _count(partial_path(shard.into))
                if shard.into.exists():
                    complete[shard.into] = counts[shard.into] = _count(shard.into)
        finished, failed = (sum(numbers) for numbers in zip(*counts.values(), strict=True))
        report(Progress(finished, total, failed, "shards"))


def _count(path: Path) -> tuple[int, int]:
    """Rows of this cache that are done or failed, and those that failed; none where it cannot be read just now."""
    try:
        status = open_cache(path).read("status")
    except CacheError:
        return 0, 0
    return int(np.count_nonzero(status != PENDING)), int(np.count_nonzero(status > DONE))


def _sum_up(made: Sequence[ExtractionSummary], into: Path, start: float) -> ExtractionSummary:
    """One summary of all shards."""
    total = {
        key: sum(getattr(one, key) for one in made) for key in ("images", "done", "failed", "reused", "duplicates")
    }
    stages = {stage: round(sum(one.stages[stage] for one in made), 3) for stage in made[0].stages}
    return replace(
        made[0],
        **total,
        cache=str(into),
        seconds=round(time.perf_counter() - start, 3),
        stages=stages,
        bound_by=Counter(one.bound_by for one in made).most_common(1)[0][0],
        failures=tuple(failure for one in made for failure in one.failures),
    )
