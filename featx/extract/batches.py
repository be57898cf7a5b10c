"""Reads and decodes images ahead, by threads, into batches for the model; an image that fails keeps its row."""

import errno
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from featx.errors import DecodeError, Failure
from featx.extract.budget import ByteBudget
from featx.extract.clock import StageClock
from featx.inputs import FINGERPRINT_BYTES, Fingerprints, ImageSet, PixelSpec, Stored, decode_views, fingerprint
from featx.settings import LARGEST_IMAGE, Decode

DECODED = 1
"""Status of a row whose image was decoded."""
NO_DUPLICATE = -1
"""Value of `duplicate_of` for an image whose bytes are new."""
NO_SLOT = -1
"""Value of `slots` for an image that failed or is a duplicate."""
PIECE = 8
"""Most images that a thread reads or decodes in one task: to start a task takes as long as to decode a small image."""
PIECE_BYTES = 2**17
"""A task takes no further image once it has this many bytes, so that slow images are spread over the threads."""
BYTES_AHEAD = 2**28
"""Most bytes of images that are read but not yet decoded, whatever their sizes, besides the image that is next."""
UNKNOWN_BYTES = 2**25
"""Bytes that are set aside for an image of unknown size: some web servers do not send it."""
EXHAUSTED = (errno.EMFILE, errno.ENFILE)
"""Too many files are open: an error that ends the run, as it is no fault of the image."""
ROWS_PER_SLOT = 16
"""A batch ends after this many rows per slot, so that it ends even if all images are duplicates, which take no slot."""


@dataclass(frozen=True, kw_only=True)
class ImageRows:
    """n rows of an image set, and what is known about their images after they were read."""

    rows: NDArray[np.int64]
    """(n,): rows of the image set."""
    duplicate_of: NDArray[np.int64]
    """(n,): number, among the known fingerprints, of an image with equal bytes; NO_DUPLICATE (-1) if there is none."""
    status: NDArray[np.uint8]
    """(n,): 1, or a code of errors.Failure."""
    fingerprint: NDArray[np.uint8]
    """(n, 16)."""
    stat: NDArray[np.int64]
    """(n, 2): size in bytes, time of change in nanoseconds."""
    details: dict[int, str]
    """Row of the image set -> why it failed, in full."""


@dataclass(frozen=True, kw_only=True)
class Batch(ImageRows):
    """Images for one run of the model, and their pixels."""

    pixels: NDArray[np.uint8]
    """(size of every batch, height, width, 3): zeros for failed images and after the last one; a buffer of the ring."""
    slots: NDArray[np.int64]
    """(n,): slot of each row, with a place in `pixels` for each view; NO_SLOT (-1): it failed or is a duplicate."""


class Ring:
    """Buffers for the pixels of batches, each of which is used again after the model has run on its batch."""

    def __init__(self, count: int, new: Callable[[], NDArray[np.uint8]]) -> None:
        self._left = count
        self._new = new
        self._free: SimpleQueue[NDArray[np.uint8]] = SimpleQueue()

    def take(self) -> NDArray[np.uint8]:
        """A free buffer, with its old contents; waits for one if all are in use."""
        if self._left and self._free.empty():
            self._left -= 1
            return self._new()
        return self._free.get()

    def give_back(self, buffer: NDArray[np.uint8]) -> None:
        """Mark the buffer as free for another batch."""
        self._free.put(buffer)


@dataclass(frozen=True)
class Loading:
    """How images are read and decoded."""

    spec: PixelSpec
    """How an image becomes the numbers that the model takes."""
    workers: int
    """Number of threads that read and decode."""
    size: int
    """Number of images in a batch."""
    max_pixels: int
    decode: Decode
    views: tuple[str, ...]
    """Names of the views of each image."""
    clock: StageClock

    @property
    def ahead(self) -> int:
        """Number of batches that are being filled or wait for the model, so that every thread has images to decode."""
        return 2 + 2 * self.workers * min(PIECE, self.size) // self.size


def iter_batches(
    images: ImageSet, loading: Loading, *, rows: Iterable[int], ring: Ring, known: Fingerprints | None = None
) -> Iterator[Batch]:
    """Batches of images in the order of `rows`, read and decoded ahead by threads.

    The pixels of all batches have the same shape, so that a feature does not depend on the other images. They are in a
    buffer of the ring, which the caller gives back; the ring needs `loading.ahead` buffers more than the caller keeps.
    An image whose fingerprint is in `known` takes no slot; all others are added to `known`, in the order of `rows`.
    """
    with ThreadPoolExecutor(loading.workers, thread_name_prefix="featx-decode") as pool:
        try:
            budget = ByteBudget(BYTES_AHEAD)
            reads = _ReadAhead(pool, _Reader(images, loading.clock, budget), loading).read(rows)
            filler = _BatchFiller(pool, loading, ring, known, budget)
            filled: deque[_OpenBatch] = deque()
            for batch in filler.fill(reads):
                filled.append(batch)
                if len(filled) == loading.ahead - 1:
                    yield filled.popleft().finish(loading.clock)
            while filled:
                yield filled.popleft().finish(loading.clock)
        finally:
            pool.shutdown(cancel_futures=True)


class _ImageFacts(NamedTuple):
    """What is known about one image before it is decoded."""

    row: int
    stat: tuple[int, int]
    fingerprint: bytes
    error: DecodeError | None = None


class _Read(NamedTuple):
    """One image as it is stored, or None if reading failed, and what is known about it."""

    stored: Stored | None
    facts: _ImageFacts


class _Reads(NamedTuple):
    """The images that a task has read, and the rows that it left, as there was no room for the next image."""

    images: list[_Read]
    left: Sequence[int] = ()
    needed: int = 0
    """Bytes of the image in the first row that is left."""


class _ReadAhead:
    """Reads images by tasks that are submitted ahead, fewer if the images are large.

    Over a network each task reads only one image, as its thread mostly waits.
    """

    def __init__(self, pool: Executor, reader: "_Reader", loading: Loading) -> None:
        self._pool = pool
        self._reader = reader
        self._clock = loading.clock
        self._count = 1 if reader.images.source.remote else PIECE
        self._most = -(-loading.size // self._count) + loading.workers
        self._ahead = loading.workers  # until the size of the images is known
        self._tasks = deque[Future[_Reads]]()

    def read(self, rows: Iterable[int]) -> Iterator[_Read]:
        """Yields the images of these rows, in order."""
        rows = iter(rows)
        while piece := list(islice(rows, self._count)):
            self._tasks.append(self._pool.submit(self._reader.read, piece))
            while len(self._tasks) > self._ahead:
                yield from self._finish()
        while self._tasks:
            yield from self._finish()

    def _finish(self) -> Iterator[_Read]:
        """Yields the images of the oldest task; those that it left are read now, each as soon as there is room."""
        done = self._await(self._tasks.popleft())
        size = done.needed + sum(_bytes(read.stored) for read in done.images)
        self._ahead = min(self._most, BYTES_AHEAD // 2 // (1 + size))
        yield from _iter_freeing(done.images)
        while done.left:
            with self._clock.time("await pixels"):
                self._reader.budget.wait(done.needed)
            done = self._await(self._pool.submit(self._reader.read, done.left, is_next=True))
            yield from _iter_freeing(done.images)

    def _await(self, task: Future[_Reads]) -> _Reads:
        with self._clock.time("await pixels"):
            return task.result()


def _iter_freeing(images: list[_Read]) -> Iterator[_Read]:
    """Yields the images and empties the list, so that nothing keeps an image in memory once it is decoded."""
    images.reverse()
    while images:
        yield images.pop()


@dataclass(frozen=True)
class _Reader:
    """Reads images; called from several threads."""

    images: ImageSet
    clock: StageClock
    budget: ByteBudget

    def read(self, rows: Sequence[int], *, is_next: bool = False) -> _Reads:
        """The images of these rows up to one for which too few bytes are left, unless it is the first and `is_next`."""
        with self.clock.time("read"):
            found: list[_Read] = []
            for place, row in enumerate(rows):
                read = self._read(row, in_any_case=is_next and not place)
                if isinstance(read, int):
                    return _Reads(found, rows[place:], read)
                found.append(read)
            return _Reads(found)

    def _read(self, row: int, *, in_any_case: bool) -> _Read | int:
        """The image of this row, or its size in bytes if that is more than what is left."""
        stat = (0, 0)
        taken = 0
        try:
            stat = self.images.stat(row)
            size = self._expected_bytes(stat[0])
            if in_any_case:
                self.budget.adjust(size)
            elif not self.budget.take(size):
                return size
            taken = size
            stored = self.images.read(row)
            if more := _bytes(stored) - taken:
                self.budget.adjust(more)
                taken += more
            return _Read(stored, _ImageFacts(row, stat, fingerprint(stored)))
        except (OSError, MemoryError) as error:
            self.budget.adjust(-taken)
            if isinstance(error, OSError) and error.errno in EXHAUSTED:
                raise
            return _Read(None, _ImageFacts(row, stat, bytes(FINGERPRINT_BYTES), _why_unread(error)))

    def _expected_bytes(self, size: int) -> int:
        """Bytes that the image will take, by the size that was found; 0 if that is not its own. Raises OSError."""
        if not self.images.source.sized:
            return 0
        if size > LARGEST_IMAGE:
            raise OSError(errno.EFBIG, f"{size >> 20} MB, above the limit of {LARGEST_IMAGE >> 20} MB")
        return UNKNOWN_BYTES if not size and self.images.source.remote else size


def _why_unread(error: OSError | MemoryError) -> DecodeError:
    """The error for an image that could not be read."""
    if isinstance(error, MemoryError):
        return DecodeError(Failure.NO_MEMORY)
    detail = error.strerror or type(error).__name__
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return DecodeError(Failure.MISSING, detail)
    return DecodeError(Failure.TOO_LARGE if error.errno == errno.EFBIG else Failure.UNREADABLE, detail)


def _bytes(stored: Stored | None) -> int:
    return stored.nbytes if isinstance(stored, np.ndarray) else len(stored or b"")


def _decode(
    images: list[Stored], slots: NDArray[np.uint8], loading: Loading, budget: ByteBudget
) -> list[DecodeError | None]:
    """Decode each image into its slot (views, h, w, 3), and free its bytes; returns each one's error, or None."""
    size = sum(map(_bytes, images))
    try:
        with loading.clock.time("decode"):
            return [_decode_one(stored, slot, loading) for stored, slot in zip(images, slots, strict=True)]
    finally:
        images.clear()
        budget.end(size)


def _decode_one(stored: Stored, slot: NDArray[np.uint8], loading: Loading) -> DecodeError | None:
    try:
        spec = loading.spec
        decode_views(stored, spec, loading.views, max_pixels=loading.max_pixels, decode=loading.decode, out=slot)
    except DecodeError as error:
        slot[:] = 0
        error.__cause__ = error.__context__ = None  # their tracebacks keep the image in memory
        return error.with_traceback(None)
    except MemoryError:
        slot[:] = 0
        return DecodeError(Failure.NO_MEMORY)
    return None


class _OpenBatch:
    """A batch that is being filled."""

    def __init__(self, pixels: NDArray[np.uint8], loading: Loading) -> None:
        self.pixels = pixels
        self.views = len(loading.views)
        taken = pixels[: loading.size * self.views]
        self.open_slots = taken.reshape(loading.size, self.views, *pixels.shape[1:])
        self.facts: list[_ImageFacts] = []
        self.duplicate_of: list[int] = []
        self.slots: list[int] = []
        self.used = 0
        self.decodes: list[Future[list[DecodeError | None]]] = []

    def place(self, read: _Read, duplicate_of: int) -> bool:
        """Add the image; returns whether it takes a slot: it does if it was read and is not a duplicate."""
        takes_slot = read.stored is not None and duplicate_of == NO_DUPLICATE
        self.facts.append(read.facts)
        self.duplicate_of.append(duplicate_of)
        self.slots.append(self.used if takes_slot else NO_SLOT)
        self.used += takes_slot
        return takes_slot

    def finish(self, clock: StageClock) -> Batch:
        """The batch; waits until its images are decoded."""
        with clock.time("await pixels"):
            decoded = [error for decode in self.decodes for error in decode.result()]
        self.pixels[self.used * self.views :] = 0
        rows = np.array([facts.row for facts in self.facts], np.int64)
        fingerprints = np.frombuffer(b"".join(facts.fingerprint for facts in self.facts), np.uint8)
        errors = [
            facts.error or (decoded[slot] if slot != NO_SLOT else None)
            for facts, slot in zip(self.facts, self.slots, strict=True)
        ]
        return Batch(
            rows=rows,
            duplicate_of=np.array(self.duplicate_of, np.int64),
            status=np.array([error.failure if error else DECODED for error in errors], np.uint8),
            fingerprint=fingerprints.reshape(-1, FINGERPRINT_BYTES),
            stat=np.array([facts.stat for facts in self.facts], np.int64),
            details={int(row): str(error) for row, error in zip(rows, errors, strict=True) if error},
            pixels=self.pixels,
            slots=np.array(self.slots, np.int64),
        )


@dataclass
class _BatchFiller:
    """Assigns images to the slots of batches, in order, and submits them for decoding in pieces."""

    pool: Executor
    loading: Loading
    ring: Ring
    known: Fingerprints | None
    budget: ByteBudget
    _piece: list[Stored] = field(default_factory=list)

    def fill(self, reads: Iterator[_Read]) -> Iterator[_OpenBatch]:
        """Yields batches that take no further images; some of their images may not be decoded yet."""
        size = self.loading.size
        rows = size if self.known is None else size * ROWS_PER_SLOT
        batch = None
        for read in reads:
            batch = batch or _OpenBatch(self.ring.take(), self.loading)
            if batch.place(read, self._find_duplicate(read)):
                self._piece.append(read.stored)  # type: ignore[arg-type]
            elif read.stored is not None:
                self.budget.adjust(-_bytes(read.stored))
            if batch.used == size or len(batch.facts) == rows:
                self._submit(batch)
                yield batch
                batch = None
            elif len(self._piece) == PIECE or sum(map(_bytes, self._piece)) >= PIECE_BYTES:
                self._submit(batch)
        if batch:
            self._submit(batch)
            yield batch

    def _submit(self, batch: _OpenBatch) -> None:
        """Submit the piece for decoding."""
        if not self._piece:
            return
        slots = batch.open_slots[batch.used - len(self._piece) : batch.used]
        self.budget.begin()
        batch.decodes.append(self.pool.submit(_decode, self._piece, slots, self.loading, self.budget))
        self._piece = []

    def _find_duplicate(self, read: _Read) -> int:
        """Number of a known image with equal bytes; if there is none, the image itself becomes known."""
        if self.known is None or read.stored is None:
            return NO_DUPLICATE
        facts = read.facts
        number = self.known.find(facts.fingerprint)
        if number is not None:
            return number
        self.known.add(facts.fingerprint, facts.row)
        return NO_DUPLICATE
