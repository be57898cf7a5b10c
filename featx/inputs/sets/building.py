"""Builds the columns of an image set from chunks of texts, which are checked on the way."""

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from featx.columns import (
    NO_LABEL,
    ErrorAt,
    ImageColumns,
    as_name,
    as_texts,
    concatenate,
    find_repeated,
    parse_domains,
    parse_groups,
    parse_splits,
    parse_weights,
    sort_classes,
    to_label,
    warn_of_labels,
)
from featx.errors import ImageSetError
from featx.inputs.sets.remote import hide_secrets

MANIFEST_COLUMNS = ("path", "label", "split", "group", "domain", "weight")
LONGEST_TEXT = 4096
"""Most bytes of a text: a column is as wide as its longest one, and paths on Linux are not longer."""
_DRIVE = re.compile(r"[A-Za-z]:[/\\]")
"""How absolute paths of Windows begin."""
_PARSERS: Mapping[str, Callable[[Sequence[str], ErrorAt], NDArray[np.generic]]] = {
    "split": parse_splits,
    "group": parse_groups,
    "domain": parse_domains,
    "weight": parse_weights,
}


class ColumnsBuilder:
    """Builds columns from chunks of texts: `path` and any of `label`, `split`, `group`, `domain`, `weight`.

    All chunks must have the same columns. Labels are read by the rule of `to_label`. Paths must be inside the `root`,
    which is given for messages. Raises ImageSetError naming the image, counted from 1, and the next step.
    """

    def __init__(self, where: str, *, root: str = "") -> None:
        self._where = where
        self._root = f" {root!r}" if root else ""
        self._rows = 0
        self._classes: dict[str, int] = {"": NO_LABEL}
        self._columns: dict[str, list[NDArray[np.generic]]] = {}

    def add(self, chunk: Mapping[str, Sequence[str]]) -> None:
        """Append the rows of this chunk."""
        chunk = {**chunk, "label": list(map(to_label, chunk["label"]))} if "label" in chunk else chunk
        for column in ("path", "label", "group", "domain"):
            self._check_lengths(column, chunk.get(column, ()))
        parsed: dict[str, NDArray[np.generic]] = {"path": as_texts(self._check_names(chunk["path"]))}
        if "label" in chunk:
            parsed["label"] = self._number_labels(chunk["label"])
        for column, parse in _PARSERS.items():
            if column in chunk:
                parsed[column] = parse(chunk[column], self._error_at)
        for column, values in parsed.items():
            self._columns.setdefault(column, []).append(values)
        self._rows += len(chunk["path"])

    def build(self) -> ImageColumns:
        """The columns of all rows. Raises ImageSetError if two images have the same name."""
        whole = {column: concatenate(chunks) for column, chunks in self._columns.items()}
        names = whole["path"]
        self._check_unique(names)
        classes = sort_classes(value for value in self._classes if value)
        warn_of_labels(self._where, classes)
        return ImageColumns(
            names=names,
            classes=classes,
            labels=self._renumber_labels(whole.get("label"), classes),
            splits=whole.get("split"),
            groups=whole.get("group"),
            domains=whole.get("domain"),
            weights=whole.get("weight"),
        )

    def _number_labels(self, values: Sequence[str]) -> NDArray[np.int32]:
        """The labels as numbers in the order of their first occurrence, as all classes are known only at the end."""
        known = self._classes
        for value in values:
            known.setdefault(value, len(known) - 1)
        return np.array([known[value] for value in values], np.int32)

    def _renumber_labels(self, numbers: NDArray[np.int32] | None, classes: tuple[str, ...]) -> NDArray[np.int32] | None:
        """The labels as positions in the sorted classes."""
        if numbers is None or not classes:
            return None
        position = {name: index for index, name in enumerate(classes)}
        by_occurrence = [position[name] for name in self._classes if name]
        return np.array([*by_occurrence, NO_LABEL], np.int32)[numbers]

    def _error_at(self, position: int, message: str) -> ImageSetError:
        return ImageSetError(f"{self._where}: image {self._rows + position + 1}: {message}")

    def _check_lengths(self, column: str, values: Sequence[str]) -> None:
        longest = max(values, key=len, default="")
        for position, value in enumerate(values):
            if value.endswith("\0"):
                raise self._error_at(position, f"the {column} ends in a zero byte ({value!r}); remove it")
        if len(longest) > LONGEST_TEXT // 4 and len(longest.encode()) > LONGEST_TEXT:
            position = values.index(longest)
            raise self._error_at(position, f"the {column} is longer than {LONGEST_TEXT} bytes; shorten it")

    def _check_names(self, values: Sequence[str]) -> list[str]:
        names = [as_name(value) for value in values]
        for position, (name, value) in enumerate(zip(names, values, strict=True)):
            if name is not value and "://" in value:
                message = f"{hide_secrets(value)!r} is an address; give the part that all addresses share as --root"
                raise self._error_at(position, message)
            if _DRIVE.match(name) or name.startswith("/") or name == "." or "\0" in name or ".." in name.split("/"):
                raise self._error_at(
                    position,
                    f"{value!r} is not inside the root folder{self._root}; give a path relative to the manifest's "
                    "folder, or give the folder that all images are in as --root",
                )
        return names

    def _check_unique(self, names: NDArray[np.bytes_]) -> None:
        if repeated := find_repeated(names):
            first, second = repeated
            name = bytes(names[first]).decode()
            raise ImageSetError(f"{self._where}: {name!r} is both image {first + 1} and image {second + 1}; remove one")
