"""images -> batches -> session: features of rows of an image set, batch by batch, in order."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featx.backbones import Backbone
from featx.batches import NO_TWIN, Batch, StageClock, iter_batches
from featx.cache import DONE, storable
from featx.errors import Failure
from featx.fingerprints import Fingerprints
from featx.images import ImageSet
from featx.provenance import usable_cores
from featx.session import FeatureSession
from featx.settings import DEFAULT_STORAGE, Settings, Storage

REMOTE_WORKERS = 16
"""Threads that read where images come over a network, at least."""


@dataclass(frozen=True)
class FeatureBatch:
    """Features of one batch, and what is known of its rows."""

    rows: NDArray[np.int64]
    features: NDArray[np.float32]
    """(n, sum of dimensions): every output, side by side; NaN where an image failed or has a twin."""
    status: NDArray[np.uint8]
    """(n,): 1 done, above 1 a code of errors.Failure."""
    source: Batch
    details: dict[int, str]
    """Row of the image set -> why it failed, in full."""


def stream_features(
    images: ImageSet,
    backbone: Backbone,
    session: FeatureSession,
    *,
    rows: Iterable[int],
    settings: Settings,
    clock: StageClock,
    known: Fingerprints | None = None,
    storage: Storage = DEFAULT_STORAGE,
) -> Iterator[FeatureBatch]:
    """Features of these rows of the image set, batch by batch, in order. Raises InferenceError.

    With `known`, an image whose bytes were met before is not computed again: its batch names its twin.
    """
    batches = iter_batches(
        images,
        backbone.card,
        rows=rows,
        size=min(settings.batch_size, images.part_of or len(images)),
        workers=settings.workers or reading_threads(images, usable_cores()),
        max_pixels=settings.max_pixels,
        clock=clock,
        known=known,
    )
    while True:
        with clock.time("await pixels"):
            batch = next(batches, None)
        if batch is None:
            return
        features = np.full((len(batch.rows), backbone.card.width), np.nan, np.float32)
        if len(filled := np.flatnonzero(batch.slots >= 0)):
            with clock.time("infer"):
                features[filled] = session(batch.pixels)[batch.slots[filled]]
        yield _judge(batch, features, storage)


def reading_threads(images: ImageSet, cores: int) -> int:
    """How many threads read and decode on so many cores: more where images come over a network, as most wait then."""
    return max(cores, REMOTE_WORKERS if images.source.remote else 1)


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
    return FeatureBatch(batch.rows, features, status, batch, details)
