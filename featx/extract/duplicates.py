"""Images whose bytes are known: their features are taken from a cache or from an earlier row of the same run."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featx.cache import (
    DONE,
    PENDING,
    Cache,
    KeptRows,
)
from featx.extract.resuming import PreviousCache
from featx.inputs import Fingerprints


class IntactFingerprints(Fingerprints):
    """Fingerprints of images in caches, found only while their rows are intact, and of images of this run."""

    def __init__(self, caches: Sequence[Cache], places: NDArray[np.int64], *, to_come: int) -> None:
        self._caches = caches
        self._places = places
        marks = [
            cache.read("images/fingerprint", places[places[:, 0] == number, 1]) for number, cache in enumerate(caches)
        ]
        super().__init__(np.concatenate(marks), rows=caches[0].images, to_come=to_come)

    def find(self, mark: bytes) -> int | None:
        """Place of the first image with this fingerprint, or None if there is none whose row can be copied."""
        place = super().find(mark)
        if place is None or place >= len(self._places):
            return place
        number, row = self._places[place]
        return place if self._caches[number].intact(np.array([row]))[0] else None


@dataclass(frozen=True)
class KnownImages:
    """Fingerprints of known images, and where their features are: in a cache, or in a row of this run."""

    fingerprints: IntactFingerprints
    caches: tuple[Cache, ...]
    """The cache that is being written, then the previous ones."""
    places: NDArray[np.int64]
    """(k, 2): cache and row of every image that was known before this run."""
    pending: int
    """Number of rows that this run computes."""

    def locate(self, known: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Cache and row (m, 2) of these places among the fingerprints, and which of them are rows of this run (m,)."""
        start = len(self.places)
        in_this_run = known >= start
        places = np.zeros((len(known), 2), np.int64)
        places[in_this_run, 1] = known[in_this_run] - start
        places[~in_this_run] = self.places[known[~in_this_run]]
        return places, in_this_run


def find_known_images(previous: Sequence[PreviousCache], kept: Sequence[KeptRows], into: Cache) -> KnownImages:
    """The images that are known before the run, each with a feature that stays where it is during the run.

    They are the rows that the cache to be written has already, and the finished rows of other caches that were not
    kept.
    """
    caches = [into]
    rows = [np.flatnonzero(into.status == DONE)]
    for one, own in zip(previous, kept, strict=True):
        if one.cache is not into:
            caches.append(one.cache)
            rows.append(np.setdiff1d(np.flatnonzero(one.cache.status == DONE), own.old))
    places = np.concatenate([np.stack([np.full(len(own), number), own], axis=1) for number, own in enumerate(rows)])
    pending = int(np.count_nonzero(into.status == PENDING))
    return KnownImages(IntactFingerprints(caches, places, to_come=pending), tuple(caches), places, pending)
