"""Images, backbone, settings in; a session, and the pace at which it is fastest here, out."""

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from featx.backbones import Backbone, FeatureSession, open_session
from featx.errors import DecodeError, InferenceError
from featx.hardware import usable_cores
from featx.inputs import ImageSet, decode_image
from featx.settings import Settings

logger = logging.getLogger(__name__)

SHARE = 0.01
"""What calibration may take of the time that the whole run is expected to take."""
FASTER = 1.03
"""A pace must be so many times faster to be chosen over another: below that lies noise."""
TRIALS = 3
"""Calibration begins where its share pays for so many trials."""
ROUNDS = 3
"""Batches of every stream that a pace is timed on."""
SAMPLE = 8
"""Images of the set that are run while calibrating."""
MOST_STREAMS = 16
"""Streams on a CPU of many cores, where nothing was measured: each holds the tensors of a batch."""
REMOTE_WORKERS = 16
"""Threads that read where images come over a network, at least."""
CPU_BATCH, GPU_BATCH = 2, 64
LARGEST_BATCH = {True: 32, False: 256}
"""That is tried on the CPU, whose every stream holds the tensors of a batch, and elsewhere."""


@dataclass(frozen=True)
class Trial:
    """A pace that was tried."""

    batch_size: int
    streams: int
    threads: int
    images_per_second: float


@dataclass(frozen=True)
class Pace:
    """How images are run: how fast features come, and but for the last digits on a GPU not what they are."""

    batch_size: int
    """Images that are run at once."""
    streams: int
    """Batches that are run at the same time."""
    threads: int
    """Threads of the CPU for each of these."""
    workers: int
    """Threads that read and decode."""
    trials: tuple[Trial, ...] = ()
    """What calibration tried, in order; nothing where it was not worth it."""
    seconds: float = 0.0
    """What calibration took."""


def reading_threads(images: ImageSet, cores: int) -> int:
    """How many threads read and decode on so many cores: more where images come over a network, as most wait then."""
    return max(cores, REMOTE_WORKERS if images.source.remote else 1)


def open_at_pace(
    backbone: Backbone, images: ImageSet, settings: Settings, *, count: int, batch_size: int | None = None
) -> tuple[FeatureSession, Pace]:
    """A session on the device, and the pace for so many of the images: as said, else as a calibration finds it.

    `batch_size` is that of rows which are there already: those to come are run alike. So are the shards of one image
    set, for which it is not calibrated. Raises as open_session does.
    """
    said, workers = settings.batch_size or batch_size, settings.workers or reading_threads(images, usable_cores())
    streams, threads = share_cores(settings, usable_cores())
    start = time.perf_counter()
    session = _open(backbone, settings, streams=streams, threads=threads, batch_size=said)
    size = said or _fitting(CPU_BATCH if session.on_cpu else GPU_BATCH, session.step)
    calibration = _Calibration(
        session,
        Pace(size, session.streams, threads, workers),
        open_again=partial(_open, backbone, settings, batch_size=said),
        opening=time.perf_counter() - start,
        images=count,
    )
    sizes = not said and not images.part_of and session.step is None
    shares = session.on_cpu and session.step is None and not (settings.streams or settings.threads)
    if (sizes or shares) and count * SHARE >= TRIALS * (1 + ROUNDS) * session.streams * size:
        calibration.choose(_first_pixels(images, backbone, settings), sizes=sizes, shares=shares)
    return calibration.session, calibration.pace


def share_cores(settings: Settings, cores: int) -> tuple[int, int]:
    """Streams, and threads of each: as said, else as many streams as there are cores."""
    streams = settings.streams or max(1, cores // (settings.threads or -(-cores // MOST_STREAMS)))
    return streams, settings.threads or max(1, cores // streams)


def _open(
    backbone: Backbone, settings: Settings, *, streams: int, threads: int, batch_size: int | None
) -> FeatureSession:
    return open_session(backbone, device=settings.device, streams=streams, threads=threads, batch_size=batch_size)


def _fitting(size: int, step: int | None) -> int:
    """The size, or the next one above that is a number of steps of a model that fixes how many images it takes."""
    return -(-size // (step or 1)) * (step or 1)


def _first_pixels(images: ImageSet, backbone: Backbone, settings: Settings) -> NDArray[np.uint8]:
    """Pixels (n, size, size, 3) of the first images; those that fail are black."""
    side = backbone.card.size
    pixels = np.zeros((min(SAMPLE, len(images)), side, side, 3), np.uint8)
    for row, slot in enumerate(pixels):
        with suppress(OSError, DecodeError, MemoryError):
            stored = images.read(row)
            decode_image(stored, backbone.card, max_pixels=settings.max_pixels, decode=settings.decode, out=slot)
    return pixels


class _Calibration:
    """Tries paces, each on a few images, and holds the fastest one and its session."""

    def __init__(
        self,
        session: FeatureSession,
        pace: Pace,
        *,
        open_again: Callable[..., FeatureSession],
        opening: float,
        images: int,
    ) -> None:
        self.session, self.pace = session, pace
        self._open, self._opening, self._images = open_again, opening, images
        self._rate, self._end = 0.0, float("inf")
        self._pixels = session.new_buffer(0)

    def choose(self, pixels: NDArray[np.uint8], *, sizes: bool, shares: bool) -> None:
        """Try batch sizes up, else down, as long as they are faster; then other shares of the cores."""
        start, self._pixels = time.perf_counter(), pixels
        self._try(self.session, self.pace)
        self._end = start + SHARE * self._images / self._rate
        if sizes and not self._walk(lambda size: 2 * size):
            self._walk(lambda size: size // 2)
        for streams in _fewer(self.pace.streams) if shares else ():
            if not self._try_share(streams):
                break
        self.pace = replace(self.pace, seconds=round(time.perf_counter() - start, 3))
        logger.info("%s", self.pace)

    def _walk(self, step: Callable[[int], int]) -> bool:
        """Go from size to size while that is faster; whether it was at all."""
        moved = False
        while 0 < (size := step(self.pace.batch_size)) <= LARGEST_BATCH[self.session.on_cpu]:
            pace = replace(self.pace, batch_size=size)
            if not self._affordable(pace) or not self._try(self.session, pace):
                return moved
            moved = True
        return moved

    def _try_share(self, streams: int) -> bool:
        pace = replace(self.pace, streams=streams, threads=usable_cores() // streams)
        if not self._affordable(pace, opening=self._opening):
            return False
        return self._try(self._open(streams=streams, threads=pace.threads), pace)

    def _affordable(self, pace: Pace, *, opening: float = 0.0) -> bool:
        seconds = opening + (1 + ROUNDS) * pace.batch_size * pace.streams / self._rate
        return time.perf_counter() + seconds <= self._end

    def _try(self, session: FeatureSession, pace: Pace) -> bool:
        """Whether this pace is faster than the best so far; it is held then."""
        try:
            rate = _measure(session, pace, self._pixels)
        except InferenceError as error:
            if not self._rate:
                raise
            logger.info("%s", error)
            rate = 0.0
        trial = Trial(pace.batch_size, pace.streams, pace.threads, round(rate, 2))
        self.pace = replace(self.pace, trials=(*self.pace.trials, trial))
        if rate <= FASTER * self._rate:
            return False
        self._rate, self.session, self.pace = rate, session, replace(pace, trials=self.pace.trials)
        return True


def _fewer(streams: int) -> Iterator[int]:
    """Fewer streams, of more threads each."""
    while streams > 1:
        streams = max(1, streams // 4)
        yield streams


def _measure(session: FeatureSession, pace: Pace, pixels: NDArray[np.uint8]) -> float:
    """Images a second, nothing being decoded meanwhile, after a first round that allocates memory."""
    batch = session.new_buffer(pace.batch_size)
    batch[:] = np.resize(pixels, batch.shape)
    with ThreadPoolExecutor(pace.streams) as pool:
        for rounds in (1, ROUNDS):
            start, count = time.perf_counter(), rounds * pace.streams
            list(pool.map(session, [batch] * count))
    return count * pace.batch_size / (time.perf_counter() - start)
