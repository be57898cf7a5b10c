"""The feature file written: created whole, filled in place, acknowledged, copied from, sealed.

HDF5 metadata is written when the file is created and not touched again until it is sealed; in between, rows are written
straight to their places, so that a killed run leaves nothing half-described.
"""

import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray

from featx.cache.file import (
    BLOCK,
    DONE,
    FORMAT,
    FORMAT_VERSION,
    MAGIC,
    PENDING,
    STAMP,
    USER_BLOCK,
    Cache,
    Field,
    checksums,
    feature_path,
    locate,
    metadata_crc,
    open_cache,
    output_dims,
    partial_path,
    read_head,
)
from featx.cache.reading import verify_contents
from featx.columns import ImageColumns
from featx.errors import CacheError, Failure
from featx.provenance import timestamp

SYNC_SECONDS = 1.0
"""How much work a kill may cost: rows reach the disk, then are acknowledged, this often."""
ALIGNMENT = 4096


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """How the features of one cache are made."""

    card: Mapping[str, Any]
    backbone: str
    """sha256 of the card's identity, the model's own sha256 among it."""
    hashes: Mapping[str, str]
    """Name of every output -> the same as if it were the only one: what a head that reads it alone asks for."""
    provider: str
    device: str
    precision: str
    batch_size: int
    versions: Mapping[str, str]


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


def new_path(path: Path) -> Path:
    """Where the cache is while it is being created."""
    return path.with_name(path.name + ".new")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the cache for writing; a lock ends with its process. Raises CacheError where another process holds it."""
    lock = path.with_name(path.name + ".lock")
    try:
        for place in (path, partial_path(path), new_path(path)):
            if place.exists() and not place.is_file():
                raise CacheError(f"{place}: is there and is no file; choose another --into")
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _lock(lock)
    except OSError as error:
        raise error if isinstance(error, CacheError) else _write_error(path, error) from error
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def _lock(lock: Path) -> int:
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise CacheError(
                f"{lock}: another process is writing this cache; wait for it or choose another --into"
            ) from error
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(lock)):
                return descriptor
        os.close(descriptor)  # its last holder removed the file between our two calls


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


def create_partial(path: Path, images: ImageColumns, provenance: Provenance, *, kept: Kept | None = None) -> Cache:
    """A new partial cache beside `path`: all space taken, the kept rows copied into it, all others pending.

    It replaces one that was there only when it is complete in this sense. Raises CacheError where the disk cannot hold
    it; then nothing has changed.
    """
    fresh = new_path(path)
    try:
        _allocate(fresh, _least_size(images, provenance))
        with h5py.File(
            fresh, "w", userblock_size=USER_BLOCK, alignment_threshold=ALIGNMENT, alignment_interval=ALIGNMENT
        ) as file:
            _describe(file, images, provenance)
            fields = locate(file)
        _allocate(fresh, fresh.stat().st_size)
        protect_metadata(fresh, fields)
        if kept:
            _copy(kept, open_cache(fresh))
        os.replace(fresh, partial_path(path))
        _sync_folder(path.parent)
    except (OSError, RuntimeError) as error:
        # h5py tells a disk that fails in the middle as RuntimeError
        fresh.unlink(missing_ok=True)
        raise error if isinstance(error, CacheError) else _write_error(path, error) from error
    return open_cache(partial_path(path))


def _least_size(images: ImageColumns, provenance: Provenance) -> int:
    """Bytes that the file will take at least: HDF5 must not be the one to meet a full disk."""
    columns = (images.names, images.labels, images.splits, images.groups, images.weights)
    known = sum(values.nbytes for values in columns if values is not None)
    return int(known + len(images.names) * (4 * sum(output_dims(provenance.card).values()) + 37) + 2**18)


def _describe(file: h5py.File, images: ImageColumns, provenance: Provenance) -> None:
    attributes = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "card": json.dumps(provenance.card),
        "backbone": provenance.backbone,
        "outputs": json.dumps(dict(provenance.hashes)),
        "model_sha256": provenance.card["sha256"],
        "image_set": images.hash,
        "provider": provenance.provider,
        "device": provenance.device,
        "precision": provenance.precision,
        "batch_size": provenance.batch_size,
        "versions": json.dumps(provenance.versions),
        "status_codes": json.dumps({PENDING: "pending", DONE: "done"} | {code.value: code.text for code in Failure}),
        "started": timestamp(),
    }
    for key, value in attributes.items():
        file.attrs[key] = value
    file.attrs.create("sealed", STAMP, dtype=h5py.string_dtype("utf-8", len(STAMP)))
    rows = len(images.names)
    features = {feature_path(name): ((rows, dim), np.float32) for name, dim in output_dims(provenance.card).items()}
    for name, (shape, dtype) in {
        **features,
        "status": ((rows,), np.uint8),
        "checksums": ((rows,), np.uint32),
        "images/fingerprint": ((rows, 16), np.uint8),
        "images/stat": ((rows, 2), np.int64),
    }.items():
        _add(file, name, shape, dtype)
    _describe_images(file, images)


def _describe_images(file: h5py.File, images: ImageColumns) -> None:
    columns = {
        "name": images.names,
        "label": images.labels,
        "split": images.splits,
        "group": images.groups,
        "weight": images.weights,
    }
    given = {f"images/{name}": values for name, values in columns.items() if values is not None}
    if images.classes:
        given["labels/name"] = np.array([name.encode() for name in images.classes])
    for name, values in given.items():
        text = values.dtype.kind == "S"
        dtype = h5py.string_dtype("utf-8", values.dtype.itemsize) if text else values.dtype
        _add(file, name, values.shape, dtype)[...] = values.astype(dtype)


def _add(file: h5py.File, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> h5py.Dataset:
    """A contiguous dataset whose place in the file is fixed now; unwritten rows read as zeros."""
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    return file.create_dataset(name, shape, dtype, dcpl=creation)


def _allocate(path: Path, size: int) -> None:
    """Take the space on disk now, so that a full disk is met here and not after hours of work."""
    with path.open("r+b" if path.exists() else "wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        os.fsync(file.fileno())


def protect_metadata(path: Path, fields: Mapping[str, Field]) -> None:
    """Write the crc32 of all that is not rows of datasets into the file's first bytes."""
    edges = sorted((field.offset, field.offset + field.size) for field in fields.values())
    starts, stops = [USER_BLOCK, *(stop for _, stop in edges)], [*(start for start, _ in edges), path.stat().st_size]
    ranges = [(start, stop) for start, stop in zip(starts, stops, strict=True) if start < stop]
    with path.open("r+b") as file:
        sealed = next(
            found for start, stop in ranges if (found := _find(file, STAMP.encode(), start, stop)) is not None
        )
        crc = metadata_crc(file, ranges, sealed)
        head = {"format_version": FORMAT_VERSION, "metadata": ranges, "sealed": sealed, "crc32": crc}
        file.seek(0)
        file.write((MAGIC + json.dumps(head).encode()).ljust(USER_BLOCK, b"\0"))
        file.flush()
        os.fsync(file.fileno())


def _find(file: BinaryIO, text: bytes, start: int, stop: int) -> int | None:
    file.seek(start)
    place = file.read(stop - start).find(text)
    return None if place < 0 else start + place


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_error(path: Path, error: OSError | RuntimeError) -> CacheError:
    if isinstance(error, RuntimeError):
        return CacheError(f"{path}: cannot be written ({error}); mend that and run the same command again")
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        free = shutil.disk_usage(path.parent).free
        return CacheError(f"{path}: no space for it ({free / 1e9:.1f} GB free); free some, or choose another --into")
    return CacheError(
        f"{path}: cannot be written ({error.strerror or error}); mend that and run the same command again"
    )


class CacheWriter:
    """Writes rows of a partial cache in place, and acknowledges them once they are on disk.

    As a context manager it acknowledges what it was given, whatever ends the block.
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._descriptor = os.open(cache.path, os.O_RDWR)
        self._unacknowledged: list[tuple[NDArray[np.int64], NDArray[np.uint8]]] = []
        self._synced = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.acknowledge()
        finally:
            os.close(self._descriptor)

    def append(self, rows: Rows) -> None:
        """Write these rows; they are acknowledged within about SYNC_SECONDS. Raises CacheError."""
        start = 0
        for name, dim in self._cache.outputs.items():
            self._write(feature_path(name), rows.rows, rows.features[:, start : start + dim])
            start += dim
        self._write("images/fingerprint", rows.rows, rows.fingerprint)
        self._write("images/stat", rows.rows, rows.stat)
        self._write("checksums", rows.rows, checksums(rows.features, rows.fingerprint, rows.status))
        self._unacknowledged.append((rows.rows, rows.status))
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self.acknowledge()

    def acknowledge(self) -> None:
        """Bring what was written to the disk, and only then say that it is there."""
        if not self._unacknowledged:
            return
        self._sync()
        for rows, status in self._unacknowledged:
            self._write("status", rows, status)
        self._unacknowledged.clear()
        self._synced = time.monotonic()

    def forget(self, rows: NDArray[np.int64]) -> None:
        """Set rows back to pending, on disk, before anything else is written to them."""
        if len(rows):
            self._write("status", rows, np.full(len(rows), PENDING, np.uint8))
            self._sync()

    def _sync(self) -> None:
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise _write_error(self._cache.path, error) from error

    def _write(self, name: str, rows: NDArray[np.int64], values: NDArray[Any]) -> None:
        field = self._cache.fields[name]
        stride = field.size // field.shape[0]
        values = np.ascontiguousarray(values, field.dtype)
        gaps = np.flatnonzero(np.diff(rows) != 1) + 1
        try:
            for run, block in zip(np.split(rows, gaps), np.split(values, gaps), strict=True):
                _pwrite(self._descriptor, block.tobytes(), field.offset + int(run[0]) * stride)
        except OSError as error:
            raise _write_error(self._cache.path, error) from error


def _pwrite(descriptor: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def _copy(kept: Kept, into: Cache) -> None:
    source = kept.source
    with CacheWriter(into) as writer:
        for start in range(0, len(kept.old), BLOCK):
            block = slice(start, start + BLOCK)
            take = kept.old[block]
            features, status = source.features(take), source.status[take]
            writer.append(Rows(kept.new[block], features, status, source["images/fingerprint"][take], kept.stat[block]))


def seal(path: Path) -> Cache:
    """The complete cache, verified and under its own name. Raises CacheError where a row is pending or wrong."""
    partial = partial_path(path)
    if problems := verify_contents(open_cache(partial)):
        raise CacheError(f"{partial}: {problems[0]}; run the same command again, it redoes what is wrong")
    try:
        with partial.open("r+b") as file:
            file.seek(read_head(file)["sealed"])
            file.write(timestamp().encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _write_error(path, error) from error
    return open_cache(path)
