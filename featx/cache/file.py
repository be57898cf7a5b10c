"""What a feature file holds: opened, checked against format 1, and its datasets located as memory maps."""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from featx.errors import CacheError

FORMAT = "featx features"
FORMAT_VERSION = 1

PENDING, DONE = 0, 1
STAMP = "....-..-..T..:..:..Z"
"""Placeholder of the same length as a timestamp: sealing changes no size."""
BLOCK = 4096
"""Rows that are read, checked or copied at once."""


@dataclass(frozen=True)
class Field:
    """Where a dataset lies in the file."""

    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


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

    @property
    def output(self) -> str:
        """The name of the output that holds the feature."""
        return str(self.card["feature"])

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the labels."""
        names = self.get("labels/name")
        return () if names is None else tuple(bytes(name).decode() for name in names)

    @property
    def status(self) -> NDArray[np.uint8]:
        """(N,): 0 pending, 1 done, above 1 a code of errors.Failure."""
        return self["status"]

    def checksums(self, rows: slice) -> NDArray[np.uint32]:
        """The checksums that these rows should have, computed from what is in the file."""
        return checksums(self[f"features/{self.output}"][rows], self["images/fingerprint"][rows], self.status[rows])

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
    """crc32 of every row: its features, its image's fingerprint, its status, in this order."""
    parts = zip(np.ascontiguousarray(features), fingerprint, status, strict=True)
    crcs = [zlib.crc32(bytes((code,)), zlib.crc32(print_.data, zlib.crc32(row.data))) for row, print_, code in parts]
    return np.array(crcs, np.uint32)


def partial_path(path: Path) -> Path:
    """Where the cache is while it is not complete."""
    return path.with_name(path.name + ".partial")


def open_cache(path: Path) -> Cache:
    """The feature file, complete or partial, its attributes read and its datasets located.

    Raises CacheError where it is missing, not HDF5, cut short, of another format or a newer version.
    """
    if not path.is_file():
        hint = f"; an unfinished one lies at {partial_path(path)}" if partial_path(path).is_file() else ""
        raise CacheError(f"{path}: no such cache{hint}; make it with `featx extract`")
    try:
        with h5py.File(path, "r", locking=False) as file:
            attributes = dict(file.attrs)
            fields = _locate(file)
    except Exception as error:
        # h5py raises OSError, KeyError, RuntimeError or ValueError, as the damage has it
        raise CacheError(f"{path}: not a readable HDF5 file ({error}); restore it or extract again") from error
    _check_format(path, attributes, fields)
    return Cache(
        path, {key: value.decode() if isinstance(value, bytes) else value for key, value in attributes.items()}, fields
    )


def _locate(file: h5py.File) -> dict[str, Field]:
    fields: dict[str, Field] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            offset = item.id.get_offset()
            if offset is None:
                raise ValueError(f"dataset {name} is not contiguous")
            fields[name] = Field(offset, item.dtype, item.shape)

    file.visititems(visit)
    return fields


def _check_format(path: Path, attributes: Mapping[str, Any], fields: Mapping[str, Field]) -> None:
    if attributes.get("format") != FORMAT:
        raise CacheError(
            f"{path}: not a featx cache (no attribute format = {FORMAT!r}); name a file made by `featx extract`"
        )
    if attributes.get("format_version") != FORMAT_VERSION:
        found = attributes.get("format_version")
        raise CacheError(
            f"{path}: format version {found}, but this featx reads {FORMAT_VERSION}; use the featx that wrote it"
        )
    expected = {"status", "checksums", "images/name", "images/fingerprint", "images/stat"}
    attributes_expected = {"card", "backbone", "image_set", "provider", "sealed"}
    if missing := (expected - set(fields)) | (attributes_expected - set(attributes)):
        raise CacheError(f"{path}: {', '.join(sorted(missing))} missing; restore the file or extract again")
    if f"features/{json.loads(attributes['card']).get('feature')}" not in fields:
        raise CacheError(f"{path}: the dataset of the card's feature is missing; restore the file or extract again")
    if len({field.shape[0] for name, field in fields.items() if name != "labels/name"}) != 1:
        raise CacheError(f"{path}: its datasets have different numbers of rows; restore the file or extract again")
    size = path.stat().st_size
    if any(field.offset + field.dtype.itemsize * int(np.prod(field.shape)) > size for field in fields.values()):
        raise CacheError(f"{path}: cut short at {size} bytes; restore the file or extract again")
