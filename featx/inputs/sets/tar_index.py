"""What is in a tar, found in one pass over its headers: its images, where their bytes lie, and what labels them."""

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
from featx.inputs.sets.tar import (
    clean_name,
    find_target,
    iter_members,
)

LARGEST_JSON = 1 << 24
LABEL_ENDINGS = ("cls", "json")
"""What a sample's file with its label is called behind the first dot; the first goes before the other."""
LABEL_KEYS = ("label", "class", "cls")
NOWHERE = -1
"""Size of what has no bytes: a link that leads to nothing in its tar, a pipe."""
MOST_LINKS = 40
"""Links that may lead to each other, as Linux has it."""


@dataclass(frozen=True)
class TarIndex:
    """The images of a tar in its order; one entry an image in every array."""

    names: NDArray[np.bytes_]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    """In bytes; -1 of what has none: a link that leads to nothing in the tar, a pipe."""
    labels: NDArray[np.bytes_] | None
    """What .cls and .json beside the images say, b"" where they say nothing; None where there is none in the tar."""
    ignored: NDArray[np.bytes_]
    """Names of members that are neither images nor their labels."""


def read_tar_index(path: str, file: BinaryIO, *, size: int) -> TarIndex:
    """The images of the tar of this many bytes. Raises ImageSetError where it is none, damaged, cut or compressed."""
    members = _Members(path, file)
    for member in iter_members(path, file, size=size):
        members.add(member)
    return members.build()


class _Members:
    """Keeps of every member what is needed: texts and numbers, no objects."""

    def __init__(self, path: str, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._names = TextsBuilder()
        self._places = array("q")
        """Offset and size of each member."""
        self._links = array("q")
        """Which members are links."""
        self._targets = TextsBuilder()
        self._labels = {ending: (TextsBuilder(), TextsBuilder()) for ending in LABEL_ENDINGS}
        """Keys of samples, and the labels that they have."""

    def add(self, member: tarfile.TarInfo) -> None:
        """Add this member behind those that are there. Raises ImageSetError where it cannot be used."""
        name = clean_name(self._path, member.name)
        if member.issparse():
            raise ImageSetError(
                f"{self._path}: member {name!r} is stored as a sparse file; make the tar without --sparse"
            )
        if member.islnk() or member.issym():
            self._links.append(len(self._places) // 2)
            self._targets.add(find_target(self._path, member, name=name))
        self._names.add(name)
        self._places.extend((member.offset_data, member.size if member.isreg() else NOWHERE))
        key, ending = _split_key(name)
        if member.isreg() and ending in self._labels and not is_hidden(name):
            label = self._read_label(member, ending)
            for texts, text in zip(self._labels[ending], (key, label), strict=True):
                texts.add(text)

    def build(self) -> TarIndex:
        """The images among the members. Raises ImageSetError where two labels are those of one sample."""
        names = self._names.build()
        places = np.array(self._places, np.int64).reshape(-1, 2)
        if self._links:
            _follow_links(names, places, links=np.array(self._links, np.int64), targets=self._targets.build())
        is_image = _judge(names, is_image_name)
        labels = self._join_labels(names[is_image])
        ignored = names[~is_image]
        if labels is not None:
            ignored = ignored[~_judge(ignored, lambda name: _split_key(name)[1] in LABEL_ENDINGS)]
        offsets, sizes = places[is_image].T.copy()
        return TarIndex(names[is_image], offsets, sizes, labels, ignored)

    def _read_label(self, member: tarfile.TarInfo, ending: str) -> str:
        """The label in a .cls or .json, "" where there is none."""
        where = f"{self._path}: member {member.name!r}"
        if member.size > (LARGEST_JSON if ending == "json" else LONGEST_TEXT):
            raise ImageSetError(f"{where} has {member.size} bytes, too many for a label; leave it out of the tar")
        self._file.seek(member.offset_data)
        try:
            text = self._file.read(member.size).decode()
            label = _json_label(text) if ending == "json" else _plain_label(text.strip())
        except (ValueError, RecursionError) as error:
            raise ImageSetError(f"{where} holds no label ({error}); give one number or text") from error
        if len(label.encode()) > LONGEST_TEXT:
            raise ImageSetError(f"{where} holds a label above {LONGEST_TEXT} bytes; shorten it")
        return label

    def _join_labels(self, images: NDArray[np.bytes_]) -> NDArray[np.bytes_] | None:
        """The label of every image; None where no member has one."""
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
        """The text of each wanted key, b"" where the table has none."""
        keys, texts = table
        if not len(keys):
            return np.zeros(len(wanted), "S1")
        order = np.argsort(keys, kind="stable")
        keys, texts = keys[order], texts[order]
        if len(twins := np.flatnonzero(keys[1:] == keys[:-1])):
            name = bytes(keys[twins[0]]).decode()
            raise ImageSetError(f"{self._path}: {name!r} has two labels of one kind; remove one")
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[place] == wanted, texts[place], np.zeros((), texts.dtype))


def _split_key(name: str) -> tuple[str, str]:
    """What the files of a WebDataset sample share, up to the first dot of the base name, and what this one is."""
    folder, slash, base = name.rpartition("/")
    key, _, ending = base.partition(".")
    return f"{folder}{slash}{key}", ending.lower()


def _plain_label(text: str) -> str:
    return str(int(text)) if text.isascii() and text.isdigit() else text


def _json_label(text: str) -> str:
    values = json.loads(text)
    if not isinstance(values, dict):
        return ""
    label = next((values[key] for key in LABEL_KEYS if values.get(key) is not None), "")
    if isinstance(label, str):
        label.encode()  # a lone surrogate, which JSON can write, is no text
        return label.strip()
    if isinstance(label, int) or (isinstance(label, float) and label.is_integer()):
        return str(int(label))
    raise ValueError(f"not a number or text but {type(label).__name__}")


def _judge(names: NDArray[np.bytes_], judge: Callable[[str], bool]) -> NDArray[np.bool_]:
    told = np.zeros(len(names), np.bool_)
    for start in range(0, len(names), CHUNK):
        told[start : start + CHUNK] = [judge(name.decode()) for name in names[start : start + CHUNK].tolist()]
    return told


def _follow_links(
    names: NDArray[np.bytes_], places: NDArray[np.int64], *, links: NDArray[np.int64], targets: NDArray[np.bytes_]
) -> None:
    """Give links the place of the bytes that they lead to, maybe through other links."""
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
    places[links] = np.where(lost[:, None], (0, NOWHERE), places[at])
