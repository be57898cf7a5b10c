"""ImageSet -> Batches, decoded ahead by threads within a bound; a failure rides along with its reason."""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from featx.backbones import Card
from featx.decode import decode_image
from featx.errors import DecodeError, Failure
from featx.images import FINGERPRINT_BYTES, ImageSet, fingerprint

DECODED = 1
"""Status of a row whose pixels are there."""
AHEAD = 3
"""Batches that are decoded before they are asked for."""


STAGES = ("read", "decode", "infer", "write")


@dataclass
class StageClock:
    """Seconds of work in each stage, summed over threads, and seconds for which the flow stood waiting."""

    seconds: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys((*STAGES, "await pixels", "await disk"), 0.0)
    )
    _lock: Lock = field(default_factory=Lock)

    @property
    def stages(self) -> dict[str, float]:
        """Seconds of work in read, decode, infer and write."""
        return {stage: round(self.seconds[stage], 3) for stage in STAGES}

    @property
    def bound_by(self) -> str:
        """The stage that the others wait for."""
        loading = max(("read", "decode"), key=self.seconds.__getitem__)
        held_up = {"infer": "infer", loading: "await pixels", "write": "await disk"}
        return max(held_up, key=lambda stage: self.seconds[held_up[stage]])

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Add the time that the block takes to this stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self.seconds[stage] += time.perf_counter() - start


@dataclass(frozen=True)
class Batch:
    """Images on their way: pixels for the model, and what is known of each row."""

    rows: NDArray[np.int64]
    """(n,): their rows in the image set."""
    pixels: NDArray[np.uint8]
    """(size of every batch, height, width, 3): zeros behind the last row and where an image failed."""
    status: NDArray[np.uint8]
    """(n,): 1, or a code of errors.Failure."""
    fingerprint: NDArray[np.uint8]
    """(n, 16)."""
    stat: NDArray[np.int64]
    """(n, 2): size in bytes, time of change in nanoseconds."""
    details: dict[int, str]
    """Row of the image set -> why it failed, in full."""


def iter_batches(
    images: ImageSet,
    card: Card,
    *,
    rows: NDArray[np.int64],
    size: int,
    workers: int,
    max_pixels: int,
    clock: StageClock,
) -> Iterator[Batch]:
    """Batches of `size` images in the order of `rows`, decoded ahead by `workers` threads.

    Every batch has pixels of the same shape, so that a row's feature does not depend on its neighbours.
    """
    chunks = (rows[start : start + size] for start in range(0, len(rows), size))
    loader = _Loader(images, card, max_pixels, clock)
    with ThreadPoolExecutor(workers, thread_name_prefix="featx-decode") as pool:
        ahead: deque[tuple[Batch, list[Future[None]]]] = deque()
        try:
            while True:
                while len(ahead) < AHEAD and (chunk := next(chunks, None)) is not None:
                    batch = _empty_batch(chunk, size, card.size)
                    ahead.append((batch, [pool.submit(loader.load, batch, slot) for slot in range(len(chunk))]))
                if not ahead:
                    return
                batch, futures = ahead.popleft()
                for future in futures:
                    future.result()
                yield batch
        finally:
            pool.shutdown(cancel_futures=True)


def _empty_batch(rows: NDArray[np.int64], size: int, side: int) -> Batch:
    return Batch(
        rows,
        np.zeros((size, side, side, 3), np.uint8),
        np.full(len(rows), DECODED, np.uint8),
        np.zeros((len(rows), FINGERPRINT_BYTES), np.uint8),
        np.zeros((len(rows), 2), np.int64),
        {},
    )


@dataclass(frozen=True)
class _Loader:
    """Fills slots of batches; called from several threads, each slot by one."""

    images: ImageSet
    card: Card
    max_pixels: int
    clock: StageClock

    def load(self, batch: Batch, slot: int) -> None:
        """Read and decode the image of this slot, or note why that failed."""
        row = int(batch.rows[slot])
        try:
            with self.clock.time("read"):
                batch.stat[slot] = self.images.stat(row)
                data = self.images.read(row)
                batch.fingerprint[slot] = np.frombuffer(fingerprint(data), np.uint8)
            with self.clock.time("decode"):
                batch.pixels[slot] = decode_image(data, self.card, max_pixels=self.max_pixels)
        except OSError as error:
            missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
            failure = Failure.MISSING if missing else Failure.UNREADABLE
            self._fail(batch, slot, DecodeError(failure, error.strerror or type(error).__name__))
        except MemoryError:
            self._fail(batch, slot, DecodeError(Failure.NO_MEMORY))
        except DecodeError as error:
            self._fail(batch, slot, error)

    def _fail(self, batch: Batch, slot: int, error: DecodeError) -> None:
        batch.status[slot] = error.failure
        batch.details[int(batch.rows[slot])] = str(error)
