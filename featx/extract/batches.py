"""ImageSet -> Batches, decoded ahead by threads within a bound; a failure rides along with its reason."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from queue import SimpleQueue
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from featx.backbones import Card
from featx.errors import DecodeError, Failure
from featx.inputs import (
    FINGERPRINT_BYTES,
    Fingerprints,
    ImageSet,
    Stored,
    decode_image,
    fingerprint,
)
from featx.settings import Decode

DECODED = 1
"""Status of a row whose pixels are there."""
NO_TWIN = -1
"""Of an image whose bytes were not met before."""
PIECE = 8
"""Images that a thread reads or decodes in one go, at most: a task of one image would cost as much as a small image."""
PIECE_BYTES = 2**17
"""Files of so many bytes are enough for one go: images that take long are shared out among the threads."""
BYTES_AHEAD = 2**28
"""Of images that are read and not yet decoded, about, however large they are."""
ROWS_A_BATCH = 16
"""Where twins take no slot, a batch ends after so many times its size in rows all the same, and waits no longer."""


STAGES = ("read", "decode", "infer", "write")
WAITS = ("await pixels", "await features", "await disk")


@dataclass
class StageClock:
    """Seconds of work in each stage, summed over threads, and seconds for which the flow stood waiting."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys((*STAGES, *WAITS), 0.0))
    cpu: dict[str, float] = field(default_factory=lambda: dict.fromkeys((*STAGES, *WAITS), 0.0))
    """The same, only while the thread that entered the stage had a core."""
    _lock: Lock = field(default_factory=Lock)
    _start: tuple[float, float] = field(default_factory=lambda: (time.perf_counter(), time.process_time()))
    elapsed: float = 0.0
    """Seconds from the making of the clock until it was stopped."""
    cpu_seconds: float = 0.0
    """Seconds that all threads of the process together had a core meanwhile."""

    def stop(self) -> None:
        """Note how long all has taken."""
        self.elapsed = time.perf_counter() - self._start[0]
        self.cpu_seconds = time.process_time() - self._start[1]

    @property
    def stages(self) -> dict[str, float]:
        """Seconds of work in read, decode, infer and write."""
        return {stage: round(self.seconds[stage], 3) for stage in STAGES}

    @property
    def bound_by(self) -> str:
        """The stage that the others wait for."""
        loading = max(("read", "decode"), key=self.seconds.__getitem__)
        stages = dict(zip((loading, "infer", "write"), WAITS, strict=True))
        return max(stages, key=lambda stage: self.seconds[stages[stage]])

    def time(self, stage: str) -> "_Stage":
        """A block whose time is added to this stage."""
        return _Stage(self, stage)

    def add(self, stage: str, *, seconds: float, cpu: float) -> None:
        """Add to the time of this stage."""
        with self._lock:
            self.seconds[stage] += seconds
            self.cpu[stage] += cpu


class _Stage:
    """A block of a stage: a class, as a generator takes several times as long and there are several an image."""

    __slots__ = ("_clock", "_cpu", "_stage", "_start")

    def __init__(self, clock: StageClock, stage: str) -> None:
        self._clock, self._stage = clock, stage

    def __enter__(self) -> None:
        self._start, self._cpu = time.perf_counter(), time.thread_time()

    def __exit__(self, *error: object) -> None:
        seconds, cpu = time.perf_counter() - self._start, time.thread_time() - self._cpu
        self._clock.add(self._stage, seconds=seconds, cpu=cpu)


@dataclass(frozen=True)
class Batch:
    """Images on their way: pixels for the model, and what is known of each row."""

    rows: NDArray[np.int64]
    """(n,): their rows in the image set."""
    pixels: NDArray[np.uint8]
    """(size of every batch, height, width, 3): zeros behind the last image and where one failed. Lent by the ring."""
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


class Ring:
    """Buffers in which batches are assembled, each used again once its batch was run."""

    def __init__(self, count: int, new: Callable[[], NDArray[np.uint8]]) -> None:
        self._left, self._new = count, new
        self._free: SimpleQueue[NDArray[np.uint8]] = SimpleQueue()

    def take(self) -> NDArray[np.uint8]:
        """A buffer that nobody uses, its content left over; waits for one where all are in use."""
        if self._left and self._free.empty():
            self._left -= 1
            return self._new()
        return self._free.get()

    def give_back(self, buffer: NDArray[np.uint8]) -> None:
        """Let the buffer be used for another batch."""
        self._free.put(buffer)


@dataclass(frozen=True)
class Loading:
    """How images are read and decoded."""

    card: Card
    workers: int
    """Threads that read and decode."""
    size: int
    """Images of a batch."""
    max_pixels: int
    decode: Decode
    clock: StageClock

    @property
    def ahead(self) -> int:
        """Batches that are being filled or wait to be run, so that every thread has something to decode meanwhile."""
        return 2 + 2 * self.workers * min(PIECE, self.size) // self.size


def iter_batches(
    images: ImageSet, loading: Loading, *, rows: Iterable[int], ring: Ring, known: Fingerprints | None = None
) -> Iterator[Batch]:
    """Batches of images in the order of `rows`, read and decoded ahead by threads.

    Every batch has pixels of the same shape, so that a row's feature does not depend on its neighbours; they lie in a
    buffer of the ring, which has `loading.ahead` buffers more than batches are held elsewhere, and is to be given back.
    An image whose fingerprint is known takes no slot; every other one is added to `known`, in the order of `rows`.
    """
    with ThreadPoolExecutor(loading.workers, thread_name_prefix="featx-decode") as pool:
        try:
            reads = _read_ahead(pool, images, loading, rows)
            filler = _Filler(pool, loading, ring, known)
            filled: deque[_Filling] = deque()
            for filling in filler.fill(reads):
                filled.append(filling)
                if len(filled) == loading.ahead - 1:
                    yield filled.popleft().finish(loading.clock)
            while filled:
                yield filled.popleft().finish(loading.clock)
        finally:
            pool.shutdown(cancel_futures=True)


class _About(NamedTuple):
    """What is known of one image before it is decoded."""

    row: int
    stat: tuple[int, int]
    fingerprint: bytes
    error: DecodeError | None = None


class _Read(NamedTuple):
    """One image as it came from its source, or why it did not."""

    stored: Stored | None
    about: _About


def _read_ahead(pool: Executor, images: ImageSet, loading: Loading, rows: Iterable[int]) -> Iterator[_Read]:
    """The images of these rows in order, some pieces of them read before they are asked for: fewer the larger they are.

    Over a network a piece is one image, as threads only wait then.
    """
    read = _Reader(images, loading.clock).read
    rows, count = iter(rows), 1 if images.source.remote else PIECE
    most = -(-loading.size // count) + loading.workers
    pieces, ahead = deque[Future[list[_Read]]](), loading.workers  # more, once it is known how large they are

    def _await() -> list[_Read]:
        with loading.clock.time("await pixels"):
            return pieces.popleft().result()

    while piece := list(islice(rows, count)):
        pieces.append(pool.submit(read, piece))
        while len(pieces) > ahead:
            done = _await()
            ahead = min(most, BYTES_AHEAD // (1 + sum(_bytes(one.stored) for one in done)))
            yield from done
    while pieces:
        yield from _await()


@dataclass(frozen=True)
class _Reader:
    """Reads images; called from several threads."""

    images: ImageSet
    clock: StageClock

    def read(self, rows: Sequence[int]) -> list[_Read]:
        """The images of these rows."""
        with self.clock.time("read"):
            return [self._read(row) for row in rows]

    def _read(self, row: int) -> _Read:
        nothing = bytes(FINGERPRINT_BYTES)
        stat = (0, 0)
        try:
            stat = self.images.stat(row)
            stored = self.images.read(row)
            return _Read(stored, _About(row, stat, fingerprint(stored)))
        except OSError as error:
            missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
            failure = Failure.MISSING if missing else Failure.UNREADABLE
            reason = DecodeError(failure, error.strerror or type(error).__name__)
            return _Read(None, _About(row, stat, nothing, reason))
        except MemoryError:
            return _Read(None, _About(row, stat, nothing, DecodeError(Failure.NO_MEMORY)))


def _bytes(stored: Stored | None) -> int:
    return stored.nbytes if isinstance(stored, np.ndarray) else len(stored or b"")


def _decode(images: Sequence[Stored], slots: NDArray[np.uint8], loading: Loading) -> list[DecodeError | None]:
    """Fill the slots, one an image; for each why that failed, or None."""
    with loading.clock.time("decode"):
        return [_decode_one(stored, slot, loading) for stored, slot in zip(images, slots, strict=True)]


def _decode_one(stored: Stored, slot: NDArray[np.uint8], loading: Loading) -> DecodeError | None:
    try:
        decode_image(stored, loading.card, max_pixels=loading.max_pixels, decode=loading.decode, out=slot)
    except (DecodeError, MemoryError) as error:
        slot[:] = 0
        return error if isinstance(error, DecodeError) else DecodeError(Failure.NO_MEMORY)
    return None


class _Filling:
    """A batch that is being filled."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self.pixels = pixels
        self.reads: list[_About] = []
        self.twins: list[int] = []
        self.slots: list[int] = []
        self.used = 0
        self.decodes: list[Future[list[DecodeError | None]]] = []

    def place(self, read: _Read, twin: int) -> bool:
        """Note the image; whether it took a slot, as it has no twin."""
        takes = read.stored is not None and twin == NO_TWIN
        self.reads.append(read.about)
        self.twins.append(twin)
        self.slots.append(self.used if takes else -1)
        self.used += takes
        return takes

    def finish(self, clock: StageClock) -> Batch:
        """The batch, once its images are decoded."""
        with clock.time("await pixels"):
            decoded = [error for decode in self.decodes for error in decode.result()]
        self.pixels[self.used :] = 0
        rows = np.array([read.row for read in self.reads], np.int64)
        errors = [
            read.error or (decoded[slot] if slot >= 0 else None)
            for read, slot in zip(self.reads, self.slots, strict=True)
        ]
        return Batch(
            rows,
            self.pixels,
            np.array(self.slots, np.int64),
            np.array(self.twins, np.int64),
            np.array([error.failure if error else DECODED for error in errors], np.uint8),
            np.frombuffer(b"".join(read.fingerprint for read in self.reads), np.uint8).reshape(-1, FINGERPRINT_BYTES),
            np.array([read.stat for read in self.reads], np.int64),
            {int(row): str(error) for row, error in zip(rows, errors, strict=True) if error},
        )


@dataclass
class _Filler:
    """Gives every image that needs one a slot in a batch, in order, and hands them over to be decoded in pieces."""

    pool: Executor
    loading: Loading
    ring: Ring
    known: Fingerprints | None
    _piece: list[Stored] = field(default_factory=list)
    _outstanding: deque[tuple[Future[list[DecodeError | None]], int]] = field(default_factory=deque)
    """Pieces that may still be being decoded, and their bytes."""
    _bytes: int = 0

    def fill(self, reads: Iterator[_Read]) -> Iterator[_Filling]:
        """Batches whose every slot is taken, the last one aside; their images may still be being decoded."""
        size, filling = self.loading.size, None
        rows = size if self.known is None else size * ROWS_A_BATCH
        for read in reads:
            filling = filling or _Filling(self.ring.take())
            if filling.place(read, self._find_twin(read)):
                self._piece.append(read.stored)  # type: ignore[arg-type]
            if filling.used == size or len(filling.reads) == rows:
                self._hand_over(filling)
                yield filling
                filling = None
            elif len(self._piece) == PIECE or sum(map(_bytes, self._piece)) >= PIECE_BYTES:
                self._hand_over(filling)
        if filling:
            self._hand_over(filling)
            yield filling

    def _hand_over(self, filling: _Filling) -> None:
        if not self._piece:
            return
        slots = filling.pixels[filling.used - len(self._piece) : filling.used]
        decode = self.pool.submit(_decode, self._piece, slots, self.loading)
        filling.decodes.append(decode)
        self._outstanding.append((decode, size := sum(map(_bytes, self._piece))))
        self._piece, self._bytes = [], self._bytes + size
        while self._outstanding and (self._bytes > BYTES_AHEAD or self._outstanding[0][0].done()):
            oldest, size = self._outstanding.popleft()
            oldest.result()
            self._bytes -= size

    def _find_twin(self, read: _Read) -> int:
        if self.known is None or read.stored is None:
            return NO_TWIN
        about = read.about
        if (place := self.known.find(about.fingerprint)) is not None:
            return place
        self.known.add(about.fingerprint, about.row)
        return NO_TWIN
