"""A tar file read in one pass over its headers: which members are images, where their bytes lie, what labels them."""

import json
import posixpath
import tarfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from featx.columns import CHUNK, TextsBuilder
from featx.errors import ImageSetError
from featx.images.building import LONGEST_TEXT
from featx.images.folder import is_hidden, is_image_name

LARGEST_HEADER = 1 << 20
"""Bytes of one header: none that is sound comes near, and a damaged one may ask for any number."""
LARGEST_JSON = 1 << 24
LABEL_KEYS = ("label", "class", "cls")
NOWHERE = -1
"""Size of what has no bytes: a link that leads to nothing in its tar, a pipe."""
MOST_LINKS = 40
"""Links that may lead to each other, as Linux has it."""

_COMPRESSIONS = {
    b"\x1f\x8b": "gunzip",
    b"BZh": "bunzip2",
    b"\xfd7zXZ\0": "unxz",
    b"\x28\xb5\x2f\xfd": "unzstd",
    b"\x04\x22\x4d\x18": "unlz4",
}
_BLOCK = tarfile.BLOCKSIZE


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


@dataclass
class _Members:
    """What is kept of every member while the headers are read: texts and numbers, no objects."""

    names: TextsBuilder = field(default_factory=TextsBuilder)
    offsets: "array[int]" = field(default_factory=lambda: array("q"))
    sizes: "array[int]" = field(default_factory=lambda: array("q"))
    links: "array[int]" = field(default_factory=lambda: array("q"))
    targets: TextsBuilder = field(default_factory=TextsBuilder)
    keys: dict[str, TextsBuilder] = field(default_factory=lambda: {"cls": TextsBuilder(), "json": TextsBuilder()})
    texts: dict[str, TextsBuilder] = field(default_factory=lambda: {"cls": TextsBuilder(), "json": TextsBuilder()})


def read_tar_index(path: str, file: BinaryIO, *, size: int) -> TarIndex:
    """The images of the tar of this many bytes. Raises ImageSetError where it is none, damaged, cut or compressed."""
    _check_compression(path, file)
    members = _Members()
    for member in _iter_members(path, file, size):
        if not member.isdir():
            _keep(path, member, file, members)
    return _build(path, members)


def _check_compression(path: str, file: BinaryIO) -> None:
    start = file.read(6)
    file.seek(0)
    for magic, command in _COMPRESSIONS.items():
        if start.startswith(magic):
            raise refuse_compressed(path, command)


def refuse_compressed(path: str, command: str = "gunzip, bunzip2, unxz or unzstd") -> ImageSetError:
    """Why a compressed tar is not taken, and what decompresses it."""
    return ImageSetError(
        f"{path}: compressed, so that its images cannot be reached one by one; decompress it first ({command})"
    )


class _Headers:
    """The file as tarfile may read it: in small pieces only, whatever a damaged header asks for."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.tell = file.tell
        self.seek = file.seek

    def read(self, size: int) -> bytes:
        """So many bytes."""
        if not 0 <= size <= LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)


def _iter_members(path: str, file: BinaryIO, size: int) -> Iterator[tarfile.TarInfo]:
    """Every member; tarfile keeps none of them. Raises ImageSetError where the last one is not followed by an end."""
    last = -1
    try:
        tar = tarfile.open(fileobj=_Headers(file), mode="r:", encoding="utf-8")  # type: ignore[call-overload]  # noqa: SIM115
        while (member := tar.next()) is not None:
            tar.members.clear()
            if not last < tar.offset <= size:
                raise ImageSetError(f"{path}: cut short in its member {member.name!r}; copy or make it anew")
            last = tar.offset
            yield member
    except (ImageSetError, OSError):
        raise
    except Exception as error:
        # tarfile raises almost any type on damaged headers; all of them mean the same here
        first = last < 0
        what = "not a tar file" if first else f"damaged behind byte {last}"
        step = "check the file" if first else "copy or make it anew"
        raise ImageSetError(f"{path}: {what} ({' '.join(str(error).split())}); {step}") from error
    _check_end(path, file, tar.offset)


def _check_end(path: str, file: BinaryIO, offset: int) -> None:
    """Only zeros may stand behind the last member: tarfile takes a damaged header for the end, without a word."""
    file.seek(offset)
    end = file.read(_BLOCK)
    if len(end) < _BLOCK:
        raise ImageSetError(
            f"{path}: ends without the mark of its end, so it was cut short or is still written; copy or make it anew"
        )
    if any(end):
        raise ImageSetError(f"{path}: damaged at byte {offset}, where no header stands; copy or make it anew")
    while block := file.read(LARGEST_HEADER):
        if block.count(0) != len(block):
            raise ImageSetError(
                f"{path}: more bytes stand behind the mark of its end at byte {offset}: if several tars were joined, "
                "give them one by one"
            )


def _keep(path: str, member: tarfile.TarInfo, file: BinaryIO, members: _Members) -> None:
    name = _clean(path, member.name)
    if member.issparse():
        raise ImageSetError(f"{path}: member {name!r} is stored as a sparse file; make the tar without --sparse")
    if member.islnk() or member.issym():
        members.links.append(len(members.sizes))
        members.targets.add(_target(path, member, name))
    members.names.add(name)
    members.offsets.append(member.offset_data)
    members.sizes.append(member.size if member.isreg() else NOWHERE)
    key, _, ending = _split_key(name)
    if member.isreg() and ending in members.keys and not is_hidden(name):
        text = _read_label(path, member, file, ending)
        members.keys[ending].add(key)
        members.texts[ending].add(text)


def _clean(path: str, name: str) -> str:
    """The name without what says nothing, as ./ does. Raises ImageSetError where it leads out or is no text."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or not parts:
        raise ImageSetError(f"{path}: the name of its member {name!r} leads out of the tar; make it anew without '..'")
    try:
        length = len(name.encode())
    except UnicodeEncodeError as error:
        raise ImageSetError(f"{path}: the name of its member {name!r} is not UTF-8; rename the file") from error
    if length > LONGEST_TEXT:
        raise ImageSetError(f"{path}: a member has a name of {length} bytes, above {LONGEST_TEXT}; rename the file")
    return "/".join(parts)


def _target(path: str, member: tarfile.TarInfo, name: str) -> str:
    """Name of the member that a link leads to, or "/", which is none."""
    if member.issym():
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
        return "/" if target.startswith(("/", "..")) or target == "." else _clean(path, target)
    return _clean(path, member.linkname)


def _split_key(name: str) -> tuple[str, str, str]:
    """The name of a sample's file, as WebDataset has it: what its files share, a dot, and what this one is."""
    folder, slash, base = name.rpartition("/")
    key, dot, ending = base.partition(".")
    return f"{folder}{slash}{key}", dot, ending.lower()


def _read_label(path: str, member: tarfile.TarInfo, file: BinaryIO, ending: str) -> str:
    """The label in a .cls or .json, "" where there is none."""
    largest = LARGEST_JSON if ending == "json" else LONGEST_TEXT
    where = f"{path}: member {member.name!r}"
    if member.size > largest:
        raise ImageSetError(f"{where} has {member.size} bytes, too many for a label; leave it out of the tar")
    file.seek(member.offset_data)
    try:
        text = file.read(member.size).decode()
        label = _json_label(text) if ending == "json" else _plain_label(text.strip())
    except (ValueError, RecursionError) as error:
        raise ImageSetError(f"{where} holds no label ({error}); give one number or text") from error
    if len(label.encode(errors="replace")) > LONGEST_TEXT:
        raise ImageSetError(f"{where} holds a label above {LONGEST_TEXT} bytes; shorten it")
    return label


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


def _build(path: str, members: _Members) -> TarIndex:
    names = members.names.build()
    offsets, sizes = np.array(members.offsets, np.int64), np.array(members.sizes, np.int64)
    _follow_links(names, members, offsets, sizes)
    is_image = _tell(names, is_image_name)
    labels = _join_labels(path, names[is_image], members)
    ignored = names[~is_image]
    if labels is not None:
        ignored = ignored[~_tell(ignored, lambda name: _split_key(name)[2] in ("cls", "json"))]
    return TarIndex(names[is_image], offsets[is_image], sizes[is_image], labels, ignored)


def _tell(names: NDArray[np.bytes_], judge: Any) -> NDArray[np.bool_]:
    told = np.zeros(len(names), np.bool_)
    for start in range(0, len(names), CHUNK):
        told[start : start + CHUNK] = [judge(name.decode()) for name in names[start : start + CHUNK].tolist()]
    return told


def _follow_links(
    names: NDArray[np.bytes_], members: _Members, offsets: NDArray[np.int64], sizes: NDArray[np.int64]
) -> None:
    """Give links the place of the bytes that they lead to, maybe through other links."""
    if not members.links:
        return
    links, targets = np.array(members.links, np.int64), members.targets.build()
    number = np.full(len(names), -1)
    number[links] = np.arange(len(links))
    order = np.argsort(names, kind="stable")
    at = links.copy()
    for _ in range(MOST_LINKS):
        moving = np.flatnonzero((at >= 0) & (number[at] >= 0))
        wanted = targets[number[at[moving]]]
        place = order[np.minimum(np.searchsorted(names, wanted, sorter=order), len(names) - 1)]
        at[moving] = np.where(names[place] == wanted, place, -1)
    lost = (at < 0) | (number[at] >= 0)
    offsets[links] = np.where(lost, 0, offsets[at])
    sizes[links] = np.where(lost, NOWHERE, sizes[at])


def _join_labels(path: str, images: NDArray[np.bytes_], members: _Members) -> NDArray[np.bytes_] | None:
    """The label of every image, that of .cls before that of .json; None where no member has one."""
    found = {ending: (members.keys[ending].build(), members.texts[ending].build()) for ending in members.keys}
    if not any(np.any(texts != b"") for _, texts in found.values()):
        return None
    keys = TextsBuilder()
    for name in images:
        keys.add(_split_key(bytes(name).decode())[0])
    wanted = keys.build()
    cls, other = (_look_up(path, wanted, *found[ending]) for ending in ("cls", "json"))
    return np.where(cls != b"", cls, other)


def _look_up(
    path: str, wanted: NDArray[np.bytes_], keys: NDArray[np.bytes_], texts: NDArray[np.bytes_]
) -> NDArray[np.bytes_]:
    if not len(keys):
        return np.zeros(len(wanted), "S1")
    order = np.argsort(keys, kind="stable")
    keys, texts = keys[order], texts[order]
    if len(twins := np.flatnonzero(keys[1:] == keys[:-1])):
        raise ImageSetError(f"{path}: {bytes(keys[twins[0]]).decode()!r} has two labels of one kind; remove one")
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, texts[place], np.zeros((), texts.dtype))
