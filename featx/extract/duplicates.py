"""Finds images whose bytes are known: their features are in a cache, or in an earlier row of the same run."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featx.cache import DONE, PENDING, Cache, KeptRows
from featx.extract.resuming import PreviousCache
from featx.inputs import Fingerprints


class IntactFingerprints(Fingerprints):
    """Fingerprints of images in caches, found only while their rows are intact, and of images of this run."""

    def __init__(self, caches: Sequence[Cache], places: NDArray[np.int64], *, to_come: int) -> None:
        self._caches = caches
        self._places = places
        known = [
            cache.read("images/fingerprint", places[places[:, 0] == index, 1]) for index, cache in enumerate(caches)
        ]
        super().__init__(np.concatenate(known), rows=caches[0].images, to_come=to_come)

    def find(self, fingerprint: bytes) -> int | None:
        """Number of the first image with this fingerprint; None if there is none, or if its row is damaged."""
        number = super().find(fingerprint)
        if number is None or number >= len(self._places):
            return number
        cache, row = self._places[number]
        return number if self._caches[cache].intact(np.array([row]))[0] else None


@dataclass(frozen=True)
class KnownImages:
    """Fingerprints of known images, and where their features are: in a cache, or in a row of this run."""

    fingerprints: IntactFingerprints
    caches: tuple[Cache, ...]
    """The cache that is being written, then the previous ones."""
    places: NDArray[np.int64]
    """(k, 2): index of the cache, and row in it, of every image that was known before this run."""
    pending: int
    """Number of rows that this run computes."""

    def locate(self, known: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Cache and row (m, 2) of the images with these numbers, and which of them are images of this run (m,)."""
        start = len(self.places)
        in_this_run = known >= start
        places = np.zeros((len(known), 2), np.int64)
        places[in_this_run, 1] = known[in_this_run] - start
        places[~in_this_run] = self.places[known[~in_this_run]]
        return places, in_this_run


def find_known_images(previous: Sequence[PreviousCache], kept: Sequence[KeptRows], into: Cache) -> KnownImages:
    """The images whose features are known before the run; each feature stays where it is during the run.

    They are those in finished rows of the cache `into`, and of other caches if the row was not copied into this one.
    """
    caches = [into]
    rows = [np.flatnonzero(into.status == DONE)]
    for source, copied in zip(previous, kept, strict=True):
        if source.cache is not into:
            caches.append(source.cache)
            rows.append(np.setdiff1d(np.flatnonzero(source.cache.status == DONE), copied.old))
    places = np.concatenate([np.stack([np.full(len(own), index), own], axis=1) for index, own in enumerate(rows)])
    pending = int(np.count_nonzero(into.status == PENDING))
    return KnownImages(IntactFingerprints(caches, places, to_come=pending), tuple(caches), places, pending)
