"""images -> batches -> session: features of rows of an image set, batch by batch, in order."""

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featx.backbones import Backbone, FeatureSession
from featx.cache import DONE, storable
from featx.errors import Failure
from featx.extract.batches import (
    NO_TWIN,
    Batch,
    Loading,
    Ring,
    StageClock,
    iter_batches,
)
from featx.extract.pace import Pace
from featx.inputs import Fingerprints, ImageSet
from featx.settings import (
    DEFAULT_STORAGE,
    Settings,
    Storage,
)

GATHERED = 8
"""Images that go through the pipeline together, where batches are smaller and there are many."""
GATHERED_BYTES = 2**22
"""Of their pixels."""
GROUPS = 256
"""Of a run, at least: the last ones may leave a core idle."""


@dataclass(frozen=True)
class FeatureBatch:
    """Features of one batch, and what is known of its rows."""

    rows: NDArray[np.int64]
    features: NDArray[np.float32]
    """(n, sum of dimensions): every output, side by side; NaN where an image failed or has a twin."""
    status: NDArray[np.uint8]
    """(n,): 1 done, above 1 a code of errors.Failure."""
    twins: NDArray[np.int64]
    fingerprint: NDArray[np.uint8]
    stat: NDArray[np.int64]
    """These three as in batches.Batch."""
    details: dict[int, str]
    """Row of the image set -> why it failed, in full."""


def stream_features(
    images: ImageSet,
    backbone: Backbone,
    session: FeatureSession,
    *,
    rows: Iterable[int],
    count: int,
    pace: Pace,
    settings: Settings,
    clock: StageClock,
    known: Fingerprints | None = None,
    storage: Storage = DEFAULT_STORAGE,
) -> Generator[FeatureBatch]:
    """Features of these rows of the image set, so many in all, batch by batch, in order. Raises InferenceError.

    Where there are many, small batches go through the pipeline, and come, several at a time; a `count` of 0 leaves them
    as they are, so that those of several backbones stay side by side.

    With `known`, an image whose bytes were met before is not computed again: its batch names its twin.
    """
    side = backbone.card.size
    size = _gathered(min(pace.batch_size, images.part_of or len(images)), count=count, image_bytes=3 * side * side)
    loading = Loading(backbone.card, pace.workers, size, settings.max_pixels, settings.decode, clock)
    most = 2 * session.streams  # one batch of each stream runs, the next lies ready
    ring = Ring(loading.ahead + most, lambda: session.new_buffer(size))
    inferring = _Inferring(session, ring, min(pace.batch_size, size), backbone.card.width, storage, clock)
    running: deque[Future[FeatureBatch]] = deque()
    with ThreadPoolExecutor(session.streams, thread_name_prefix="featx-infer") as pool:
        try:
            for batch in iter_batches(images, loading, rows=rows, ring=ring, known=known):
                running.append(pool.submit(copy_context().run, inferring.infer, batch))
                while len(running) == most or (running and running[0].done()):
                    yield _await(running, clock)
            while running:
                yield _await(running, clock)
        finally:
            pool.shutdown(cancel_futures=True)


def _gathered(batch_size: int, *, count: int, image_bytes: int) -> int:
    """Images that go through the pipeline together, so many times a batch: then what is done for each group costs less.

    Few enough that all streams end at about the same time, and that buffers stay small.
    """
    most = min(GATHERED, GATHERED_BYTES // image_bytes, count // GROUPS)
    return batch_size * max(1, most // batch_size)


def _await(running: deque[Future[FeatureBatch]], clock: StageClock) -> FeatureBatch:
    with clock.time("await features"):
        return running.popleft().result()


@dataclass(frozen=True)
class _Inferring:
    """Runs batches; called from several threads."""

    session: FeatureSession
    ring: Ring
    batch_size: int
    width: int
    storage: Storage
    clock: StageClock

    def infer(self, batch: Batch) -> FeatureBatch:
        """The features of the batch, whose buffer is free then."""
        features = np.full((len(batch.rows), self.width), np.nan, np.float32)
        if len(filled := np.flatnonzero(batch.slots >= 0)):
            with self.clock.time("infer"):
                features[filled] = self._run(batch.pixels, count=int(batch.slots.max()) + 1)[batch.slots[filled]]
        self.ring.give_back(batch.pixels)
        return _judge(batch, features, self.storage)

    def _run(self, pixels: NDArray[np.uint8], *, count: int) -> NDArray[np.float32]:
        """Features of so many images at least: in batches, each of full size."""
        starts = range(0, count, self.batch_size)
        parts = [self.session(pixels[start : start + self.batch_size]) for start in starts]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _judge(batch: Batch, features: NDArray[np.float32], storage: Storage) -> FeatureBatch:
    """Fail the rows whose features are not finite or cannot be stored, and leave no number where an image failed."""
    status, details = batch.status.copy(), dict(batch.details)
    for fine, failure in (
        (np.isfinite(features).all(axis=1), Failure.NOT_FINITE),
        (storable(features, storage), Failure.OUT_OF_RANGE),
    ):
        fallen = (status == DONE) & (batch.twins == NO_TWIN) & ~fine
        status[fallen] = failure
        details |= {int(row): failure.text for row in batch.rows[fallen]}
    features = np.where((status == DONE)[:, None], features, np.float32(np.nan))
    return FeatureBatch(batch.rows, features, status, batch.twins, batch.fingerprint, batch.stat, details)
