"""Computes the features of images batch by batch, in order, with a session that runs at its fastest pace."""

import math
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from featx.backbones import Backbone, FeatureSession, vet
from featx.cache import DONE, Cost, storable
from featx.errors import Failure
from featx.extract.batches import NO_DUPLICATE, NO_SLOT, Batch, ImageRows, Loading, Ring, iter_batches
from featx.extract.clock import StageClock
from featx.extract.pace import Pace, open_at_pace
from featx.inputs import Fingerprints, ImageSet, check_views, order_views
from featx.settings import DEFAULT_STORAGE, Settings, Storage

GROUPED_IMAGES = 8
"""Most images in a group of batches that goes through the pipeline together, which saves work for each batch."""
GROUPED_BYTES = 2**22
"""Most bytes of the pixels of such a group."""
BATCH_BYTES = 2**24
"""A group may grow to this many bytes of pixels, so that the views of its images fill whole batches."""
LEAST_GROUPS = 256
"""A run has at least this many groups, since the last ones may leave a core idle."""


@dataclass(frozen=True, kw_only=True)
class FeatureBatch(ImageRows):
    """The features of one batch of images."""

    features: NDArray[np.float32]
    """(n, views, sum of dimensions): all outputs next to each other; NaN if an image failed or is a duplicate."""


@dataclass(frozen=True)
class FeatureStream:
    """An open session of a backbone, and the pace at which it computes the features of an image set."""

    images: ImageSet
    backbone: Backbone
    settings: Settings
    session: FeatureSession
    pace: Pace
    _running: ExitStack = field(default_factory=ExitStack, repr=False)
    """Ends the threads of unfinished calls of `batches`."""

    def batches(
        self,
        rows: Iterable[int] | None = None,
        *,
        count: int | None = None,
        known: Fingerprints | None = None,
        storage: Storage = DEFAULT_STORAGE,
        clock: StageClock | None = None,
    ) -> Generator[FeatureBatch]:
        """Features of these rows of the image set, batch by batch, in order. Raises InferenceError.

        Args:
            rows: rows of the image set; None for all.
            count: number of these rows, which decides how many batches go through the pipeline together. With 0 they
                go one by one, so that batches of several backbones have the same rows.
            known: fingerprints of images whose features are known. These are not computed; `duplicate_of` is their
                number. All other images are added.
            storage: type in which the features will be stored; a row with a feature beyond its range fails.
            clock: adds up the time of each stage.
        """
        group = self._group(len(self.images) if count is None else count)
        found = self._generate(
            range(len(self.images)) if rows is None else rows,
            group,
            known=known,
            storage=storage,
            clock=clock or StageClock(),
        )
        self._running.callback(found.close)
        return found

    def cost(self, clock: StageClock) -> Cost | None:
        """What an image has cost so far, by this clock: the time of the streams, which run at once, shared by all."""
        if not clock.inferred:
            return None
        seconds = clock.seconds["infer"] / self.session.streams / clock.inferred
        cores = self.pace.streams * self.pace.threads if self.session.on_cpu else 0
        return Cost(seconds, clock.inferred, cores, self.session.provider, self.session.device)

    def _group(self, count: int) -> "ImageGroup":
        views = len(self.settings.views)
        batch_size = min(self.pace.batch_size, views * (self.images.part_of or len(self.images)))
        image_bytes = math.prod(self.backbone.card.input.pixels.shape)
        return plan_group(batch_size, views=views, count=count, image_bytes=image_bytes)

    def _generate(
        self,
        rows: Iterable[int],
        group: "ImageGroup",
        *,
        known: Fingerprints | None,
        storage: Storage,
        clock: StageClock,
    ) -> Generator[FeatureBatch]:
        card = self.backbone.card
        settings = self.settings
        loading = Loading(
            spec=card.input.pixels,
            workers=self.pace.workers,
            size=group.images,
            max_pixels=settings.max_pixels,
            decode=settings.decode,
            views=settings.views,
            clock=clock,
        )
        most = 2 * self.session.streams  # one batch of each stream runs, the next one waits for it
        ring = Ring(loading.ahead + most, lambda: self.session.new_buffer(group.places))
        inferring = _Inferring(self.session, ring, group, card.width, storage, clock)
        running: deque[Future[FeatureBatch]] = deque()
        with ThreadPoolExecutor(self.session.streams, thread_name_prefix="featx-infer") as pool:
            try:
                for batch in iter_batches(self.images, loading, rows=rows, ring=ring, known=known):
                    running.append(pool.submit(copy_context().run, inferring.infer, batch))
                    while len(running) == most or (running and running[0].done()):
                        yield _await(running, clock)
                while running:
                    yield _await(running, clock)
            finally:
                pool.shutdown(cancel_futures=True)


@contextmanager
def open_stream(
    images: ImageSet, backbone: Backbone, settings: Settings, *, count: int | None = None, batch_size: int | None = None
) -> Iterator[FeatureStream]:
    """A session for these images, opened at its fastest pace; everything that it runs ends with the block.

    Args:
        images: the image set.
        backbone: the backbone.
        settings: device, views, and the parts of the pace that the user has chosen; a long run calibrates the others.
        count: number of images that will be computed; None for all.
        batch_size: batch size of existing rows, which new rows must have too.

    Raises DeviceError and BackboneError as open_session does, ImageSetError if a view cannot be made.
    """
    vet(backbone)
    settings = with_views(settings, backbone)
    total = len(settings.views) * (len(images) if count is None else count)
    session, pace = open_at_pace(backbone, images, settings, count=total, batch_size=batch_size)
    with ExitStack() as running:
        yield FeatureStream(images, backbone, settings, session, pace, running)


def with_views(settings: Settings, backbone: Backbone) -> Settings:
    """The settings with their views in the order of a cache. Raises ImageSetError if a view cannot be made."""
    views = order_views(settings.views)
    check_views(views, backbone.card.input.pixels, decode=settings.decode)
    return replace(settings, views=views)


@dataclass(frozen=True)
class ImageGroup:
    """Images that go through the pipeline together."""

    images: int
    views: int
    batch_size: int
    """Number of views that are run at once."""

    @property
    def places(self) -> int:
        """Number of views in whole batches, so that every run of the model has the same shape."""
        return -(-self.images * self.views // self.batch_size) * self.batch_size

    @property
    def idle(self) -> float:
        """The share of places that no view takes."""
        return 1 - self.images * self.views / self.places


def plan_group(batch_size: int, *, views: int, count: int, image_bytes: int) -> ImageGroup:
    """The images that go through the pipeline together, of `count` images whose views have `image_bytes` each.

    Their views fill whole batches, or nearly. The group is small enough that all streams end at about the same time,
    and that buffers stay small.
    """
    most = min(GROUPED_IMAGES, GROUPED_BYTES // image_bytes, count // LEAST_GROUPS * views)
    target = batch_size * max(1, most // batch_size)
    fitting = max(target, views, BATCH_BYTES // image_bytes)
    groups = [ImageGroup(images, views, batch_size) for images in range(1, fitting // views + 1)]
    large = [group for group in groups if group.places >= target]
    return min(large or groups, key=lambda group: group.idle)


def _await(running: deque[Future[FeatureBatch]], clock: StageClock) -> FeatureBatch:
    with clock.time("await features"):
        return running.popleft().result()


@dataclass(frozen=True)
class _Inferring:
    """Runs the model on batches; called from several threads."""

    session: FeatureSession
    ring: Ring
    group: ImageGroup
    width: int
    storage: Storage
    clock: StageClock

    def infer(self, batch: Batch) -> FeatureBatch:
        """The features of the batch; gives its buffer back to the ring."""
        features = np.full((len(batch.rows), self.group.views, self.width), np.nan, np.float32)
        filled = np.flatnonzero(batch.slots != NO_SLOT)
        if len(filled):
            count = int(batch.slots.max()) + 1
            with self.clock.time("infer"):
                features[filled] = self._run(batch.pixels, count=count)[batch.slots[filled]]
            self.clock.count_inferred(count)
        self.ring.give_back(batch.pixels)
        return _check_features(batch, features, self.storage)

    def _run(self, pixels: NDArray[np.uint8], *, count: int) -> NDArray[np.float32]:
        """Features (count, views, width) of the first `count` images, in batches of full size."""
        size = self.group.batch_size
        views = count * self.group.views
        parts = [self.session(pixels[start : start + size]) for start in range(0, views, size)]
        found = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return found[:views].reshape(count, self.group.views, self.width)


def _check_features(batch: Batch, features: NDArray[np.float32], storage: Storage) -> FeatureBatch:
    """The batch with its features; rows fail if these are not finite or cannot be stored, and get NaN."""
    status = batch.status.copy()
    details = dict(batch.details)
    for fine, failure in (
        (np.isfinite(features).all(axis=(1, 2)), Failure.NOT_FINITE),
        (storable(features, storage), Failure.OUT_OF_RANGE),
    ):
        failed = (status == DONE) & (batch.duplicate_of == NO_DUPLICATE) & ~fine
        status[failed] = failure
        details |= {int(row): failure.text for row in batch.rows[failed]}
    return FeatureBatch(
        rows=batch.rows,
        duplicate_of=batch.duplicate_of,
        status=status,
        fingerprint=batch.fingerprint,
        stat=batch.stat,
        details=details,
        features=np.where((status == DONE)[:, None, None], features, np.float32(np.nan)),
    )
