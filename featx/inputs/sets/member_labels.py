"""Reads the labels of a tar's images from the `.cls` and `.json` members next to them, as in WebDataset shards.

What is in such a member and is not a label never makes a tar unreadable: features do not need labels.
"""

import json
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featx.columns import TextsBuilder, to_label
from featx.errors import ImageSetError, one_line
from featx.inputs.sets.building import LONGEST_TEXT
from featx.inputs.sets.folder import is_hidden
from featx.showing import shorten

logger = logging.getLogger(__name__)

LARGEST_JSON = 1 << 24
LABEL_ENDINGS = (".cls", ".json")
"""Endings of members with labels; the first is preferred."""
LABEL_KEYS = ("label", "class", "cls")
"""Keys of an object in a `.json` member that may have the label, if the user names none."""


@dataclass
class NotUsed:
    """How many members were not used, and which was the first, with the reason."""

    count: int = 0
    first: str = ""

    def add(self, member: str, *, count: int = 1) -> None:
        """Count a member, or `count` of which this is the first."""
        self.first = self.first if self.count else member
        self.count += count


class MemberLabels:
    """Collects the labels of one tar, by the names of members up to their last dot."""

    def __init__(self, path: str, *, keys: Sequence[str] = LABEL_KEYS) -> None:
        self._path = path
        self._keys = keys
        """Keys of an object in a `.json` member that may have the label; the first that is there is used."""
        self._labels = {ending: (TextsBuilder(), TextsBuilder()) for ending in LABEL_ENDINGS}
        """Ending -> names without it, and their labels."""
        self.refused = NotUsed()
        """Members that have something else in the place of a label."""
        self.unknown = NotUsed()
        """Members with the label of an image that is not in the tar."""
        self.without = NotUsed()
        """Objects in `.json` members with none of the keys."""
        self.has_labels = False
        """Whether any member has a label."""

    def add(self, name: str, size: int, read: Callable[[int], bytes]) -> None:
        """Append the label in the member with this name, of which `read` returns the bytes.

        If the user named a key, only .json members have labels.
        """
        stem, ending = _split_ending(name)
        if ending == ".cls" and self._keys is not LABEL_KEYS:
            return
        largest = LARGEST_JSON if ending == ".json" else LONGEST_TEXT
        try:
            if size > largest:
                raise ValueError(f"{size} bytes, above {largest}")
            text = read(size).decode("utf-8-sig")
            label = self._read_json(name, text) if ending == ".json" else to_label(text)
            _check(label)
        except (ValueError, RecursionError) as error:
            self.refused.add(f"{name} ({one_line(error)[:100]})")
            return
        self.has_labels = self.has_labels or bool(label)
        for texts, text in zip(self._labels[ending], (stem, label), strict=True):
            texts.add(text)

    def _read_json(self, name: str, text: str) -> str:
        """The label in the text of a .json member, "" if it has none. Raises ValueError unless it is one value."""
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError(f"not an object with a label but {_describe(values)}")
        label = next((values[key] for key in self._keys if values.get(key) is not None), None)
        if isinstance(label, list | dict):
            raise ValueError(f"not a number or text but {_describe(label)}")
        if not any(key in values for key in self._keys):
            self.without.add(f"{name} with {shorten(values)}" if values else f"{name}, which is empty")
        return to_label(label)

    def of_images(self, images: NDArray[np.bytes_]) -> NDArray[np.bytes_] | None:
        """(n,): the label of each image, b"" for none; None if no member has a label of any of them.

        The label of `a.b.png` is in `a.b.cls`; else, by the rule of WebDataset, in `a.cls`. Others are counted.
        Raises ImageSetError if a name has two labels of one kind.
        """
        tables = {ending: (keys.build(), texts.build()) for ending, (keys, texts) in self._labels.items()}
        if not any(np.any(texts != b"") for _, texts in tables.values()):
            return None
        stems = _map_texts(images, lambda name: _split_ending(name)[0])
        samples = _map_texts(images, _sample_key)
        found = np.zeros(len(images), "S1")
        for ending, table in tables.items():
            for keys in (stems, samples):
                found = np.where(found != b"", found, self._look_up(keys, table))
            self._count_unknown(ending, table, np.concatenate([stems, samples]))
        return found if np.any(found != b"") else None

    def _count_unknown(
        self, ending: str, table: tuple[NDArray[np.bytes_], NDArray[np.bytes_]], keys: NDArray[np.bytes_]
    ) -> None:
        names, texts = table
        unknown = names[(texts != b"") & ~np.isin(names, keys)]
        if len(unknown):
            self.unknown.add(unknown[0].decode() + ending, count=len(unknown))

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


def warn_of_unused(where: str, found: Sequence[MemberLabels], *, keys: Sequence[str]) -> None:
    """Log how many members of all tars have no label although their names say so, and how many labels no image.

    Raises ImageSetError if the user named the key, and no object has it.
    """
    _warn_of(where, ".json or .cls members have no single number or text as label", [one.refused for one in found])
    _warn_of(where, "labels are of no image with the same name up to its ending", [one.unknown for one in found])
    without = [one.without for one in found]
    if any(one.has_labels for one in found) or not sum(one.count for one in without):
        return
    first = next(one.first for one in without if one.count)
    if keys is not LABEL_KEYS:
        raise ImageSetError(f"{where}: no .json member has the key {keys[0]!r} of labels, such as {first}; correct it")
    logger.warning(
        "%s: no .json member has one of the keys %s, such as %s; --label-column names another key of labels",
        where,
        ", ".join(keys),
        first,
    )


def _warn_of(where: str, what: str, counted: Sequence[NotUsed]) -> None:
    if count := sum(one.count for one in counted):
        first = next(one.first for one in counted if one.count)
        logger.warning("%s: %d %s and are not used, such as %s", where, count, what, first)


def is_label_name(name: str) -> bool:
    """Whether a member with this name may have the label of an image: by its ending, unless it is hidden."""
    return name.lower().endswith(LABEL_ENDINGS) and not is_hidden(name)


def _split_ending(name: str) -> tuple[str, str]:
    """The name up to its last dot, and its ending in lower case."""
    stem, dot, ending = name.rpartition(".")
    return (stem, f".{ending.lower()}") if dot and not re.search(r"[/\\]", ending) else (name, "")


def _sample_key(name: str) -> str:
    """The key of a WebDataset sample: the name up to the first dot of its last part."""
    match = re.match(r"(?:.*[/\\])?[^./\\]*", name, re.DOTALL)
    return match[0] if match else name


def _describe(value: object) -> str:
    kinds = {list: "a list", dict: "an object", str: "a text", type(None): "null"}
    return kinds.get(type(value), "a number")


def _check(label: str) -> None:
    """Raise ValueError for a label that a column of labels cannot have."""
    if len(label.encode()) > LONGEST_TEXT:  # encode also raises for a lone surrogate, which JSON can have
        raise ValueError(f"a label above {LONGEST_TEXT} bytes")
    if label.endswith("\0"):
        raise ValueError("a label that ends in a zero byte")


def _map_texts(names: NDArray[np.bytes_], change: Callable[[str], str]) -> NDArray[np.bytes_]:
    """(n,): each name, changed."""
    builder = TextsBuilder()
    for name in names:
        builder.add(change(bytes(name).decode()))
    return builder.build()
