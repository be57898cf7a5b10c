"""Writes rows of a cache in place and acknowledges them, copies rows of other caches, and seals the file.

Rows are written straight to their places in the file, not through HDF5.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from featx.cache.costs import COST, Cost, add_costs, cost_of, has_cost
from featx.cache.disk import locked_error, write_error, write_rows
from featx.cache.file import DONE, PENDING, Cache, blocks, checksums, feature_path, finite_rows, partial_path
from featx.cache.locking import as_target
from featx.cache.opening import open_cache, read_head
from featx.cache.verifying import contents_problems
from featx.errors import CacheError, CacheMismatchError, Failure
from featx.locking import NO_LINKS, lock_descriptor
from featx.provenance import timestamp
from featx.targets import AppearedError, Target

SYNC_SECONDS = 1.0
"""Rows are synced to disk, and then acknowledged, this often: a killed run loses about this much work."""
ROWS_BUFFERED = 64
"""Number of rows that are buffered before they are written: a write of few rows takes as long as one of many."""
BYTES_BUFFERED = 2**24
"""Bytes of features that are buffered at most: rows of many views, or of whole maps, are large."""


@dataclass(frozen=True)
class ComputedRows:
    """Rows to write: their features, and what is known about their images."""

    rows: NDArray[np.int64]
    """(n,): their rows in the cache."""
    features: NDArray[np.float32]
    """(n, views, sum of dimensions): all outputs next to each other."""
    status: NDArray[np.uint8]
    """(n,)."""
    fingerprint: NDArray[np.uint8]
    """(n, 16): zeros if the bytes could not be read."""
    stat: NDArray[np.int64]
    """(n, 2): size in bytes, time of change in nanoseconds."""


@dataclass(frozen=True)
class KeptRows:
    """Rows of a previous cache that stay as they are."""

    source: Cache
    old: NDArray[np.int64]
    """(n,): their rows in the previous cache."""
    new: NDArray[np.int64]
    """(n,): their rows in the image set."""
    stat: NDArray[np.int64]
    """(n, 2): size and time of their files now."""


def storable(features: NDArray[np.float32], storage: str) -> NDArray[np.bool_]:
    """(n,): which rows (n, views, d) are still finite when they are stored in this type; float16 ends at 65504."""
    return finite_rows(_stored(features, storage))


def _stored(features: NDArray[np.float32], storage: str) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(features, storage)


def _open_locked(path: Path) -> int:
    """A descriptor that locks the file itself, since anybody may delete the lock file next to it."""
    try:
        descriptor = os.open(path, os.O_RDWR | NO_LINKS)
    except OSError as error:
        raise write_error(path, error) from error
    try:
        lock_descriptor(descriptor, path)
    except OSError as error:
        os.close(descriptor)
        raise locked_error(path) from error
    return descriptor


class CacheWriter:
    """Writes rows of a partial cache in place, and acknowledges them when they are on disk.

    It is a context manager: at the end of the block, also after an error, all rows are acknowledged.
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._descriptor = _open_locked(cache.path)
        self._buffered: list[ComputedRows] = []
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

    def append(self, rows: ComputedRows) -> None:
        """Buffer these rows, and write the buffer if it is full or old; rows are acknowledged after SYNC_SECONDS or so.

        Raises CacheError, also if a feature of a row that is done is beyond the range of the cache's storage.
        """
        self._buffered.append(rows)
        late = time.monotonic() - self._synced > SYNC_SECONDS
        many = sum(len(buffered.rows) for buffered in self._buffered) >= ROWS_BUFFERED
        large = sum(buffered.features.nbytes for buffered in self._buffered) >= BYTES_BUFFERED
        if late or many or large:
            self.flush()

    def flush(self) -> None:
        """Write the buffered rows, so that they can be read, without acknowledging them. Raises as append does."""
        if self._buffered:
            buffered = self._buffered
            self._buffered = []
            columns = {field.name: [getattr(rows, field.name) for rows in buffered] for field in fields(ComputedRows)}
            self._put(ComputedRows(**{name: np.concatenate(parts) for name, parts in columns.items()}))

    def _put(self, rows: ComputedRows) -> None:
        edges = np.cumsum([0, *self._cache.outputs.values()])
        features = _stored(rows.features, self._cache.storage)
        self._check_range(rows, features)
        parts = [self._in_place(features[..., start:stop]) for start, stop in pairwise(edges)]
        known: dict[str, NDArray[Any]] = {
            "images/fingerprint": rows.fingerprint,
            "status": rows.status,
            "images/stat": rows.stat,
            "checksums": checksums([*parts, rows.fingerprint, rows.status]),
        }
        self.put(rows.rows, dict(zip(map(feature_path, self._cache.outputs), parts, strict=True)) | known)

    def _in_place(self, features: NDArray[Any]) -> NDArray[Any]:
        """The features (n, views, d) of one output in the shape of its dataset."""
        return features if len(self._cache.views) > 1 else features[:, 0]

    def put(self, rows: NDArray[np.int64], stored: Mapping[str, NDArray[Any]]) -> None:
        """Write rows in the form of `Cache.stored`, of the same outputs and storage as here. Raises CacheError."""
        for name, values in stored.items():
            if name != "status":
                self._write(name, rows, values)
        self._unacknowledged.append((rows, stored["status"]))
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self.acknowledge()

    def acknowledge(self) -> None:
        """Sync all rows to disk, and only then write their status."""
        self.flush()
        if not self._unacknowledged:
            return
        self.sync()
        for rows, status in self._unacknowledged:
            self._write("status", rows, status)
        self._unacknowledged.clear()
        self._synced = time.monotonic()

    def forget(self, rows: NDArray[np.int64]) -> None:
        """Set rows back to pending on disk, before anything else is written to them."""
        if len(rows):
            self._write("status", rows, np.full(len(rows), PENDING, np.uint8))
            self.sync()

    def add_cost(self, cost: Cost | None, *, most: int | None = None) -> None:
        """Count what images have cost, of `most` of them, in the mean that the cache tells; unless on another device.

        A cache of an older version has no place for it. Raises CacheError.
        """
        here = (self._cache.provider, str(self._cache.attributes.get("device", "")))
        if cost is None or (cost.provider, cost.device) != here or not has_cost(self._cache):
            return
        counted = cost if most is None else replace(cost, images=min(cost.images, most))
        if counted.images:
            self._write(COST, np.arange(4), add_costs(cost_of(self._cache), counted).values())

    def _check_range(self, rows: ComputedRows, features: NDArray[Any]) -> None:
        if features.dtype == np.float32:
            return
        lost = (rows.status == DONE) & ~finite_rows(features)
        if lost.any():
            raise CacheError(f"{self._cache.path}: row {rows.rows[lost][0]}: {Failure.OUT_OF_RANGE.text}")

    def sync(self) -> None:
        """Sync everything to disk, also the status of rows, so that this file may replace another."""
        with self._failing_for_good():
            os.fsync(self._descriptor)

    def _write(self, name: str, rows: NDArray[np.int64], values: NDArray[Any]) -> None:
        with self._failing_for_good():
            write_rows(self._descriptor, self._cache.fields[name], rows, values)

    @contextmanager
    def _failing_for_good(self) -> Iterator[None]:
        """Raise the first failure again at every later call, so that nothing more is written or acknowledged.

        Later rows may rely on a lost write, and Linux reports a lost write only once.
        """
        if self._failure is not None:
            raise self._failure
        try:
            yield
        except OSError as error:
            self._failure = write_error(self._cache.path, error)
            raise self._failure from error


def copy_rows(kept: Sequence[KeptRows], into: Cache) -> None:
    """Copy the kept rows of previous caches into this partial one, and acknowledge them.

    Raises CacheMismatchError if their features are stored in another type or of other views, else CacheError.
    """
    with CacheWriter(into) as writer:
        for part in kept:
            source = part.source
            _check_alike(source, into)
            for rows in blocks(len(part.old), into.rows_at_once):
                writer.put(part.new[rows], source.stored(part.old[rows]) | {"images/stat": part.stat[rows]})
            writer.add_cost(cost_of(source), most=len(part.old))
        writer.acknowledge()
        writer.sync()


def _check_alike(source: Cache, into: Cache) -> None:
    """Raise CacheMismatchError unless rows of `source` have the form of those of `into`."""
    for what, inside, asked in (
        ("storage", source.storage, into.storage),
        ("views", ",".join(source.views), ",".join(into.views)),
    ):
        if inside != asked:
            step = f"ask for {what} {inside} again, or replace the cache with --overwrite"
            raise CacheMismatchError(source.path, what=what, inside=inside, asked=asked, step=step)


def seal(into: Path | Target) -> Cache:
    """Verify the partial cache beside `into` and give it that name.

    Raises CacheError if a row is pending or damaged, or if something else has the name since the target was locked.
    """
    target = as_target(into)
    try:
        return finish(partial_path(target.path), target)
    except AppearedError as error:
        raise write_error(target.path, error) from error


def finish(written: Path, target: Target) -> Cache:
    """Verify a cache that was written under another name, and give it the target's.

    Raises CacheError as seal does, and AppearedError if something else has the name.
    """
    problem = next(contents_problems(open_cache(written)), None)
    if problem:
        raise CacheError(f"{written}: {problem}; run the same command again, which computes these rows again")
    try:
        with written.open("r+b") as file:
            file.seek(read_head(file).sealed)
            file.write(timestamp().encode())
            file.flush()
            os.fsync(file.fileno())
        target.publish(written)
    except (AppearedError, CacheError):
        raise
    except OSError as error:
        raise write_error(target.path, error) from error
    return open_cache(target.path)
