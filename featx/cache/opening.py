"""Opens a cache, and checks its first bytes, attributes and datasets against format 1."""

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import h5py
import msgspec
import numpy as np
from msgspec import Meta

from featx.cache.checking import attribute_problems, column_problems
from featx.cache.file import (
    FORMAT_VERSION,
    MAGIC,
    STAMP,
    USER_BLOCK,
    Cache,
    Field,
    feature_path,
    feature_shape,
    partial_path,
)
from featx.errors import CacheError
from featx.file_kinds import name_given

REQUIRED: Mapping[str, tuple[str | None, tuple[int, ...]]] = {
    "status": ("u1", ()),
    "checksums": ("u4", ()),
    "images/name": (None, ()),
    "images/fingerprint": ("u1", (16,)),
    "images/stat": ("i8", (2,)),
}
"""Datasets of every cache -> type and shape of a row."""
LARGEST_METADATA = 2**26
"""Bytes of a cache that are not rows of datasets, at most."""
_Position = Annotated[int, Meta(ge=0)]


@dataclass(frozen=True)
class Head:
    """The JSON in the first bytes of a cache."""

    metadata: tuple[tuple[_Position, _Position], ...]
    """(start, stop) ranges of the file that are not rows of datasets."""
    sealed: _Position
    """Where the time of sealing is."""
    crc32: int
    """Over these ranges, as if the time of sealing were not written yet."""


def is_cache(path: Path) -> bool:
    """Whether the file begins with the first bytes of a cache."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise read_error(path, error) from error


def read_error(path: Path, error: OSError) -> CacheError:
    """The error for a file that cannot be read at the moment, although its contents may be intact."""
    return CacheError(f"{path}: cannot be read ({error.strerror or error}); fix that and run the same command again")


def open_cache(path: Path) -> Cache:
    """The cache, complete or partial; no rows are read.

    Raises CacheError if the file is missing, not HDF5, too short, damaged, of another format or of a newer version.
    """
    if not path.is_file():
        hint = f"; an unfinished one is at {partial_path(path)}" if partial_path(path).is_file() else ""
        raise CacheError(f"{path}: no such cache{hint}; create it with `featx extract`")
    try:
        cache = _open(path)
        problem = next(_faults(cache), None)
    except CacheError:
        raise
    except Exception as error:  # h5py raises almost anything, depending on the damage
        if isinstance(error, OSError) and error.errno:
            raise read_error(path, error) from error
        raise CacheError(f"{path}: not a readable cache ({error}); restore it or extract again") from error
    if problem:
        raise CacheError(f"{path}: {problem}")
    return cache


def _open(path: Path) -> Cache:
    with ExitStack() as opened:
        file = opened.enter_context(path.open("rb"))
        check_metadata(file)
        with h5py.File(file, "r") as known:
            attributes = {key: _plain(value) for key, value in known.attrs.items()}
            fields = locate(known)
        opened.pop_all()  # the cache keeps the file open
    return Cache(path, attributes, fields, file)


def check_metadata(file: BinaryIO) -> None:
    """Raise CacheError or ValueError if the HDF5 metadata was changed: HDF5 can hang on damaged metadata.

    The first bytes of the file, which HDF5 leaves to its users, say where the metadata is and what its crc32 is.
    """
    head = read_head(file)
    if metadata_crc(file, head.metadata, head.sealed) != head.crc32:
        raise ValueError("its metadata is damaged, or was changed by another program")


def read_head(file: BinaryIO) -> Head:
    """The JSON in the first bytes of a cache. Raises CacheError if they are not those of a cache."""
    block = file.read(USER_BLOCK)
    if not block.startswith(MAGIC):
        raise CacheError(f"{file.name}: not a featx cache{name_given(block)}; name a file that `featx extract` wrote")
    values = json.loads(block[len(MAGIC) :].rstrip(b"\0"))
    version = values.get("format_version") if isinstance(values, dict) else None
    if version != FORMAT_VERSION:
        raise CacheError(
            f"{file.name}: format version {version}, but this featx reads {FORMAT_VERSION}; use the featx that wrote it"
        )
    return msgspec.convert(values, Head, strict=True)


def metadata_crc(file: BinaryIO, ranges: Sequence[tuple[int, int]], sealed: int) -> int:
    """crc32 of these (start, stop) ranges of the file, as if the time of sealing, at `sealed`, were not written yet."""
    crc = 0
    if (size := sum(max(0, stop - start) for start, stop in ranges)) > LARGEST_METADATA:
        raise ValueError(f"its metadata is said to have {size} bytes, above {LARGEST_METADATA}")
    for start, stop in ranges:
        file.seek(start)
        data = bytearray(file.read(max(0, stop - start)))
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
    """Name of every dataset -> its place in the file. Raises ValueError if one is not contiguous."""
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
    """Yields why this file is not a cache of format 1, and the next step; later checks rely on the earlier ones."""
    again = "restore the file or extract again"
    for problem in attribute_problems(cache.attributes):
        yield f"{problem}; {again}"
    for problem in _dataset_problems(cache):
        yield f"{problem}; {again}"


def _dataset_problems(cache: Cache) -> Iterator[str]:
    """Yields the datasets that are missing, or whose type, shape or place is wrong."""
    fields = cache.fields
    if missing := {*REQUIRED} - set(fields):
        yield f"{', '.join(sorted(missing))} missing"
    stored = getattr(fields.get(feature_path(cache.card["feature"])), "dtype", None)
    feature_type = "f2" if stored == np.float16 else "f4"
    outputs = {
        feature_path(name): (feature_type, feature_shape(0, dim, views=cache.views)[1:])
        for name, dim in cache.outputs.items()
    }
    for feature in outputs.keys() - fields.keys():
        yield f"{feature}, an output of its card, is missing"
    rows = fields["images/name"].shape[0]
    for name, (dtype, inner) in (*REQUIRED.items(), *outputs.items()):
        found = fields[name]
        if (dtype and found.dtype != np.dtype(dtype)) or found.shape != (rows, *inner):
            yield f"{name} is {found.dtype} of shape {found.shape}, not {dtype or 'text'} of {(rows, *inner)}"
    yield from column_problems(fields, rows)
    if any(place.shape[0] != rows for name, place in fields.items() if name.startswith("images/")):
        yield "its datasets have different numbers of rows"
    if any(place.offset + place.size > cache.file_size for place in fields.values()):
        yield f"truncated to {cache.file_size} bytes"
