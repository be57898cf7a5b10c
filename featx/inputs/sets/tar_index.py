"""Indexes a tar in one pass over its headers: its images, the positions of their bytes, and their labels."""

import json
import tarfile
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from featx.columns import CHUNK, TextsBuilder
from featx.errors import ImageSetError
from featx.inputs.sets.building import LONGEST_TEXT
from featx.inputs.sets.folder import is_hidden, is_image_name
from featx.inputs.sets.tar import clean_name, find_target, iter_members

LARGEST_JSON = 1 << 24
LABEL_ENDINGS = ("cls", "json")
"""Endings, after the first dot, of members with the label of a sample; the first is preferred."""
LABEL_KEYS = ("label", "class", "cls")
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


def read_tar_index(path: str, file: BinaryIO, *, size: int) -> TarIndex:
    """The index of a tar of `size` bytes. Raises ImageSetError if it is not an intact, uncompressed tar."""
    members = _Members(path, file)
    for member in iter_members(path, file, size=size):
        members.add(member)
    return members.build()


class _Members:
    """Collects the members of a tar in compact arrays of texts and numbers."""

    def __init__(self, path: str, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._names = TextsBuilder()
        self._places = array("q")
        """Offset and size of each member, alternating."""
        self._links = array("q")
        """Numbers of the members that are links."""
        self._targets = TextsBuilder()
        self._labels = {ending: (TextsBuilder(), TextsBuilder()) for ending in LABEL_ENDINGS}
        """Ending -> keys of samples, and their labels."""

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
        key, ending = _split_key(name)
        if member.isreg() and ending in self._labels and not is_hidden(name):
            label = self._read_label(member, ending)
            for texts, text in zip(self._labels[ending], (key, label), strict=True):
                texts.add(text)

    def build(self) -> TarIndex:
        """The images among the members. Raises ImageSetError if a sample has two labels of one kind."""
        names = self._names.build()
        places = np.array(self._places, np.int64).reshape(-1, 2)
        if self._links:
            _follow_links(names, places, links=np.array(self._links, np.int64), targets=self._targets.build())
        is_image = _map_names(names, is_image_name)
        labels = self._join_labels(names[is_image])
        ignored = names[~is_image]
        if labels is not None:
            ignored = ignored[~_map_names(ignored, lambda name: _split_key(name)[1] in LABEL_ENDINGS)]
        offsets, sizes = places[is_image].T.copy()
        return TarIndex(names[is_image], offsets, sizes, labels, ignored)

    def _read_label(self, member: tarfile.TarInfo, ending: str) -> str:
        """The label in a .cls or .json member, "" if it has none."""
        where = f"{self._path}: member {member.name!r}"
        if member.size > (LARGEST_JSON if ending == "json" else LONGEST_TEXT):
            raise ImageSetError(f"{where} has {member.size} bytes, too many for a label; leave it out of the tar")
        self._file.seek(member.offset_data)
        try:
            text = self._file.read(member.size).decode()
            label = _json_label(text) if ending == "json" else _plain_label(text.strip())
        except (ValueError, RecursionError) as error:
            raise ImageSetError(f"{where} has no label ({error}); write one number or text into it") from error
        if len(label.encode()) > LONGEST_TEXT:
            raise ImageSetError(f"{where} has a label above {LONGEST_TEXT} bytes; shorten it")
        return label

    def _join_labels(self, images: NDArray[np.bytes_]) -> NDArray[np.bytes_] | None:
        """(n,): the label of every image; None if no member has one."""
        tables = [(keys.build(), texts.build()) for keys, texts in self._labels.values()]
        if not any(np.any(texts != b"") for _, texts in tables):
            return None
        wanted = TextsBuilder()
        for name in images:
            wanted.add(_split_key(bytes(name).decode())[0])
        keys = wanted.build()
        first, second = (self._look_up(keys, table) for table in tables)
        return np.where(first != b"", first, second)

    def _look_up(
        self, wanted: NDArray[np.bytes_], table: tuple[NDArray[np.bytes_], NDArray[np.bytes_]]
    ) -> NDArray[np.bytes_]:
        """The text of each wanted key; b"" if the table does not have the key."""
        keys, texts = table
        if not len(keys):
            return np.zeros(len(wanted), "S1")
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        texts = texts[order]
        if len(repeated := np.flatnonzero(keys[1:] == keys[:-1])):
            name = bytes(keys[repeated[0]]).decode()
            raise ImageSetError(f"{self._path}: {name!r} has two labels of one kind; remove one")
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[place] == wanted, texts[place], np.zeros((), texts.dtype))


def _split_key(name: str) -> tuple[str, str]:
    """Key and ending of a file of a WebDataset sample: the path up to the first dot of its base name, and the rest."""
    folder, slash, base = name.rpartition("/")
    key, _, ending = base.partition(".")
    return f"{folder}{slash}{key}", ending.lower()


def _plain_label(text: str) -> str:
    """The label in the text of a .cls member; a number loses its leading zeros."""
    return str(int(text)) if text.isascii() and text.isdigit() else text


def _json_label(text: str) -> str:
    """The label in the text of a .json member, "" if it has none. Raises ValueError unless it is a number or a text."""
    values = json.loads(text)
    if not isinstance(values, dict):
        return ""
    label = next((values[key] for key in LABEL_KEYS if values.get(key) is not None), "")
    if isinstance(label, str):
        label.encode()  # raises for a lone surrogate, which JSON can have
        return label.strip()
    if isinstance(label, int) or (isinstance(label, float) and label.is_integer()):
        return str(int(label))
    raise ValueError(f"not a number or text but {type(label).__name__}")


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
