"""Fingerprints of images: which earlier image has the same bytes."""

from array import array

import numpy as np
from numpy.typing import NDArray

FINGERPRINT_BYTES = 16


class Fingerprints:
    """Finds the place of the image with the same bytes, in 32 bytes a known image and about 21 one to come.

    The first places are those of the images known from the start, (n, 16); behind them stand the rows of an image set.
    """

    def __init__(self, known: NDArray[np.uint8], *, rows: int, to_come: int) -> None:
        self._known = np.ascontiguousarray(known)
        keys = self._known.view(np.uint64)[:, 0] if len(known) else np.empty(0, np.uint64)
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]
        # zeros that nobody wrote to take no memory
        self._marks = np.zeros(FINGERPRINT_BYTES * rows, np.uint8).data
        self._table = array("I", [0]) * (1 << max(to_come + to_come // 4, 1).bit_length())

    def find(self, mark: bytes) -> int | None:
        """Place of the first image with this fingerprint, or None where there is none."""
        if len(self._known) and (known := self._find_known(mark)) is not None:
            return known
        number = self._table[self._slot(mark)]
        return len(self._known) + number - 1 if number else None

    def add(self, mark: bytes, row: int) -> None:
        """Remember the image in this row of the image set."""
        self._marks[FINGERPRINT_BYTES * row : FINGERPRINT_BYTES * (row + 1)] = mark
        self._table[self._slot(mark)] = row + 1

    def _find_known(self, mark: bytes) -> int | None:
        key = np.frombuffer(mark, np.uint64)[0]
        start, stop = np.searchsorted(self._keys, key, "left"), np.searchsorted(self._keys, key, "right")
        return next((int(place) for place in self._order[start:stop] if self._known[place].tobytes() == mark), None)

    def _slot(self, mark: bytes) -> int:
        """The slot that holds this fingerprint, or the empty one in which it belongs: open addressing."""
        mask = len(self._table) - 1
        slot = int.from_bytes(mark[:8], "little") & mask
        while (number := self._table[slot]) and self._mark(number - 1) != mark:
            slot = (slot + 1) & mask
        return slot

    def _mark(self, row: int) -> memoryview:
        return self._marks[FINGERPRINT_BYTES * row : FINGERPRINT_BYTES * (row + 1)]
