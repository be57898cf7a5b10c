"""What a feature file holds: opened, checked against format 1, and its datasets located as memory maps."""

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

from featx.errors import CacheError
from featx.provenance import hash_columns

FORMAT = "featx features"
FORMAT_VERSION = 1

USER_BLOCK = 4096
MAGIC = b"featx cache\n"

IMAGE_SET = ("images/name", "labels/name", "images/label", "images/split", "images/group", "images/weight")
"""What the hash of the image set goes over, in this order."""

PENDING, DONE = 0, 1
STAMP = "....-..-..T..:..:..Z"
"""Placeholder of the same length as a timestamp: sealing changes no size."""
REQUIRED: Mapping[str, tuple[str | None, tuple[int, ...]]] = {
    "status": ("u1", ()),
    "checksums": ("u4", ()),
    "images/name": (None, ()),
    "images/fingerprint": ("u1", (16,)),
    "images/stat": ("i8", (2,)),
}
"""Datasets of every cache: type and shape of a row."""
ATTRIBUTES = {"card", "backbone", "image_set", "provider", "sealed", "versions"}

BLOCK = 4096
"""Rows that are read, checked or copied at once."""


@dataclass(frozen=True)
class Field:
    """Where a dataset lies in the file."""

    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes of all its rows."""
        return self.dtype.itemsize * int(np.prod(self.shape))


@dataclass(frozen=True)
class Cache:
    """An existing feature file: its attributes, and its datasets as read-only memory maps."""

    path: Path
    attributes: Mapping[str, Any]
    fields: Mapping[str, Field]
    _maps: dict[str, NDArray[Any]] = field(default_factory=dict, repr=False)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """The dataset, mapped: nothing is read until its values are, and what is written later is seen."""
        if name not in self._maps:
            place = self.fields[name]
            self._maps[name] = np.memmap(self.path, place.dtype, "r", place.offset, place.shape)
        return self._maps[name]

    def get(self, name: str) -> NDArray[Any] | None:
        """The dataset, mapped, or None where the image set had no such column."""
        return self[name] if name in self.fields else None

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
        """sha256 of the card's identity."""
        return str(self.attributes["backbone"])

    @property
    def provider(self) -> str:
        """The execution provider that made the features."""
        return str(self.attributes["provider"])

    @cached_property
    def versions(self) -> dict[str, str]:
        """Versions of the packages that made the features."""
        return json.loads(self.attributes["versions"])  # type: ignore[no-any-return]

    @cached_property
    def outputs(self) -> dict[str, int]:
        """Name and dimension of every output, the feature first."""
        return output_dims(self.card)

    @cached_property
    def hashes(self) -> dict[str, str]:
        """sha256 of the card's identity for every output, as if it were the only one."""
        stored = self.attributes.get("outputs")
        return json.loads(stored) if stored else {self.card["feature"]: self.backbone}

    def features(self, rows: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, sum of dimensions): every output of these rows, side by side."""
        parts = [self[feature_path(name)][rows] for name in self.outputs]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the labels."""
        names = self.get("labels/name")
        return () if names is None else tuple(bytes(name).decode(errors="replace") for name in names)

    def image_set(self) -> str:
        """sha256 over names, classes, labels, splits, groups and weights as they are in the file now."""
        return hash_columns(map(self.get, IMAGE_SET))

    @property
    def status(self) -> NDArray[np.uint8]:
        """(N,): 0 pending, 1 done, above 1 a code of errors.Failure."""
        return self["status"]

    def checksums(self, rows: slice) -> NDArray[np.uint32]:
        """The checksums that these rows should have, computed from what is in the file."""
        return checksums(self.features(rows), self["images/fingerprint"][rows], self.status[rows])

    def intact(self) -> NDArray[np.bool_]:
        """(N,): which acknowledged rows carry the checksum of their contents."""
        stored, status = self["checksums"], self.status
        found = np.zeros(len(status), bool)
        for start in range(0, len(status), BLOCK):
            block = slice(start, start + BLOCK)
            if np.any(status[block] != PENDING):
                found[block] = (self.checksums(block) == stored[block]) & (status[block] != PENDING)
        return found


def checksums(
    features: NDArray[np.float32], fingerprint: NDArray[np.uint8], status: NDArray[np.uint8]
) -> NDArray[np.uint32]:
    """crc32 of every row: its features, output after output, its image's fingerprint, its status, in this order."""
    parts = zip(np.ascontiguousarray(features), fingerprint, status, strict=True)
    crcs = [zlib.crc32(bytes((code,)), zlib.crc32(print_.data, zlib.crc32(row.data))) for row, print_, code in parts]
    return np.array(crcs, np.uint32)


def output_dims(card: Mapping[str, Any]) -> dict[str, int]:
    """Name and dimension of every output of a card, the feature first."""
    others = {output["name"]: output["dim"] for output in card.get("outputs", ())}
    return {card["feature"]: card["dim"]} | others


def feature_path(output: str) -> str:
    """Path of an output's dataset; a tensor's name may hold slashes, also leading and doubled, which HDF5 drops."""
    return "/".join(["features", *filter(None, output.split("/"))])


def is_cache(path: Path) -> bool:
    """Whether the file begins as a cache does."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def partial_path(path: Path) -> Path:
    """Where the cache is while it is not complete."""
    return path.with_name(path.name + ".partial")


def open_cache(path: Path) -> Cache:
    """The feature file, complete or partial, its attributes read and its datasets located.

    Raises CacheError where it is missing, not HDF5, cut short, damaged, of another format or a newer version.
    """
    if not path.is_file():
        hint = f"; an unfinished one lies at {partial_path(path)}" if partial_path(path).is_file() else ""
        raise CacheError(f"{path}: no such cache{hint}; make it with `featx extract`")
    try:
        check_metadata(path)
        with h5py.File(path, "r", locking=False) as file:
            cache = Cache(path, {key: _plain(value) for key, value in file.attrs.items()}, locate(file))
        problem = next(_faults(cache), None)
    except Exception as error:
        # h5py raises OSError, KeyError, RuntimeError, TypeError or ValueError, as the damage has it
        if isinstance(error, CacheError):
            raise
        raise CacheError(f"{path}: not a readable cache ({error}); restore it or extract again") from error
    if problem:
        raise CacheError(f"{path}: {problem}")
    return cache


def check_metadata(path: Path) -> None:
    """Raise CacheError or ValueError unless the HDF5 metadata is as it was written: HDF5 can hang on damaged metadata.

    The first bytes of the file, which HDF5 leaves to its users, tell where the metadata lies and what its crc32 is.
    """
    with path.open("rb") as file:
        head = read_head(file)
        if metadata_crc(file, head["metadata"], head["sealed"]) != head["crc32"]:
            raise ValueError("its metadata is damaged, or was changed by another program")


def read_head(file: BinaryIO) -> dict[str, Any]:
    """What the first bytes of a cache tell. Raises CacheError where they are not those of a cache."""
    block = file.read(USER_BLOCK)
    if not block.startswith(MAGIC):
        raise CacheError(f"{file.name}: not a featx cache; name a file made by `featx extract`")
    head: dict[str, Any] = json.loads(block[len(MAGIC) :].rstrip(b"\0"))
    if (version := head.get("format_version")) != FORMAT_VERSION:
        raise CacheError(
            f"{file.name}: format version {version}, but this featx reads {FORMAT_VERSION}; use the featx that wrote it"
        )
    return head


def metadata_crc(file: BinaryIO, ranges: Sequence[tuple[int, int]], sealed: int) -> int:
    """crc32 of these (start, stop) ranges of the file, the time of sealing taken as not yet written."""
    crc = 0
    for start, stop in ranges:
        file.seek(start)
        data = bytearray(file.read(stop - start))
        if start <= sealed < stop:
            data[sealed - start : sealed - start + len(STAMP)] = STAMP.encode()
        crc = zlib.crc32(data, crc)
    return crc


def _plain(value: Any) -> Any:
    """An attribute as a Python value."""
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if isinstance(value, np.generic) else value


def locate(file: h5py.File) -> dict[str, Field]:
    """Where every dataset lies. Raises ValueError where one is not contiguous."""
    fields: dict[str, Field] = {}

    def _visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            offset = item.id.get_offset()
            if offset is None:
                raise ValueError(f"dataset {name} is not contiguous")
            fields[name] = Field(offset, item.dtype, item.shape)

    file.visititems(_visit)
    return fields


def _faults(cache: Cache) -> Iterator[str]:
    """Why this file is no cache of format 1, each with the next step; what comes later relies on what came before."""
    attributes, fields, again = cache.attributes, cache.fields, "restore the file or extract again"
    if attributes.get("format") != FORMAT:
        yield f"not a featx cache (no attribute format = {FORMAT!r}); name a file made by `featx extract`"
    if missing := ({*REQUIRED} - set(fields)) | (ATTRIBUTES - set(attributes)):
        yield f"{', '.join(sorted(missing))} missing; {again}"
    outputs = {feature_path(name): ("f4", (dim,)) for name, dim in cache.outputs.items()}
    for feature in outputs.keys() - fields.keys():
        yield f"{feature} missing, an output of its card; {again}"
    rows = fields["status"].shape[0]
    for name, (dtype, inner) in (*REQUIRED.items(), *outputs.items()):
        found = fields[name]
        if (dtype and found.dtype != np.dtype(dtype)) or found.shape != (rows, *inner):
            yield f"{name} is {found.dtype} of shape {found.shape}, not {dtype or 'text'} of {(rows, *inner)}; {again}"
    if any(place.shape[0] != rows for name, place in fields.items() if name.startswith("images/")):
        yield f"its datasets have different numbers of rows; {again}"
    size = cache.path.stat().st_size
    if any(place.offset + place.size > size for place in fields.values()):
        yield f"cut short at {size} bytes; {again}"
