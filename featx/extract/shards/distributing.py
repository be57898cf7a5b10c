"""An extraction cut into shards, made by workers, and merged into what one run alone would make."""

import logging
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from featx.backbones import Backbone
from featx.cache import (
    check_replaceable,
    locked,
    merge_caches,
    partial_path,
)
from featx.errors import (
    CacheError,
    CacheLockedError,
    ImageSetError,
)
from featx.extract.extracting import (
    ExtractionSummary,
    Progress,
    find_complete,
)
from featx.extract.resuming import shards_folder
from featx.extract.shards.shard import Extracted, Shard
from featx.extract.shards.workers import (
    LostError,
    Workers,
    cluster_workers,
    local_workers,
)
from featx.inputs import ImageSet
from featx.settings import (
    DEFAULT_STORAGE,
    DEFAULTS,
    Settings,
    Storage,
)

logger = logging.getLogger(__name__)

ROUNDS = 4
"""How often shards are begun again without one of them being finished, before the run gives up."""
PAUSE_SECONDS = 5.0
"""Before each such round: a lock may be that of a process which is just ending."""
LOOK_SECONDS = 1.0
"""How often the shards are looked at to tell how far the whole is."""
APPEAR_SECONDS = 60.0
"""How long a shard that a worker made may take to be seen here."""


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
    goes on from those that are there. Raises as extract_features does, DeviceError where workers are out of reach or
    die again and again.
    """
    start, given = time.perf_counter(), Path(into)
    into = given.resolve() if given.is_symlink() else Path(os.path.abspath(given))
    if not 1 <= count <= len(images):
        raise ImageSetError(f"{count} shards of {len(images)} images: none may be empty; choose fewer --shards")
    check_replaceable(into)
    if not overwrite:
        done = find_complete(images, backbone, into, settings=settings, storage=storage, retry_failed=retry_failed)
        if done:
            return replace(done, cache=str(given))
    folder = shards_folder(into)
    with _workplace(folder):
        if overwrite:
            _remove_shards(folder)
        reuse = () if overwrite else tuple(_leftovers(into, folder, count))
        backbone = replace(backbone, path=backbone.path.absolute())  # workers may have been started elsewhere
        work = Shard(images, backbone, into, settings, storage, retry_failed, reuse)
        shards = [work.part(index, count, folder) for index in range(count)]
        hire = partial(cluster_workers, scheduler) if scheduler else partial(local_workers, min(jobs, count))
        made = _Run(shards, report).finish(hire)
        merge_caches([shard.into for shard in shards], into=into, overwrite=True)
        _remove_shards(folder)
    return _sum_up(made, cache=str(given), start=start)


@contextmanager
def _workplace(folder: Path) -> Iterator[None]:
    """The folder of the shards, held against other runs, and removed once there is nothing in it."""
    try:
        with locked(folder / "run"):
            yield
    finally:
        with suppress(OSError):
            folder.rmdir()


def _leftovers(into: Path, folder: Path, count: int) -> Iterator[Path]:
    """Caches whose rows may be taken: what is at `into`, complete or not, and shards of another count."""
    yield from (path for path in (into, partial_path(into)) if path.exists())
    others = (path for end in ("", ".partial") for path in folder.glob(f"*-of-*.h5{end}"))
    yield from sorted(path for path in others if f"-of-{count:06}.h5" not in path.name)


def _remove_shards(folder: Path) -> None:
    for path in folder.glob("*-of-*.h5*"):
        path.unlink()


@dataclass
class _Run:
    """Shards on their way."""

    shards: Sequence[Shard]
    report: Callable[[Progress], None]
    made: dict[Path, ExtractionSummary] = field(default_factory=dict)
    counts: dict[Path, tuple[int, int]] = field(default_factory=dict)
    """Rows of every shard that are done or failed, and those that failed, as far as is known."""
    finished: int = 0
    told: set[str] = field(default_factory=set)

    def finish(self, hire: Callable[[], AbstractContextManager[Workers]]) -> list[ExtractionSummary]:
        """What became of every shard, in order; what lost workers leave is made by others.

        Raises what extracting one of them raises; LostError or CacheLockedError once trying again is of no use.
        """
        self._look(self.shards)
        fruitless = 0
        while left := [shard for shard in self.shards if shard.into not in self.made]:
            setback = self._try(left, hire)
            missing = len(self.shards) - len(self.made)
            fruitless = fruitless + 1 if missing == len(left) else 0
            if setback and fruitless == ROUNDS:
                raise setback
            if setback:
                logger.warning("%s; going on with %d of %d shards", setback, missing, len(self.shards))
                time.sleep(PAUSE_SECONDS if fruitless else 0)
        return [self.made[shard.into] for shard in self.shards]

    def _try(
        self, left: Sequence[Shard], hire: Callable[[], AbstractContextManager[Workers]]
    ) -> LostError | CacheLockedError | None:
        """Have these shards made, as far as it goes, and say what came between."""
        waiting, running, held = deque(left), dict[Future[Extracted], Shard](), None
        try:
            with hire() as workers:
                while waiting or running:
                    self._submit(workers, waiting, running)
                    done, _ = wait(running, LOOK_SECONDS, FIRST_COMPLETED)
                    for future in done:
                        shard = running.pop(future)
                        try:
                            self._accept(shard, future.result())
                        except CacheLockedError as error:
                            held = error
                    self._look(running.values())
        except LostError as error:
            return error
        return held

    def _submit(self, workers: Workers, waiting: deque[Shard], running: dict[Future[Extracted], Shard]) -> None:
        """Give each worker that has none a shard."""
        if not (slots := workers.slots()):
            self._tell("there are no workers just now; waiting for one")
        while waiting and len(running) < max(slots, 1):
            shard = waiting.popleft()
            running[workers.submit(shard)] = shard

    def _accept(self, shard: Shard, extracted: Extracted) -> None:
        for warning in extracted.warnings:
            self._tell(warning)
        if not _appears(shard.into):
            raise CacheError(
                f"{shard.into}: a worker made it, but it is not here; --into must be the same place for all"
            )
        self.made[shard.into] = extracted.summary
        self.counts[shard.into] = len(shard.images), extracted.summary.failed

    def _tell(self, warning: str) -> None:
        """Tell it once, however many shards have it."""
        if warning not in self.told:
            logger.warning("%s", warning)
        self.told.add(warning)

    def _look(self, unfinished: Iterable[Shard]) -> None:
        """Report how far the whole is, as the shards' own files tell it, whoever writes them."""
        self.counts |= {shard.into: shard.count() for shard in unfinished}
        finished, failed = (sum(numbers) for numbers in zip(*self.counts.values(), strict=True))
        self.finished = max(self.finished, finished)  # a row that is forgotten is computed again
        total = sum(len(shard.images) for shard in self.shards)
        note = f"{len(self.made)} of {len(self.shards)} shards"
        self.report(Progress(self.finished, total, failed, note))


def _appears(path: Path) -> bool:
    """Whether the file is here, or comes: a network's file system may show it late."""
    end = time.monotonic() + APPEAR_SECONDS
    while not path.exists():
        if time.monotonic() > end:
            return False
        time.sleep(LOOK_SECONDS)
    return True


def _sum_up(made: Sequence[ExtractionSummary], *, cache: str, start: float) -> ExtractionSummary:
    """One summary of all shards."""
    keys = ("images", "done", "failed", "reused", "duplicates")
    numbers = {key: sum(getattr(one, key) for one in made) for key in keys}
    stages = {stage: round(sum(one.stages[stage] for one in made), 3) for stage in made[0].stages}
    bounds = Counter(one.bound_by for one in made if one.reused < one.images)
    bound_by = bounds.most_common(1)[0][0] if bounds else made[0].bound_by
    return replace(
        next(one for one in made if one.bound_by == bound_by),
        **numbers,
        cache=cache,
        seconds=round(time.perf_counter() - start, 3),
        stages=stages,
        advice=(),  # each knows but its own part of the cores
        failures=tuple(failure for one in made for failure in one.failures),
    )
