"""Tar files and WebDataset shards as an image set: never unpacked, read in archive order by ranges of bytes."""

import errno
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from featx.columns import CHUNK, TextsBuilder
from featx.errors import ImageSetError
from featx.inputs.sets.building import ColumnsBuilder
from featx.inputs.sets.containers import (
    Container,
    cause_of,
    open_container,
)
from featx.inputs.sets.folder import refuse_no_images
from featx.inputs.sets.image_set import ImageSet
from featx.inputs.sets.shards import Shards
from featx.inputs.sets.tar_index import (
    NOWHERE,
    TarIndex,
    read_tar_index,
)

INDEXED_AT_ONCE = 8
"""Remote tars whose headers are read side by side, as that is mostly waiting."""


@dataclass(frozen=True)
class TarSource:
    """Images that are members of tars; 20 bytes an image, besides the columns."""

    tars: tuple[Container, ...]
    remote: bool
    tar: NDArray[np.int32]
    """Position in `tars` of the tar that holds the image."""
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def stat(self, row: int, name: str) -> tuple[int, int]:
        """Size of the member, and the time of change of its tar."""
        return self._size(row, name), self.tars[int(self.tar[row])].changed

    def read(self, row: int, name: str) -> bytes:
        """The bytes of the member."""
        return self.tars[int(self.tar[row])].read_range(int(self.offsets[row]), self._size(row, name))

    def part(self, rows: slice) -> "TarSource":
        """The source of these rows."""
        return replace(self, tar=self.tar[rows], offsets=self.offsets[rows], sizes=self.sizes[rows])

    def _size(self, row: int, name: str) -> int:
        size = int(self.sizes[row])
        if size == NOWHERE:
            raise FileNotFoundError(errno.ENOENT, "a link to nothing in its tar, or no regular file", name)
        return size


def list_tars(shards: Shards) -> ImageSet:
    """The images in these tars, tar after tar, each in its own order; a name is that of the tar, then the member's.

    Labels are those of .cls and .json beside the images; where no tar has any, the first folder behind those that are
    common to all images. Raises ImageSetError.
    """
    tars = tuple(open_container(shards.files, path) for path in shards.paths)
    indexes = _read_indexes(tars) if shards.files.remote else [_read_index(tar) for tar in tars]
    ignored = _join_ignored(shards, indexes)
    lengths = [len(index.names) for index in indexes]
    if not sum(lengths):
        raise refuse_no_images(shards.given, ignored)
    builder = ColumnsBuilder(shards.given)
    for chunk in _chunks(shards, indexes):
        builder.add(chunk)
    source = TarSource(
        tars,
        shards.files.remote,
        np.repeat(np.arange(len(tars), dtype=np.int32), lengths),
        np.concatenate([index.offsets for index in indexes]),
        np.concatenate([index.sizes for index in indexes]),
    )
    return ImageSet(**vars(builder.build()), source=source, ignored=ignored)


def _read_indexes(tars: tuple[Container, ...]) -> list[TarIndex]:
    """The indexes of remote tars, several read side by side."""
    with ThreadPoolExecutor(INDEXED_AT_ONCE) as pool:
        try:
            return list(pool.map(_read_index, tars))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _read_index(tar: Container) -> TarIndex:
    try:
        with tar.files.open(tar.path) as file:
            return read_tar_index(tar.path, file, size=tar.size)
    except OSError as error:
        raise ImageSetError(f"{tar.path}: cannot be read ({cause_of(error)}); check it") from error


def _join_ignored(shards: Shards, indexes: list[TarIndex]) -> NDArray[np.bytes_]:
    names = TextsBuilder()
    for name in shards.ignored:
        names.add(bytes(name).decode())
    for path, index in zip(shards.paths, indexes, strict=True):
        for member in index.ignored:
            names.add(f"{shards.name(path)}/{bytes(member).decode()}")
    return names.build()


def _chunks(shards: Shards, indexes: list[TarIndex]) -> Iterator[dict[str, list[str]]]:
    labelled = any(index.labels is not None for index in indexes)
    behind = None if labelled else _find_class_folders(shards.given, indexes)
    for number, (path, index) in enumerate(zip(shards.paths, indexes, strict=True)):
        prefix = shards.name(path)
        for start in range(0, len(index.names), CHUNK):
            members = index.names[start : start + CHUNK].tolist()
            chunk = {"path": [f"{prefix}/{member.decode()}" for member in members]}
            if labelled:
                labels = [] if index.labels is None else index.labels[start : start + CHUNK].tolist()
                chunk["label"] = [label.decode() for label in labels] or [""] * len(members)
            elif behind is not None:
                chunk["label"] = [member[behind:].partition(b"/")[0].decode() for member in members]
            if shards.splits is not None:
                chunk["split"] = [shards.splits[number]] * len(members)
            yield chunk


def _find_class_folders(where: str, indexes: list[TarIndex]) -> int | None:
    """Where in a member's name its class begins, or None where all lie in one folder. Raises ImageSetError."""
    edges = [name for index in indexes for name in _edges(index.names)]
    first, last = min(edges), max(edges)
    same = next((place for place in range(len(first)) if first[place : place + 1] != last[place : place + 1]), None)
    behind = first[:same].rfind(b"/") + 1
    loose = next((name for index in indexes for name in index.names if b"/" not in name[behind:]), None)
    deep = next((name for index in indexes for name in index.names if b"/" in name[behind:]), None)
    if loose is not None and deep is not None:
        raise ImageSetError(
            f"{where}: images lie both in the first folder ({loose.decode()}) and in folders below it "
            f"({deep.decode()}); put them all into class folders, or put .cls files beside them"
        )
    return None if deep is None else behind


def _edges(names: NDArray[np.bytes_]) -> Iterator[bytes]:
    """The first and the last of each chunk of names in their order: what is common to them is common to all."""
    for start in range(0, len(names), CHUNK):
        chunk = names[start : start + CHUNK].tolist()
        yield from (min(chunk), max(chunk))
