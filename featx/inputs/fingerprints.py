"""Finds images with equal bytes by their fingerprints."""

from array import array

import numpy as np
from numpy.typing import NDArray

FINGERPRINT_BYTES = 16


class Fingerprints:
    """Finds the first image with the same fingerprint.

    Images have numbers: 0 to n - 1 for those that are `known` from the start, by their fingerprints (n, 16); n + row
    for those of an image set of `rows` images, of which at most `to_come` are added. Takes 32 bytes of memory per known
    image and about 21 per image to come.
    """

    def __init__(self, known: NDArray[np.uint8], *, rows: int, to_come: int) -> None:
        self._known = np.ascontiguousarray(known)
        keys = self._known.view(np.uint64)[:, 0] if len(known) else np.empty(0, np.uint64)
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]
        # pages of zeros that are never written to take no memory
        self._added = np.zeros(FINGERPRINT_BYTES * rows, np.uint8).data
        self._table = array("I", [0]) * (1 << max(to_come + to_come // 4, 1).bit_length())

    def find(self, fingerprint: bytes) -> int | None:
        """Number of the first image with this fingerprint, or None if there is none."""
        if len(self._known) and (known := self._find_known(fingerprint)) is not None:
            return known
        entry = self._table[self._slot(fingerprint)]
        return len(self._known) + entry - 1 if entry else None

    def add(self, fingerprint: bytes, row: int) -> None:
        """Add the image in this row of the image set."""
        self._of_row(row)[:] = fingerprint
        self._table[self._slot(fingerprint)] = row + 1

    def _find_known(self, fingerprint: bytes) -> int | None:
        key = np.frombuffer(fingerprint, np.uint64)[0]
        start = np.searchsorted(self._keys, key, "left")
        stop = np.searchsorted(self._keys, key, "right")
        equal = (int(number) for number in self._order[start:stop] if self._known[number].tobytes() == fingerprint)
        return next(equal, None)

    def _slot(self, fingerprint: bytes) -> int:
        """The slot of this fingerprint in the hash table, or the empty slot for it (open addressing)."""
        mask = len(self._table) - 1
        slot = int.from_bytes(fingerprint[:8], "little") & mask
        while (entry := self._table[slot]) and self._of_row(entry - 1) != fingerprint:
            slot = (slot + 1) & mask
        return slot

    def _of_row(self, row: int) -> memoryview:
        """The fingerprint of this row of the image set."""
        return self._added[FINGERPRINT_BYTES * row : FINGERPRINT_BYTES * (row + 1)]
