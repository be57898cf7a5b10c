"""Columns of an image set, built and checked chunk by chunk from the texts that a listing gives."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from featx.columns import (
    CHUNK,
    NO_LABEL,
    SPLIT_ALIASES,
    SPLITS,
    ImageColumns,
    as_name,
    as_texts,
    concatenate,
    sort_classes,
)
from featx.errors import ImageSetError

MANIFEST_COLUMNS = ("path", "label", "split", "group", "weight")
LONGEST_TEXT = 4096
"""Bytes of a name, a label or a group: a column is as wide as its longest text, and Linux has no longer paths."""


class ColumnsBuilder:
    """Takes chunks of columns of texts: `path` and maybe `label`, `split`, `group`, `weight`.

    Every chunk has the same columns; an empty label means none. Raises ImageSetError naming the image, counted from 1,
    and the next step.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._rows = 0
        self._classes: dict[str, int] = {"": NO_LABEL}
        self._columns: dict[str, list[NDArray[np.generic]]] = {}

    def add(self, chunk: Mapping[str, Sequence[str]]) -> None:
        """Add the rows of this chunk behind those that are there."""
        for column in ("path", "label", "group"):
            self._check_lengths(column, chunk.get(column, ()))
        made: dict[str, NDArray[np.generic]] = {"path": as_texts(self._check_names(chunk["path"]))}
        if "label" in chunk:
            made["label"] = self._number_labels(chunk["label"])
        if "split" in chunk:
            made["split"] = as_texts(self._check_splits(chunk["split"]))
        if "group" in chunk:
            made["group"] = as_texts(self._check_groups(chunk["group"]))
        if "weight" in chunk:
            made["weight"] = self._check_weights(chunk["weight"])
        for name, values in made.items():
            self._columns.setdefault(name, []).append(values)
        self._rows += len(chunk["path"])

    def build(self) -> ImageColumns:
        """The columns of all rows. Raises ImageSetError where a name stands twice."""
        whole = {name: concatenate(chunks) for name, chunks in self._columns.items()}
        names = whole["path"]
        self._check_twins(names)
        classes = sort_classes(value for value in self._classes if value)
        labels = self._place_labels(whole.get("label"), classes)
        return ImageColumns(
            names=names,
            classes=classes,
            labels=labels,
            splits=whole.get("split"),
            groups=whole.get("group"),
            weights=whole.get("weight"),
        )

    def _number_labels(self, values: Sequence[str]) -> NDArray[np.int32]:
        """Labels by the order in which they were met, as all classes are known only at the end."""
        known = self._classes
        for value in values:
            known.setdefault(value, len(known) - 1)
        return np.array([known[value] for value in values], np.int32)

    def _place_labels(self, met: NDArray[np.int32] | None, classes: tuple[str, ...]) -> NDArray[np.int32] | None:
        if met is None or not classes:
            return None
        place = {name: index for index, name in enumerate(classes)}
        by_meeting = [place[name] for name in self._classes if name]
        return np.array([*by_meeting, NO_LABEL], np.int32)[met]

    def _error(self, offset: int, what: str) -> ImageSetError:
        return ImageSetError(f"{self._where}: image {self._rows + offset + 1}: {what}")

    def _check_lengths(self, column: str, values: Sequence[str]) -> None:
        longest = max(values, key=len, default="")
        for offset, value in enumerate(values):
            if value.endswith("\0"):
                raise self._error(offset, f"a {column} that ends in a zero byte ({value!r}); remove it")
        if len(longest) > LONGEST_TEXT // 4 and len(longest.encode()) > LONGEST_TEXT:
            raise self._error(values.index(longest), f"a {column} of more than {LONGEST_TEXT} bytes; shorten it")

    def _check_names(self, values: Sequence[str]) -> list[str]:
        names = [as_name(value) for value in values]
        for offset, (name, value) in enumerate(zip(names, values, strict=True)):
            if name is not value and "://" in value:
                raise self._error(offset, f"{value!r} is an address; give the part that all share as --root")
            if name.startswith("/") or name == "." or "\0" in name or ".." in name.split("/"):
                raise self._error(
                    offset,
                    f"{value!r} does not lie inside the root; give a path that is relative to the manifest's folder, "
                    "or to --root, without '..'",
                )
        return names

    def _check_twins(self, names: NDArray[np.bytes_]) -> None:
        order = np.argsort(names, kind="stable")
        twins: list[tuple[int, int]] = []
        for start in range(0, len(names), CHUNK):  # not all at once: that would be two more copies of all names
            rows = order[start : start + CHUNK + 1]
            same = np.flatnonzero(names[rows[1:]] == names[rows[:-1]])
            if len(same):
                twins.append(min((int(rows[place]), int(rows[place + 1])) for place in same))
        if twins:
            first, second = min(twins)
            name = bytes(names[first]).decode()
            raise ImageSetError(f"{self._where}: {name!r} is both image {first + 1} and image {second + 1}; remove one")

    def _check_splits(self, values: Sequence[str]) -> list[str]:
        splits = [SPLIT_ALIASES.get(value, value) for value in values]
        for offset, split in enumerate(splits):
            if split not in SPLITS:
                raise self._error(offset, f"split {split!r} is none of {', '.join(SPLITS)}; correct it")
        return splits

    def _check_groups(self, values: Sequence[str]) -> Sequence[str]:
        if "" in values:
            raise self._error(list(values).index(""), "its group is blank; name one for every image")
        return values

    def _check_weights(self, values: Sequence[str]) -> NDArray[np.float32]:
        weights = []
        for offset, value in enumerate(values):
            try:
                weight = float(value)
            except ValueError:
                weight = math.nan
            if not 0 <= weight <= float(np.finfo(np.float32).max):
                raise self._error(offset, f"weight {value!r} is not a number of 0 or more; correct it")
            weights.append(weight)
        return np.array(weights, np.float32)
