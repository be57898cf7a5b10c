"""Indexes a tar in one pass over its headers: its images, the positions of their bytes, and their labels."""

import tarfile
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from featx.columns import CHUNK, TextsBuilder
from featx.errors import ImageSetError
from featx.inputs.sets.folder import is_image_name
from featx.inputs.sets.member_labels import LABEL_KEYS, MemberLabels, is_label_name
from featx.inputs.sets.tar import clean_name, find_target, iter_members

NO_BYTES = -1
"""Size of members without bytes: links to nothing in the tar, pipes."""
MOST_LINKS = 40
"""Most links that are followed one after the other, as on Linux."""


@dataclass(frozen=True)
class TarIndex:
    """The n images of a tar in its order; every array has one entry per image."""

    names: NDArray[np.bytes_]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    """In bytes; NO_BYTES (-1) for members without bytes."""
    labels: NDArray[np.bytes_] | None
    """Labels from .cls or .json members, b"" for images without one; None if the tar has no such members."""
    ignored: NDArray[np.bytes_]
    """Names of members that are neither images nor their labels."""
    found: MemberLabels
    """What the members with labels have; the labels themselves are no longer in it."""


def read_tar_index(path: str, file: BinaryIO, *, size: int, keys: Sequence[str] = LABEL_KEYS) -> TarIndex:
    """The index of a tar of `size` bytes; `keys` of objects in .json members may have labels.

    Raises ImageSetError if it is not an intact, uncompressed tar.
    """
    members = _Members(path, file, keys)
    for member in iter_members(path, file, size=size):
        members.add(member)
    return members.build()


class _Members:
    """Collects the members of a tar in compact arrays of texts and numbers."""

    def __init__(self, path: str, file: BinaryIO, keys: Sequence[str]) -> None:
        self._path = path
        self._file = file
        self._names = TextsBuilder()
        self._places = array("q")
        """Offset and size of each member, alternating."""
        self._links = array("q")
        """Numbers of the members that are links."""
        self._targets = TextsBuilder()
        self._labels = MemberLabels(path, keys=keys)

    def add(self, member: tarfile.TarInfo) -> None:
        """Append this member. Raises ImageSetError if it cannot be used."""
        name = clean_name(self._path, member.name)
        if member.issparse():
            raise ImageSetError(
                f"{self._path}: member {name!r} is stored as a sparse file; create the tar without --sparse"
            )
        if member.islnk() or member.issym():
            self._links.append(len(self._places) // 2)
            self._targets.add(find_target(self._path, member, name=name))
        self._names.add(name)
        self._places.extend((member.offset_data, member.size if member.isreg() else NO_BYTES))
        if member.isreg() and is_label_name(name):
            self._file.seek(member.offset_data)
            self._labels.add(name, member.size, self._file.read)

    def build(self) -> TarIndex:
        """The images among the members. Raises ImageSetError if a sample has two labels of one kind."""
        names = self._names.build()
        places = np.array(self._places, np.int64).reshape(-1, 2)
        if self._links:
            _follow_links(names, places, links=np.array(self._links, np.int64), targets=self._targets.build())
        is_image = _map_names(names, is_image_name)
        labels = self._labels.of_images(names[is_image])
        ignored = names[~is_image]
        if labels is not None:
            ignored = ignored[~_map_names(ignored, is_label_name)]
        offsets, sizes = places[is_image].T.copy()
        return TarIndex(names[is_image], offsets, sizes, labels, ignored, self._labels)


def _map_names(names: NDArray[np.bytes_], check: Callable[[str], bool]) -> NDArray[np.bool_]:
    """(n,): the result of the check for each name."""
    results = np.zeros(len(names), np.bool_)
    for start in range(0, len(names), CHUNK):
        results[start : start + CHUNK] = [check(name.decode()) for name in names[start : start + CHUNK].tolist()]
    return results


def _follow_links(
    names: NDArray[np.bytes_], places: NDArray[np.int64], *, links: NDArray[np.int64], targets: NDArray[np.bytes_]
) -> None:
    """Set the offset and size of each link, in place, to those of its target, which may be another link."""
    number = np.full(len(names), -1)
    number[links] = np.arange(len(links))
    order = np.argsort(names, kind="stable")
    at = links.copy()
    for _ in range(MOST_LINKS):
        moving = np.flatnonzero((at >= 0) & (number[at] >= 0))
        wanted = targets[number[at[moving]]]
        found = order[np.minimum(np.searchsorted(names, wanted, sorter=order), len(names) - 1)]
        at[moving] = np.where(names[found] == wanted, found, -1)
    lost = (at < 0) | (number[at] >= 0)
    places[links] = np.where(lost[:, None], (0, NO_BYTES), places[at])
