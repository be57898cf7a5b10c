"""ImageSet -> Batches, decoded ahead by threads within a bound; a failure rides along with its reason."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from featx.backbones import Card
from featx.decode import decode_image
from featx.errors import DecodeError, Failure
from featx.fingerprints import FINGERPRINT_BYTES, Fingerprints
from featx.images import ImageSet, Stored, fingerprint

DECODED = 1
"""Status of a row whose pixels are there."""
NO_TWIN = -1
"""Of an image whose bytes were not met before."""
AHEAD = 3
"""Batches that are decoded before they are asked for."""
ROWS_A_BATCH = 16
"""A batch ends after so many times its size in rows, even when most of them need no slot: it must not wait for ever."""


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
    """(size of every batch, height, width, 3): zeros behind the last image and where one failed."""
    slots: NDArray[np.int64]
    """(n,): where each row's pixels stand; -1 where it has none, as it failed or has a twin."""
    twins: NDArray[np.int64]
    """(n,): place of an image of equal bytes among the known fingerprints; -1 where there is none."""
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
    rows: Iterable[int],
    size: int,
    workers: int,
    max_pixels: int,
    clock: StageClock,
    known: Fingerprints | None = None,
) -> Iterator[Batch]:
    """Batches of `size` images in the order of `rows`, read and decoded ahead by `workers` threads.

    Every batch has pixels of the same shape, so that a row's feature does not depend on its neighbours. An image whose
    fingerprint is known takes no slot; every other one is added to `known`, in the order of `rows`.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="featx-decode") as pool:
        try:
            loads = _ordered(pool, _Reader(images, clock).read, rows, ahead=size)
            filler = _Filler(pool, _Decoder(card, max_pixels, clock), size, known)
            ahead: deque[_Filling] = deque()
            for filling in filler.fill(loads):
                ahead.append(filling)
                if len(ahead) == AHEAD:
                    yield ahead.popleft().finish()
            while ahead:
                yield ahead.popleft().finish()
        finally:
            pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Read:
    """One image as it came from its source, or why it did not."""

    row: int
    stored: Stored | None
    stat: tuple[int, int]
    fingerprint: bytes
    error: DecodeError | None = None


def _ordered(pool: Executor, read: Callable[[int], _Read], rows: Iterable[int], *, ahead: int) -> Iterator[_Read]:
    """The images of these rows in order, so many of them read before they are asked for."""
    reads: deque[Future[_Read]] = deque()
    for row in rows:
        reads.append(pool.submit(read, row))
        if len(reads) > ahead:
            yield reads.popleft().result()
    while reads:
        yield reads.popleft().result()


@dataclass(frozen=True)
class _Reader:
    """Reads images; called from several threads."""

    images: ImageSet
    clock: StageClock

    def read(self, row: int) -> _Read:
        """The image of this row."""
        nothing = bytes(FINGERPRINT_BYTES)
        stat = (0, 0)
        try:
            with self.clock.time("read"):
                stat = self.images.stat(row)
                stored = self.images.read(row)
                return _Read(row, stored, stat, fingerprint(stored))
        except OSError as error:
            missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
            failure = Failure.MISSING if missing else Failure.UNREADABLE
            return _Read(row, None, stat, nothing, DecodeError(failure, error.strerror or type(error).__name__))
        except MemoryError:
            return _Read(row, None, stat, nothing, DecodeError(Failure.NO_MEMORY))


@dataclass(frozen=True)
class _Decoder:
    """Decodes images into slots of batches; called from several threads, each slot by one."""

    card: Card
    max_pixels: int
    clock: StageClock

    def decode(self, stored: Stored, slot: NDArray[np.uint8]) -> DecodeError | None:
        """Fill the slot, or say why that failed."""
        try:
            with self.clock.time("decode"):
                slot[:] = decode_image(stored, self.card, max_pixels=self.max_pixels)
        except MemoryError:
            return DecodeError(Failure.NO_MEMORY)
        except DecodeError as error:
            return error
        return None


class _Filling:
    """A batch that is being filled."""

    def __init__(self, size: int, side: int) -> None:
        self.reads: list[_Read] = []
        self.twins: list[int] = []
        self.decodes: list[Future[DecodeError | None] | None] = []
        self.used = 0
        self.pixels = np.zeros((size, side, side, 3), np.uint8)

    def finish(self) -> Batch:
        """The batch, once its images are decoded."""
        errors = [
            read.error or (decode.result() if decode else None)
            for read, decode in zip(self.reads, self.decodes, strict=True)
        ]
        rows = np.array([read.row for read in self.reads], np.int64)
        decoded = np.array([decode is not None for decode in self.decodes])
        return Batch(
            rows,
            self.pixels,
            np.where(decoded, np.cumsum(decoded) - 1, -1),
            np.array(self.twins, np.int64),
            np.array([error.failure if error else DECODED for error in errors], np.uint8),
            np.frombuffer(b"".join(read.fingerprint for read in self.reads), np.uint8).reshape(-1, FINGERPRINT_BYTES),
            np.array([read.stat for read in self.reads], np.int64),
            {int(row): str(error) for row, error in zip(rows, errors, strict=True) if error},
        )


@dataclass
class _Filler:
    """Gives every image that needs one a slot in a batch, in order."""

    pool: Executor
    decoder: _Decoder
    size: int
    known: Fingerprints | None

    def fill(self, reads: Iterator[_Read]) -> Iterator[_Filling]:
        """Batches whose every slot is taken, the last one aside; their images may still be being decoded."""
        side = self.decoder.card.size
        filling = _Filling(self.size, side)
        for read in reads:
            self._place(read, filling)
            if filling.used == self.size or len(filling.reads) == self.size * ROWS_A_BATCH:
                yield filling
                filling = _Filling(self.size, side)
        if filling.reads:
            yield filling

    def _place(self, read: _Read, filling: _Filling) -> None:
        twin, decode = self._find_twin(read), None
        if read.stored is not None and twin == NO_TWIN:
            decode = self.pool.submit(self.decoder.decode, read.stored, filling.pixels[filling.used])
            filling.used += 1
        filling.twins.append(twin)
        filling.decodes.append(decode)
        filling.reads.append(replace(read, stored=None))

    def _find_twin(self, read: _Read) -> int:
        if self.known is None or read.stored is None:
            return NO_TWIN
        if (place := self.known.find(read.fingerprint)) is not None:
            return place
        self.known.add(read.fingerprint, read.row)
        return NO_TWIN
