"""Finds the pace at which a backbone is fastest: its batch size, and how streams and threads share the cores."""

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
from featx.errors import DecodeError, DeviceError, InferenceError
from featx.hardware import usable_cores
from featx.inputs import ImageSet, decode_image
from featx.settings import Settings

logger = logging.getLogger(__name__)

CALIBRATION_SHARE = 0.01
"""Calibration takes at most this share of the time that the whole run is expected to take."""
FASTER = 1.03
"""A pace replaces another one if it is at least this many times faster; smaller differences are noise."""
LEAST_TRIALS = 3
"""Calibration begins only if its share of the time pays for this many trials."""
TIMED_BATCHES = 3
"""Number of batches in each stream by which a pace is timed."""
IMAGES_TIMED = 8
"""Number of images of the set on which paces are timed."""
MOST_STREAMS = 16
"""Most streams on a CPU before any calibration: each stream keeps the tensors of a batch in memory."""
MOST_THREADS = 1024
"""Number of threads that may always be asked for, to run the model and to read."""
REMOTE_WORKERS = 16
"""Fewest threads that read images over a network."""
CPU_BATCH = 2
GPU_BATCH = 64
"""Batch size with which calibration begins, on the CPU and on other devices."""
LARGEST_CPU_BATCH = 32
LARGEST_GPU_BATCH = 256
"""Largest batch size that is tried; it is smaller on the CPU, where every stream keeps the tensors of a batch."""


@dataclass(frozen=True)
class PaceTrial:
    """A pace that was tried, and its speed."""

    batch_size: int
    streams: int
    threads: int
    images_per_second: float


@dataclass(frozen=True)
class Pace:
    """How images are run, which decides how fast features are computed, and on a GPU their last digits."""

    batch_size: int
    """Number of images that are run at once."""
    streams: int
    """Number of batches that are run at the same time."""
    threads: int
    """Number of CPU threads for each of these batches."""
    workers: int
    """Number of threads that read and decode."""
    trials: tuple[PaceTrial, ...] = ()
    """What calibration tried, in order; empty if the run was too short for a calibration."""
    seconds: float = 0.0
    """Duration of the calibration."""


def reading_threads(images: ImageSet, cores: int) -> int:
    """Number of threads that read and decode: one per core, but more over a network, where most of them wait."""
    return max(cores, REMOTE_WORKERS if images.source.remote else 1)


def open_at_pace(
    backbone: Backbone, images: ImageSet, settings: Settings, *, count: int, batch_size: int | None = None
) -> tuple[FeatureSession, Pace]:
    """A session on the device, and its pace for `count` of the images: as in the settings, else calibrated.

    `batch_size` is that of existing rows, which new rows must have too. It is not calibrated for a shard either, since
    all shards of an image set must have the same. Raises as open_session does.
    """
    fixed_size = settings.batch_size or batch_size
    workers = settings.workers or reading_threads(images, usable_cores())
    streams, threads = share_cores(settings, usable_cores())
    _check_threads(workers, streams * threads, cores=usable_cores())
    start = time.perf_counter()
    session = _open(backbone, settings, streams=streams, threads=threads, batch_size=fixed_size)
    size = fixed_size or _round_up(CPU_BATCH if session.on_cpu else GPU_BATCH, session.step)
    calibration = _Calibration(
        session,
        Pace(size, session.streams, threads, workers),
        open_again=partial(_open, backbone, settings, batch_size=fixed_size),
        opening=time.perf_counter() - start,
        images=count,
    )
    try_sizes = not fixed_size and not images.part_of and session.step is None
    try_shares = session.on_cpu and session.step is None and not (settings.streams or settings.threads)
    long_enough = count * CALIBRATION_SHARE >= LEAST_TRIALS * _images_timed(calibration.pace)
    if (try_sizes or try_shares) and long_enough:
        calibration.choose(_first_pixels(images, backbone, settings), sizes=try_sizes, shares=try_shares)
    return calibration.session, calibration.pace


def share_cores(settings: Settings, cores: int) -> tuple[int, int]:
    """Number of streams, and of threads for each: as in the settings, else one stream per core, up to MOST_STREAMS."""
    streams = settings.streams or max(1, cores // (settings.threads or -(-cores // MOST_STREAMS)))
    return streams, settings.threads or max(1, cores // streams)


def _check_threads(workers: int, running: int, *, cores: int) -> None:
    """Raise DeviceError if there are more threads than the system can be expected to start."""
    most = max(MOST_THREADS, 4 * cores)
    for count, what in ((workers, "--workers"), (running, "--streams or --threads")):
        if count > most:
            raise DeviceError(f"{count} threads are too many for {cores} cores, at most {most}; give fewer {what}")


def _open(
    backbone: Backbone, settings: Settings, *, streams: int, threads: int, batch_size: int | None
) -> FeatureSession:
    return open_session(backbone, device=settings.device, streams=streams, threads=threads, batch_size=batch_size)


def _round_up(size: int, step: int | None) -> int:
    """The smallest multiple of `step` that is at least `size`; a model with a fixed batch axis takes only multiples."""
    return -(-size // (step or 1)) * (step or 1)


def _images_timed(pace: Pace) -> int:
    """Number of images that a trial of this pace runs, the first round included."""
    return (1 + TIMED_BATCHES) * pace.streams * pace.batch_size


def _first_pixels(images: ImageSet, backbone: Backbone, settings: Settings) -> NDArray[np.uint8]:
    """Pixels (n, height, width, 3) of the first images; those that fail are black."""
    spec = backbone.card.input.pixels
    pixels = np.zeros((min(IMAGES_TIMED, len(images)), *spec.shape), np.uint8)
    for row, slot in enumerate(pixels):
        with suppress(OSError, DecodeError, MemoryError):
            stored = images.read_bounded(row)
            decode_image(stored, spec, max_pixels=settings.max_pixels, decode=settings.decode, out=slot)
    return pixels


class _Calibration:
    """Times paces on a few images, and keeps the fastest pace and its session."""

    def __init__(
        self,
        session: FeatureSession,
        pace: Pace,
        *,
        open_again: Callable[..., FeatureSession],
        opening: float,
        images: int,
    ) -> None:
        self.session = session
        self.pace = pace
        self._open = open_again
        self._opening = opening
        self._images = images
        self._rate = 0.0
        self._end = float("inf")
        self._pixels = session.new_buffer(0)

    def choose(self, pixels: NDArray[np.uint8], *, sizes: bool, shares: bool) -> None:
        """Try larger batches, or else smaller ones, as long as they are faster; then fewer streams of more threads.

        Args:
            pixels: images on which paces are timed.
            sizes: whether to try other batch sizes.
            shares: whether to try other numbers of streams and threads.
        """
        start = time.perf_counter()
        self._pixels = pixels
        self._try(self.session, self.pace)
        self._end = start + CALIBRATION_SHARE * self._images / self._rate
        if sizes and not self._walk(lambda size: 2 * size):
            self._walk(lambda size: size // 2)
        for streams in _fewer(self.pace.streams) if shares else ():
            if not self._try_share(streams):
                break
        self.pace = replace(self.pace, seconds=round(time.perf_counter() - start, 3))
        logger.info("%s", self.pace)

    def _walk(self, step: Callable[[int], int]) -> bool:
        """Step from batch size to batch size as long as that is faster; returns whether any was."""
        moved = False
        largest = LARGEST_CPU_BATCH if self.session.on_cpu else LARGEST_GPU_BATCH
        while 0 < (size := step(self.pace.batch_size)) <= largest:
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
        """Whether a trial that needs `opening` seconds to begin would end within the time for calibration."""
        seconds = opening + _images_timed(pace) / self._rate
        return time.perf_counter() + seconds <= self._end

    def _try(self, session: FeatureSession, pace: Pace) -> bool:
        """Time this pace; returns whether it is faster than the best so far, which it then replaces."""
        try:
            rate = _measure(session, pace, self._pixels)
        except InferenceError as error:
            if not self._rate:
                raise
            logger.info("%s", error)
            rate = 0.0
        trial = PaceTrial(pace.batch_size, pace.streams, pace.threads, round(rate, 2))
        trials = (*self.pace.trials, trial)
        if rate <= FASTER * self._rate:
            self.pace = replace(self.pace, trials=trials)
            return False
        self._rate = rate
        self.session = session
        self.pace = replace(pace, trials=trials)
        return True


def _fewer(streams: int) -> Iterator[int]:
    """Yields smaller and smaller numbers of streams, down to 1."""
    while streams > 1:
        streams = max(1, streams // 4)
        yield streams


def _measure(session: FeatureSession, pace: Pace, pixels: NDArray[np.uint8]) -> float:
    """Images per second without decoding, after a first round that allocates memory."""
    batch = session.new_buffer(pace.batch_size)
    batch[:] = np.resize(pixels, batch.shape)
    with ThreadPoolExecutor(pace.streams) as pool:
        for rounds in (1, TIMED_BATCHES):
            count = rounds * pace.streams
            start = time.perf_counter()
            list(pool.map(session, [batch] * count))
    return count * pace.batch_size / (time.perf_counter() - start)
