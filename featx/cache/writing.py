"""Rows of the feature file written in place and acknowledged, copied from other files, and the whole sealed.

Nothing here goes through HDF5: rows are written straight to their places.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from featx.cache.disk import (
    sync_folder,
    write_error,
    write_rows,
)
from featx.cache.file import (
    DONE,
    PENDING,
    Cache,
    blocks,
    checksums,
    feature_path,
    partial_path,
)
from featx.cache.opening import open_cache, read_head
from featx.cache.verifying import contents_problems
from featx.errors import (
    CacheError,
    CacheMismatchError,
    Failure,
)
from featx.provenance import timestamp

SYNC_SECONDS = 1.0
"""How much work a kill may cost: rows reach the disk, then are acknowledged, this often."""
WRITTEN_AT_ONCE = 64
"""Rows that are gathered before they are written: a write of few costs as much as one of many."""


@dataclass(frozen=True)
class Rows:
    """What is known of some rows of one batch; every array has one entry a row."""

    rows: NDArray[np.int64]
    features: NDArray[np.float32]
    """(n, sum of dimensions): every output, side by side."""
    status: NDArray[np.uint8]
    fingerprint: NDArray[np.uint8]
    """(n, 16); zeros where the bytes could not be read."""
    stat: NDArray[np.int64]
    """(n, 2): size in bytes, time of change in nanoseconds."""


@dataclass(frozen=True)
class Kept:
    """Rows of an earlier cache that stay as they are."""

    source: Cache
    old: NDArray[np.int64]
    """Their rows in the earlier cache."""
    new: NDArray[np.int64]
    """Their rows in the image set."""
    stat: NDArray[np.int64]
    """(n, 2): what is known of their files now."""


def storable(features: NDArray[np.float32], storage: str) -> NDArray[np.bool_]:
    """(n,): which rows are finite numbers in this type of storage too; float16 ends at 65504."""
    return np.asarray(np.isfinite(_stored(features, storage)).all(axis=1))


def _stored(features: NDArray[np.float32], storage: str) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(features, storage)


class CacheWriter:
    """Writes rows of a partial cache in place, and acknowledges them once they are on disk.

    As a context manager it acknowledges what it was given, whatever ends the block.
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        try:
            self._descriptor = os.open(cache.path, os.O_RDWR)
        except OSError as error:
            raise write_error(cache.path, error) from error
        self._gathered: list[Rows] = []
        self._unacknowledged: list[tuple[NDArray[np.int64], NDArray[np.uint8]]] = []
        self._failure: CacheError | None = None
        self._synced = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._failure is None:
                self.acknowledge()
        finally:
            os.close(self._descriptor)

    def append(self, rows: Rows) -> None:
        """Write these rows, soon: some are gathered first. They are acknowledged within about SYNC_SECONDS.

        Raises CacheError, also where a feature that is said to be there is beyond the range of the cache's storage.
        """
        self._gathered.append(rows)
        late = time.monotonic() - self._synced > SYNC_SECONDS
        if late or sum(len(some.rows) for some in self._gathered) >= WRITTEN_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered, so that it can be read; it is not acknowledged by that. Raises as append does."""
        if self._gathered:
            gathered, self._gathered = self._gathered, []
            columns = {field.name: [getattr(rows, field.name) for rows in gathered] for field in fields(Rows)}
            self._put(Rows(**{name: np.concatenate(parts) for name, parts in columns.items()}))

    def _put(self, rows: Rows) -> None:
        edges = np.cumsum([0, *self._cache.outputs.values()])
        features = _stored(rows.features, self._cache.storage)
        self._check_range(rows, features)
        parts = [features[:, start:stop] for start, stop in pairwise(edges)]
        known: dict[str, NDArray[Any]] = {
            "images/fingerprint": rows.fingerprint,
            "status": rows.status,
            "images/stat": rows.stat,
            "checksums": checksums([features, rows.fingerprint, rows.status]),
        }
        self.put(rows.rows, dict(zip(map(feature_path, self._cache.outputs), parts, strict=True)) | known)

    def put(self, rows: NDArray[np.int64], stored: Mapping[str, NDArray[Any]]) -> None:
        """Write rows as `Cache.stored` gives them, of a cache with the same outputs and storage. Raises CacheError."""
        for name, values in stored.items():
            if name != "status":
                self._write(name, rows, values)
        self._unacknowledged.append((rows, stored["status"]))
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self.acknowledge()

    def acknowledge(self) -> None:
        """Bring what was written to the disk, and only then say that it is there."""
        self.flush()
        if not self._unacknowledged:
            return
        self.sync()
        for rows, status in self._unacknowledged:
            self._write("status", rows, status)
        self._unacknowledged.clear()
        self._synced = time.monotonic()

    def forget(self, rows: NDArray[np.int64]) -> None:
        """Set rows back to pending, on disk, before anything else is written to them."""
        if len(rows):
            self._write("status", rows, np.full(len(rows), PENDING, np.uint8))
            self.sync()

    def _check_range(self, rows: Rows, features: NDArray[Any]) -> None:
        if features.dtype == np.float32:
            return
        lost = (rows.status == DONE) & ~np.isfinite(features).all(axis=1)
        if lost.any():
            raise CacheError(f"{self._cache.path}: row {rows.rows[lost][0]}: {Failure.OUT_OF_RANGE.text}")

    def sync(self) -> None:
        """Bring everything to the disk, acknowledgements too: another file may be given up for this one then."""
        with self._failing_for_good():
            os.fsync(self._descriptor)

    def _write(self, name: str, rows: NDArray[np.int64], values: NDArray[Any]) -> None:
        with self._failing_for_good():
            write_rows(self._descriptor, self._cache.fields[name], rows, values)

    @contextmanager
    def _failing_for_good(self) -> Iterator[None]:
        """After a first failure nothing more is written or acknowledged.

        What comes later may rely on what is missing, and Linux says of a lost write only once that it is lost.
        """
        if self._failure is not None:
            raise self._failure
        try:
            yield
        except OSError as error:
            self._failure = write_error(self._cache.path, error)
            raise self._failure from error


def copy_rows(kept: Sequence[Kept], into: Cache) -> None:
    """Copy the kept rows of earlier caches into this partial one, and acknowledge them.

    Raises CacheMismatchError where features are stored in another type there, else CacheError.
    """
    with CacheWriter(into) as writer:
        for one in kept:
            if one.source.storage != into.storage:
                step = f"store {one.source.storage} again, or give up what is there with --overwrite"
                raise CacheMismatchError(
                    one.source.path, what="storage", inside=one.source.storage, asked=into.storage, step=step
                )
            for rows in blocks(len(one.old), into.rows_at_once):
                writer.put(one.new[rows], one.source.stored(one.old[rows]) | {"images/stat": one.stat[rows]})
        writer.acknowledge()
        writer.sync()


def seal(path: Path) -> Cache:
    """The complete cache, verified and under its own name. Raises CacheError where a row is pending or wrong."""
    return finish(partial_path(path), path)


def finish(made: Path, path: Path) -> Cache:
    """The same of a file that was made under another name."""
    if problem := next(contents_problems(open_cache(made)), None):
        raise CacheError(f"{made}: {problem}; run the same command again, it redoes what is wrong")
    try:
        with made.open("r+b") as file:
            file.seek(read_head(file)["sealed"])
            file.write(timestamp().encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(made, path)
        sync_folder(path.parent)
    except OSError as error:
        raise write_error(path, error) from error
    return open_cache(path)
