"""Writes batches of features to the cache; a duplicate gets the feature that exists already."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from featx.cache import DONE, CacheWriter, ComputedRows, feature_path
from featx.errors import failure_text
from featx.extract.batches import NO_DUPLICATE
from featx.extract.duplicates import KnownImages
from featx.extract.streaming import FeatureBatch


@dataclass
class Recorder:
    """Writes batches in order, counts duplicates, and keeps why images failed."""

    writer: CacheWriter
    known: KnownImages
    reasons: dict[int, tuple[int, str]] = field(default_factory=dict)
    """Row of the image set -> the code of its failure, and the reason in full."""
    duplicates: int = 0
    """Number of images that have the bytes of another image of this run."""
    recognised: int = 0
    """Number of images whose bytes were recognised in a previous cache, under any name."""

    def write(self, batch: FeatureBatch) -> None:
        """Write the computed rows, then the duplicates with the features that exist already. Raises CacheError."""
        computed = batch.duplicate_of == NO_DUPLICATE
        self._append(batch, np.flatnonzero(computed), batch.status[computed], batch.features[computed])
        duplicates = np.flatnonzero(~computed)
        if len(duplicates):
            self.writer.flush()  # their features may be in rows that it has buffered
            places, in_this_run = self.known.locate(batch.duplicate_of[duplicates])
            self.duplicates += int(in_this_run.sum())
            self.recognised += int((~in_this_run).sum())
            self._copy_reasons(batch.rows[duplicates[in_this_run]], places[in_this_run, 1])
            self._append(batch, duplicates, self._status(batch.rows[duplicates]), self._features(places))

    def _append(
        self, batch: FeatureBatch, chosen: NDArray[np.int64], status: NDArray[np.uint8], features: NDArray[np.float32]
    ) -> None:
        rows = batch.rows[chosen]
        for row, code in zip(rows[status != DONE].tolist(), status[status != DONE].tolist(), strict=True):
            self.reasons.setdefault(row, (code, batch.details.get(row, failure_text(code))))
        if len(rows):
            self.writer.append(ComputedRows(rows, features, status, batch.fingerprint[chosen], batch.stat[chosen]))

    def _copy_reasons(self, rows: NDArray[np.int64], originals: NDArray[np.int64]) -> None:
        """Give these rows the reason for which their originals, rows of this run, failed."""
        for row, original in zip(rows.tolist(), originals.tolist(), strict=True):
            if original in self.reasons:
                self.reasons[row] = self.reasons[original]

    def _status(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.array([self.reasons[row][0] if row in self.reasons else DONE for row in rows.tolist()], np.uint8)

    def _features(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, views, sum of dimensions): the features at these places (n, 2), each a cache and a row in it."""
        into = self.known.caches[0]
        features = np.empty((len(places), len(into.views), sum(into.outputs.values())), np.float32)
        for number, cache in enumerate(self.known.caches):
            here = np.flatnonzero(places[:, 0] == number)
            parts = [cache.read(path, places[here, 1]) for path in map(feature_path, cache.outputs)]
            features[here] = np.concatenate(parts, axis=-1).reshape(len(here), *features.shape[1:])
        return features
