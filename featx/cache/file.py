"""Defines an open cache: its attributes, and its datasets, memory-mapped or read block by block."""

import json
import os
import weakref
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from featx.errors import CacheError
from featx.hashing import Column, hash_columns, hash_image_set
from featx.provenance import RUNTIMES
from featx.settings import CENTER, Decode, Storage

FORMAT = "featx features"
FORMAT_VERSION = 1

USER_BLOCK = 4096
MAGIC = b"featx cache\n"

IMAGE_SET = ("images/name", "labels/name", "images/label", "images/split", "images/group", "images/weight")
"""Datasets whose hash is the attribute `image_set`, in this order."""
DOMAIN = "images/domain"
DOMAIN_HASH = "domains"
"""Attribute with the hash of the domains. It is apart from `image_set`, so that older featx versions, which know no
domains, read caches that have them."""

VIEWS = "views"
"""Attribute with the names of the views as a JSON list, in caches with several of them."""

PENDING = 0
DONE = 1
STAMP = "....-..-..T..:..:..Z"
"""Placeholder for the time of sealing, of the same length, so that sealing changes no size."""
DECISIVE_PACKAGES = (*RUNTIMES, "pillow")
"""Packages whose version may change the last bits of a feature: all rows of a cache are of one version."""
BLOCK_BYTES = 2**20
"""About this many bytes are read, checked or copied at once, however many rows a file has."""
BLOCK_ROWS = 4_096


@dataclass(frozen=True)
class Field:
    """Place of a dataset in the file."""

    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def stride(self) -> int:
        """Number of bytes of one row."""
        return self.dtype.itemsize * int(np.prod(self.shape[1:]))

    @property
    def size(self) -> int:
        """Number of bytes of all rows."""
        return self.stride * self.shape[0]


@dataclass(frozen=True)
class Cache:
    """An open cache: its attributes, and its datasets, memory-mapped or read block by block.

    It keeps the file open: if another file takes its name later, this one is still read.
    """

    path: Path
    attributes: Mapping[str, Any]
    fields: Mapping[str, Field]
    _file: BinaryIO = field(repr=False)
    _maps: dict[str, NDArray[Any]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        weakref.finalize(self, self._file.close)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """The dataset, memory-mapped: its values are read when they are used, and later writes are visible.

        Mapped pages count as memory of the process; code that visits all rows uses `read` instead.
        """
        if name not in self._maps:
            place = self.fields[name]
            self._maps[name] = np.memmap(self._file, place.dtype, "r", place.offset, place.shape)
        return self._maps[name]

    def get(self, name: str) -> NDArray[Any] | None:
        """The dataset, memory-mapped, or None if the image set has no such column."""
        return self[name] if name in self.fields else None

    def read(self, name: str, rows: slice | NDArray[np.int64] = slice(None)) -> NDArray[Any]:
        """These rows of the dataset, read from the file. Raises CacheError if that fails or the file is too short."""
        place = self.fields[name]
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(place.shape[0])
            data = self._pread(place.offset + start * place.stride, max(0, stop - start) * place.stride)
            return np.frombuffer(data, place.dtype).reshape(-1, *place.shape[1:])
        found = np.empty((len(rows), *place.shape[1:]), place.dtype)
        for where, run in runs(rows):
            found[where] = self.read(name, run)
        return found

    def _pread(self, offset: int, size: int) -> bytes:
        parts: list[bytes] = []
        try:
            while size and (part := os.pread(self._file.fileno(), size, offset)):
                parts.append(part)
                offset += len(part)
                size -= len(part)
        except OSError as error:
            raise CacheError(f"{self.path}: cannot be read ({error.strerror or error}); restore it") from error
        if size:
            raise CacheError(f"{self.path}: was truncated while it was read; restore it or extract again")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def column(self, name: str) -> "StoredColumn | None":
        """The dataset, read from the file as it is sliced, or None if the image set has no such column."""
        return StoredColumn(self, name) if name in self.fields else None

    @property
    def file_size(self) -> int:
        """Size of the file in bytes."""
        return os.fstat(self._file.fileno()).st_size

    @property
    def images(self) -> int:
        """Number of rows."""
        return self.fields["status"].shape[0]

    @cached_property
    def row_datasets(self) -> tuple[str, ...]:
        """Datasets that extraction writes, in the order of the checksum, which covers all but the last two."""
        return (*map(feature_path, self.outputs), "images/fingerprint", "status", "images/stat", "checksums")

    @property
    def rows_at_once(self) -> int:
        """Number of rows that are read or copied at once, whatever their total number and size."""
        size = BLOCK_BYTES // sum(self.fields[name].stride for name in self.row_datasets)
        return min(max(size, 1), BLOCK_ROWS)

    def blocks(self) -> Iterator[slice]:
        """All rows in order, as slices."""
        return blocks(self.images, self.rows_at_once)

    def stored(self, rows: slice | NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """These rows of all datasets that extraction writes, by dataset, as they are stored."""
        return {name: self.read(name, rows) for name in self.row_datasets}

    @property
    def storage(self) -> Storage:
        """The type in which features are stored."""
        return "float16" if self.fields[feature_path(self.card["feature"])].dtype == np.float16 else "float32"

    @property
    def decode(self) -> Decode:
        """How JPEGs were decoded; older caches have no such attribute and are exact."""
        decode: Decode = self.attributes.get("decode", "exact")
        return decode

    @cached_property
    def views(self) -> tuple[str, ...]:
        """Names of the views of each image; caches of one view have no such attribute."""
        stored = self.attributes.get(VIEWS)
        return tuple(json.loads(stored)) if stored else (CENTER,)

    @property
    def sealed(self) -> bool:
        """Whether the extraction was completed."""
        return str(self.attributes["sealed"]) != STAMP

    @cached_property
    def card(self) -> dict[str, Any]:
        """The card of the backbone."""
        return json.loads(self.attributes["card"])  # type: ignore[no-any-return]

    @property
    def backbone(self) -> str:
        """sha256 of the identity of the backbone's card."""
        return str(self.attributes["backbone"])

    @property
    def batch_size(self) -> int | None:
        """Number of images that were run at once; None if that is unknown."""
        return int(self.attributes.get("batch_size", 0)) or None

    @property
    def provider(self) -> str:
        """The execution provider that computed the features."""
        return str(self.attributes["provider"])

    @cached_property
    def versions(self) -> dict[str, str]:
        """Versions of the packages that computed the features."""
        return json.loads(self.attributes["versions"])  # type: ignore[no-any-return]

    @cached_property
    def outputs(self) -> dict[str, int]:
        """Name and dimension of every output, the feature first."""
        return output_dims(self.card)

    @cached_property
    def hashes(self) -> dict[str, str]:
        """Name of every output -> sha256 of the card's identity as if it were the only output."""
        stored = self.attributes.get("outputs")
        return json.loads(stored) if stored else {self.card["feature"]: self.backbone}

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the labels."""
        names = self.get("labels/name")
        return () if names is None else tuple(bytes(name).decode(errors="replace") for name in names)

    def image_set(self) -> str:
        """sha256 of names, classes and all other columns of the images as they are in the file now."""
        return hash_image_set(map(self.column, IMAGE_SET), self.column(DOMAIN))

    def columns_changed(self) -> bool:
        """Whether a column of the images is not what was written."""
        now = column_hashes(self.column)
        return any(self.attributes.get(name) != now.get(name) for name in ("image_set", DOMAIN_HASH))

    @property
    def status(self) -> NDArray[np.uint8]:
        """(N,): 0 pending, 1 done, above 1 a code of errors.Failure; memory-mapped."""
        return self["status"]

    def intact(self, rows: NDArray[np.int64] | None = None) -> NDArray[np.bool_]:
        """(n,): which of these rows (None for all) are acknowledged, match their checksum and have finite features."""
        found = np.zeros(self.images if rows is None else len(rows), bool)
        for block in blocks(len(found), self.rows_at_once):
            chosen = block if rows is None else rows[block]
            if self.read("status", chosen).any():
                stored = self.stored(chosen)
                found[block] = matching(stored) & self.finite(stored)
        return found

    def finite(self, stored: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
        """(n,): whether the features of each row, as `stored` returns them, are finite or the image failed."""
        finite = [finite_rows(stored[feature_path(output)]) for output in self.outputs]
        return np.asarray((stored["status"] != DONE) | np.logical_and.reduce(finite))


def column_hashes(column: Callable[[str], Column | None]) -> dict[str, str]:
    """The attributes by which a change of the image columns is noticed; `column` returns a dataset by name."""
    hashes = {"image_set": hash_columns(map(column, IMAGE_SET))}
    domains = column(DOMAIN)
    return hashes if domains is None else hashes | {DOMAIN_HASH: hash_columns([domains])}


@dataclass(frozen=True)
class StoredColumn:
    """A dataset of a cache that is read from the file when it is sliced."""

    cache: Cache
    name: str

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.cache.fields[self.name].dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of rows, and shape of one row."""
        return self.cache.fields[self.name].shape

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        return self.cache.read(self.name, rows)


def matching(stored: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """(n,): which rows, as `Cache.stored` returns them, are acknowledged and match their checksum."""
    *parts, _, expected = stored.values()
    return np.asarray((checksums(parts) == expected) & (stored["status"] != PENDING))


def finite_rows(features: NDArray[Any]) -> NDArray[np.bool_]:
    """(n,): whether all features of each row, of all its views, are finite."""
    return np.asarray(np.isfinite(features).all(axis=tuple(range(1, features.ndim))))


def checksums(parts: Sequence[NDArray[Any]]) -> NDArray[np.uint32]:
    """(n,): crc32 of every row over its features, output after output, its image's fingerprint and its status."""
    raw = [np.ascontiguousarray(part).view(np.uint8).reshape(len(part), -1) for part in parts]
    return np.fromiter(map(zlib.crc32, np.concatenate(raw, axis=1)), np.uint32, len(raw[0]))


def blocks(count: int, size: int) -> Iterator[slice]:
    """Slices of `size` rows that cover `count` rows in order."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def runs(rows: NDArray[np.int64]) -> Iterator[tuple[slice, slice]]:
    """Runs of consecutive rows: the positions of each run in `rows`, and its rows."""
    edges = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
    for start, stop in pairwise(edges):
        if start < stop:
            yield slice(start, stop), slice(int(rows[start]), int(rows[start]) + stop - start)


def output_dims(card: Mapping[str, Any]) -> dict[str, int]:
    """Name and dimension of every output of a card, the feature first."""
    others = {output["name"]: output["dim"] for output in card.get("outputs", ())}
    return {card["feature"]: card["dim"]} | others


def feature_shape(rows: int, dim: int, *, views: Sequence[str]) -> tuple[int, ...]:
    """Shape of an output's dataset: (rows, dim), or (rows, views, dim) if there are several views."""
    return (rows, dim) if len(views) == 1 else (rows, len(views), dim)


def feature_path(output: str) -> str:
    """Path of an output's dataset; HDF5 drops leading and doubled slashes of a tensor's name."""
    return "/".join(["features", *filter(None, output.split("/"))])


def partial_path(path: Path) -> Path:
    """Path of the cache until it is complete."""
    return path.parent / f"{path.name}.partial"  # with_name refuses `.` and `/`, which users may give
