"""Creates a cache with all its metadata, space and image columns; rows are written later, in place.

HDF5 metadata is not changed again until the file is sealed, so that a killed run leaves no half-written metadata.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
from numpy.typing import DTypeLike

from featx.cache.costs import COST, COST_SHAPE
from featx.cache.disk import allocate, write_error, write_rows
from featx.cache.file import (
    BLOCK_ROWS,
    DOMAIN,
    DONE,
    FORMAT,
    FORMAT_VERSION,
    MAGIC,
    PENDING,
    STAMP,
    USER_BLOCK,
    VIEWS,
    Cache,
    Field,
    blocks,
    column_hashes,
    feature_path,
    feature_shape,
    output_dims,
)
from featx.cache.locking import as_target, unfinished
from featx.cache.opening import locate, metadata_crc, open_cache
from featx.cache.writing import KeptRows, copy_rows
from featx.columns import ImageColumns, as_texts
from featx.errors import CacheError, Failure
from featx.hashing import Column
from featx.provenance import timestamp
from featx.settings import CENTER, Decode, Storage
from featx.targets import Target

ALIGNMENT = 4096
_ROW_BYTES = 1 + 4 + 16 + 16
"""Bytes of one row's status, checksum, fingerprint and stat."""
_METADATA_BYTES = 2**18
"""Bytes to reserve for the HDF5 metadata."""
COLUMN_ORDER = (
    "images/name",
    "images/label",
    "images/split",
    "images/group",
    DOMAIN,
    "images/weight",
    "labels/name",
)
"""Order of the image columns in the file, so that equal contents make equal files."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """How the features of a cache are computed and stored."""

    card: Mapping[str, Any]
    backbone: str
    """sha256 of the card's identity, which includes the sha256 of the model."""
    hashes: Mapping[str, str]
    """Name of every output -> the hash of a card with this output alone; a head compares it."""
    provider: str
    device: str
    precision: str
    """Type in which the backbone computes."""
    batch_size: int
    versions: Mapping[str, str]
    storage: Storage = "float32"
    """Type in which features are stored."""
    decode: Decode = "exact"
    """How JPEGs were decoded."""
    views: tuple[str, ...] = (CENTER,)
    """Names of the views of each image."""


def create_partial(
    into: Path | Target, images: ImageColumns, provenance: Provenance, *, kept: Sequence[KeptRows] = ()
) -> Cache:
    """A new partial cache next to `into`, with all its space reserved, the kept rows copied and all others pending.

    At the end it replaces an older partial cache. Raises CacheError, and changes nothing, if the disk is full.
    """
    target = as_target(into)
    partial = unfinished(target)
    with creating(target) as fresh:
        lay_out(fresh, columns_of(images), provenance)
        copy_rows(kept, open_cache(fresh))
        partial.publish(fresh)
    return open_cache(partial.path)


@contextmanager
def creating(target: Target) -> Iterator[Path]:
    """Path of a new file beside the target, which is removed after an error; errors of the disk are CacheErrors."""
    try:
        with target.new_file() as fresh:
            yield fresh
    except CacheError:
        raise
    except (OSError, RuntimeError) as error:
        raise write_error(target.path, error) from error


def columns_of(images: ImageColumns) -> dict[str, Column]:
    """The image columns that are not None, by dataset."""
    columns = {
        "images/name": images.names,
        "images/label": images.labels,
        "images/split": images.splits,
        "images/group": images.groups,
        DOMAIN: images.domains,
        "images/weight": images.weights,
        "labels/name": as_texts(images.classes) if images.classes else None,
    }
    return {name: values for name, values in columns.items() if values is not None}


def provenance_of(cache: Cache) -> Provenance:
    """How the features of this cache were computed and stored."""
    return Provenance(
        card=cache.card,
        backbone=cache.backbone,
        hashes=cache.hashes,
        provider=cache.provider,
        device=str(cache.attributes.get("device", "")),
        precision=str(cache.attributes.get("precision", "")),
        batch_size=int(cache.attributes.get("batch_size", 0)),
        versions=cache.versions,
        storage=cache.storage,
        decode=cache.decode,
        views=cache.views,
    )


def lay_out(path: Path, columns: Mapping[str, Column], provenance: Provenance, *, started: str = "") -> None:
    """Write the whole file with its image columns and with every row pending. Raises OSError or RuntimeError."""
    allocate(path, _estimate_size(columns, provenance))  # so that a full disk is noticed here, and not within HDF5
    with h5py.File(
        path, "w", userblock_size=USER_BLOCK, alignment_threshold=ALIGNMENT, alignment_interval=ALIGNMENT
    ) as file:
        _describe(file, column_hashes(columns.get), provenance, started or timestamp())
        _add_rows(file, len(columns["images/name"]), provenance)
        for name, values in sorted(columns.items(), key=lambda item: COLUMN_ORDER.index(item[0])):
            text = values.dtype.kind == "S"
            _add(file, name, values.shape, h5py.string_dtype("utf-8", values.dtype.itemsize) if text else values.dtype)
        fields = locate(file)
    allocate(path, path.stat().st_size)
    _fill(path, fields, columns)
    protect_metadata(path, fields)


def _estimate_size(columns: Mapping[str, Column], provenance: Provenance) -> int:
    """About the size of the file in bytes, rather too large than too small."""
    known = sum(values.dtype.itemsize * len(values) for values in columns.values())
    values = len(provenance.views) * sum(output_dims(provenance.card).values())
    features = np.dtype(provenance.storage).itemsize * values
    return int(known + len(columns["images/name"]) * (features + _ROW_BYTES) + _METADATA_BYTES)


def _describe(file: h5py.File, hashes: Mapping[str, str], provenance: Provenance, started: str) -> None:
    attributes = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "card": json.dumps(provenance.card),
        "backbone": provenance.backbone,
        "outputs": json.dumps(dict(provenance.hashes)),
        "model_sha256": provenance.card["sha256"],
        **hashes,
        "provider": provenance.provider,
        "device": provenance.device,
        "precision": provenance.precision,
        "batch_size": provenance.batch_size,
        "decode": provenance.decode,
        "versions": json.dumps(dict(provenance.versions)),
        "status_codes": json.dumps({PENDING: "pending", DONE: "done"} | {code.value: code.text for code in Failure}),
        "started": started,
    }
    if len(provenance.views) > 1:
        attributes[VIEWS] = json.dumps(provenance.views)
    for key, value in attributes.items():
        file.attrs[key] = value
    file.attrs.create("sealed", STAMP, dtype=h5py.string_dtype("utf-8", len(STAMP)))


def _add_rows(file: h5py.File, rows: int, provenance: Provenance) -> None:
    """Create the datasets that extraction fills."""
    for name, dim in output_dims(provenance.card).items():
        shape = feature_shape(rows, dim, views=provenance.views)
        _add(file, feature_path(name), shape, np.dtype(provenance.storage))
    _add(file, "status", (rows,), np.uint8)
    _add(file, "checksums", (rows,), np.uint32)
    _add(file, "images/fingerprint", (rows, 16), np.uint8)
    _add(file, "images/stat", (rows, 2), np.int64)
    _add(file, COST, COST_SHAPE, np.float64)


def _add(file: h5py.File, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> None:
    """Create a contiguous dataset, which fixes its place in the file; rows that are not written yet read as zeros."""
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    file.create_dataset(name, shape, dtype, dcpl=creation)


def _fill(path: Path, fields: Mapping[str, Field], columns: Mapping[str, Column]) -> None:
    """Write the columns in blocks of rows, since they may be larger than memory."""
    with path.open("r+b") as file:
        for name, values in columns.items():
            for rows in blocks(len(values), BLOCK_ROWS):
                write_rows(file.fileno(), fields[name], rows, values[rows])


def protect_metadata(path: Path, fields: Mapping[str, Field]) -> None:
    """Write the crc32 of everything but the rows of datasets into the file's first bytes, and sync the file."""
    edges = sorted((field.offset, field.offset + field.size) for field in fields.values())
    starts = [USER_BLOCK, *(stop for _, stop in edges)]
    stops = [*(start for start, _ in edges), path.stat().st_size]
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
