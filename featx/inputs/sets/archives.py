"""Lists tar files and WebDataset shards as an image set, and reads their images without unpacking them."""

import errno
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from featx.columns import CHUNK, TextsBuilder
from featx.errors import ImageSetError
from featx.inputs.sets.building import ColumnsBuilder
from featx.inputs.sets.class_folders import find_class_folders, find_split_folders
from featx.inputs.sets.containers import Container, cause_of, open_container
from featx.inputs.sets.folder import no_images_error
from featx.inputs.sets.image_set import ImageSet, check_size
from featx.inputs.sets.member_labels import LABEL_KEYS, warn_of_unused
from featx.inputs.sets.shards import Shards
from featx.inputs.sets.tar_index import NO_BYTES, TarIndex, read_tar_index

INDEXED_AT_ONCE = 8
"""Number of remote tars whose headers are read in parallel, as the threads mostly wait."""


@dataclass(frozen=True)
class TarSource:
    """Images that are members of tars; takes 20 bytes per image, besides the columns."""

    tars: tuple[Container, ...]
    remote: bool
    tar: NDArray[np.int32]
    """(n,): position in `tars` of the tar of each image."""
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    sized: ClassVar[bool] = True

    def stat(self, row: int, name: str) -> tuple[int, int]:
        """Size of the member, and the modification time of its tar."""
        return self._size(row, name), self.tars[int(self.tar[row])].changed

    def read(self, row: int, name: str) -> bytes:
        """The bytes of the member."""
        size = self._size(row, name)
        check_size(size, name)
        return self.tars[int(self.tar[row])].read_range(int(self.offsets[row]), size)

    def part(self, rows: slice) -> "TarSource":
        """The source of these rows."""
        return replace(self, tar=self.tar[rows], offsets=self.offsets[rows], sizes=self.sizes[rows])

    def _size(self, row: int, name: str) -> int:
        size = int(self.sizes[row])
        if size == NO_BYTES:
            raise FileNotFoundError(errno.ENOENT, "a link to nothing in its tar, or not a regular file", name)
        return size


def list_tars(shards: Shards, *, label_key: str | None = None) -> ImageSet:
    """The image set of these tars, one after the other, each in its own order; names are TAR/MEMBER.

    Labels are those in the .cls or .json members next to the images. If no tar has such members, the labels are the
    class folders in the members' names. `label_key` names the key of labels in .json members, which are the only labels
    then. Raises ImageSetError.
    """
    tars = tuple(open_container(shards.files, path) for path in shards.paths)
    keys = LABEL_KEYS if label_key is None else (label_key,)
    indexes = _read_indexes(tars, keys) if shards.files.remote else [_read_index(tar, keys) for tar in tars]
    ignored = _join_ignored(shards, indexes)
    lengths = [len(index.names) for index in indexes]
    if not sum(lengths):
        raise no_images_error(shards.given, ignored)
    warn_of_unused(shards.given, [index.found for index in indexes], keys=keys)
    builder = ColumnsBuilder(shards.given)
    for chunk in _iter_chunks(shards, indexes):
        builder.add(chunk)
    source = TarSource(
        tars,
        shards.files.remote,
        np.repeat(np.arange(len(tars), dtype=np.int32), lengths),
        np.concatenate([index.offsets for index in indexes]),
        np.concatenate([index.sizes for index in indexes]),
    )
    return ImageSet(**vars(builder.build()), source=source, ignored=ignored)


def _read_indexes(tars: tuple[Container, ...], keys: Sequence[str]) -> list[TarIndex]:
    """The indexes of remote tars, read in parallel."""
    with ThreadPoolExecutor(INDEXED_AT_ONCE) as pool:
        try:
            return list(pool.map(lambda tar: _read_index(tar, keys), tars))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _read_index(tar: Container, keys: Sequence[str]) -> TarIndex:
    try:
        with tar.files.open(tar.path) as file:
            return read_tar_index(tar.path, file, size=tar.size, keys=keys)
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


def _iter_chunks(shards: Shards, indexes: list[TarIndex]) -> Iterator[dict[str, list[str]]]:
    """The columns of all images as texts, chunk by chunk."""
    labelled = any(index.labels is not None for index in indexes)
    names = [index.names for index in indexes]
    if labelled:
        folders = find_split_folders(shards.given, names)
    else:
        folders = find_class_folders(shards.given, names, one_is_class=False)
    for number, (path, index) in enumerate(zip(shards.paths, indexes, strict=True)):
        prefix = shards.name(path)
        for start in range(0, len(index.names), CHUNK):
            members = index.names[start : start + CHUNK].tolist()
            chunk = {"path": [f"{prefix}/{member.decode()}" for member in members]}
            if labelled:
                labels = [] if index.labels is None else index.labels[start : start + CHUNK].tolist()
                chunk["label"] = [label.decode() for label in labels] or [""] * len(members)
            elif folders.labelled:
                chunk["label"] = list(map(folders.label, members))
            if shards.splits is not None:
                chunk["split"] = [shards.splits[number]] * len(members)
            elif folders.splits:
                chunk["split"] = list(map(folders.split, members))
            yield chunk
