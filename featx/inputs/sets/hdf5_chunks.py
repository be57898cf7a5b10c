"""Checks compressed chunks of HDF5 files before HDF5 inflates them, which it does without any limit.

A chunk of a megabyte may become a gigabyte, whatever the shape of the dataset is.
"""

import errno
import math
import zlib
from itertools import product
from typing import Any

LARGEST_CHUNK = 1 << 30
"""Most bytes of the chunks that are read for one image, or of one chunk of a column."""
_DEFLATE = 1
_CHECKSUM = 3
_COUNTING = (5, 6)
"""Numbers of HDF5's filters; those of n-bit and of scale-offset trust the number and size of values that they store."""
_MOST_RATIO = 1032
"""Largest number of bytes that one compressed byte can become."""
_REMEMBERED = 16
"""Number of rows of chunks that are not checked again, as chunks of several images are read image by image."""
_PIECE = 1 << 20
"""Bytes that are inflated at once."""


def why_unbounded(dataset: Any) -> str | None:
    """Why the size of its chunks cannot be checked, and the next step; None if it can."""
    filters = _filters(dataset)
    numbers = [number for number, _ in filters]
    behind = numbers[numbers.index(_DEFLATE) + 1 :] if _DEFLATE in numbers else []
    if {*behind} - {_CHECKSUM}:
        return "it is compressed more than once; write it with one compression"
    counted = (math.prod(dataset.chunks or ()), dataset.dtype.itemsize)
    if any(number in _COUNTING and (*values[2:3], *values[4:5]) != counted for number, values in filters):
        return "its filter counts other values than its chunks have; write it again"
    return None


def _filters(dataset: Any) -> list[tuple[int, tuple[int, ...]]]:
    """Number and values of the filters through which chunks are written, in order."""
    properties = dataset.id.get_create_plist()
    found = [properties.get_filter(place) for place in range(properties.get_nfilters())]
    return [(number, values) for number, _, values, _ in found]


class Chunks:
    """The chunks of a dataset, of which those with some rows are checked before they are read."""

    def __init__(self, dataset: Any, *, rows: int) -> None:
        self._dataset = dataset
        self._rows = rows
        """Number of rows that are read at once."""
        self._largest = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
        count = max(1, math.prod(map(len, self._places(0))))
        self._most = _REMEMBERED * count
        self._sound: set[tuple[int, ...]] = set()
        """Offsets of the chunks that were checked last."""
        self._harmless = LARGEST_CHUNK // (_MOST_RATIO * count)
        """Bytes of a stored chunk up to which all chunks that are read at once cannot become too large."""
        self._suspicious = self._has_large()

    def check(self, row: int) -> None:
        """Raise OSError if a chunk with a part of the rows from this one on is larger than its shape says."""
        if self._suspicious:
            for place in product(*self._places(row)):
                if place not in self._sound:
                    self._check(place)
                    self._remember(place)

    def _remember(self, place: tuple[int, ...]) -> None:
        """Check this chunk no more for a while; no cache of functools, which would keep the file open in a circle."""
        if len(self._sound) >= self._most:
            self._sound.clear()
        self._sound.add(place)

    def _places(self, row: int) -> list[range]:
        """For each axis, the offsets of the chunks with a part of the rows from this one on."""
        if not self._dataset.chunks:
            return []
        first, *others = self._dataset.chunks
        stop = min(row + self._rows, len(self._dataset))
        sides = zip(self._dataset.shape[1:], others, strict=True)
        return [range(row - row % first, stop, first), *(range(0, side, step) for side, step in sides)]

    def _has_large(self) -> bool:
        """Whether any compressed chunk is stored in more than the harmless number of bytes."""
        if _DEFLATE not in [number for number, _ in _filters(self._dataset)]:
            return False
        return bool(self._dataset.id.chunk_iter(lambda chunk: chunk.size > self._harmless or None))

    def _check(self, place: tuple[int, ...]) -> None:
        _, data = self._dataset.id.read_direct_chunk(place)
        if len(data) > self._harmless and _inflates_beyond(data, self._largest):
            raise OSError(errno.EFBIG, f"a compressed chunk of more than the {self._largest} bytes of its shape")


def _inflates_beyond(data: bytes, most: int) -> bool:
    """Whether the data inflate to more bytes than these, without keeping them; damage is left to HDF5."""
    inflating = zlib.decompressobj()
    size = 0
    try:
        while data and not inflating.eof and size <= most:
            size += len(inflating.decompress(data, _PIECE))
            data = inflating.unconsumed_tail
    except zlib.error:
        return False
    return size > most
