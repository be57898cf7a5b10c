"""Batches of features in; rows of the cache out, those of equal bytes taken from where they were written before."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from featx.cache import (
    DONE,
    CacheWriter,
    Rows,
    feature_path,
)
from featx.errors import failure_text
from featx.extract.batches import NO_TWIN
from featx.extract.resuming import Twins
from featx.extract.streaming import FeatureBatch


@dataclass
class Recorder:
    """Writes batches in order, and remembers what became of their rows."""

    writer: CacheWriter
    twins: Twins
    reasons: dict[int, tuple[int, str]] = field(default_factory=dict)
    """Row of the image set -> code, and why it failed, in full."""
    duplicates: int = 0
    """Images whose bytes are those of another image of this run."""
    recognised: int = 0
    """Images whose bytes an earlier run has met, under whatever name."""

    def write(self, batch: FeatureBatch) -> None:
        """Write the rows that were computed, then those that take what is there of equal bytes. Raises CacheError."""
        alone = batch.twins == NO_TWIN
        self._append(batch, np.flatnonzero(alone), batch.status[alone], batch.features[alone])
        if len(twins := np.flatnonzero(~alone)):
            self.writer.flush()  # twins may lie among the rows that it gathers
            located, fresh = self.twins.locate(batch.twins[twins])
            self.duplicates += int(fresh.sum())
            self.recognised += int((~fresh).sum())
            self._inherit(batch.rows[twins[fresh]], located[fresh, 1])
            self._append(batch, twins, self._status(batch.rows[twins]), self._features(located))

    def _append(
        self, batch: FeatureBatch, chosen: NDArray[np.int64], status: NDArray[np.uint8], features: NDArray[np.float32]
    ) -> None:
        rows = batch.rows[chosen]
        for row, code in zip(rows[status != DONE].tolist(), status[status != DONE].tolist(), strict=True):
            self.reasons.setdefault(row, (code, batch.details.get(row, failure_text(code))))
        if len(rows):
            self.writer.append(Rows(rows, features, status, batch.fingerprint[chosen], batch.stat[chosen]))

    def _inherit(self, rows: NDArray[np.int64], firsts: NDArray[np.int64]) -> None:
        """The twin of an image that failed in this run fails for the same reason."""
        for row, first in zip(rows.tolist(), firsts.tolist(), strict=True):
            if first in self.reasons:
                self.reasons[row] = self.reasons[first]

    def _status(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.array([self.reasons[row][0] if row in self.reasons else DONE for row in rows.tolist()], np.uint8)

    def _features(self, located: NDArray[np.int64]) -> NDArray[np.float32]:
        width = sum(self.twins.caches[0].outputs.values())
        features = np.empty((len(located), width), np.float32)
        for place, cache in enumerate(self.twins.caches):
            mine = np.flatnonzero(located[:, 0] == place)
            parts = [cache.read(path, located[mine, 1]) for path in map(feature_path, cache.outputs)]
            features[mine] = np.concatenate(parts, axis=1)
        return features
