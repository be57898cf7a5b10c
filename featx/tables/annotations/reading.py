"""A CSV file in; what it says of images, checked line by line, out."""

import csv
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

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
from featx.errors import TableError, did_you_mean

logger = logging.getLogger(__name__)

NAMES = ("path", "name")
TEXTS = ("label", "split", "group")
SHARE, HAS = "share:", "has:"
SEPARATOR = "|"
"""What stands between the labels that `featx predict` gives one image."""
KNOWN = (*NAMES, *TEXTS, "weight", f"{SHARE}CLASS", f"{HAS}CLASS")
TOLERANCE = 1e-3
"""How far from 1 the shares of an image may sum."""
FRACTION = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|nan", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Annotations(ImageColumns):
    """What is known of images, apart from their features: one entry a line of the file."""

    where: str
    """The file."""
    shares: NDArray[np.float32] | None = None
    """(n, classes): soft labels, or 0 and 1 for each class; NaN where an image has none."""
    multilabel: bool = False

    @property
    def labelling(self) -> bool:
        """Whether it says what images are, and not only of their split, group or weight."""
        return self.labels is not None or self.shares is not None


def read_annotations(path: Path | str) -> Annotations:
    """What a CSV file says of images, one line an image, its columns named by the first line.

    `path` or `name` is the image's name in the cache; beside it stand any of `label`, `split`, `group`, `weight`,
    `share:CLASS` (soft labels: 0 or more, 1 in sum within a thousandth, then scaled to 1), `has:CLASS` (several labels:
    0 or 1). An empty label, or a line of empty shares, is none. Raises TableError naming the line and the next step.
    """
    where = str(path)
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            columns = _read_columns(where, file)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{where}: not a readable CSV file ({error}); save it as UTF-8 CSV") from error
    lines = columns.pop("line")
    names = next(columns.pop(name) for name in NAMES if name in columns)
    _check_twins(where, names, lines)
    known: dict[str, Any] = {f"{name}s": columns.get(name) for name in ("split", "group", "weight")}
    return Annotations(where=where, names=names, **known, **_what_images_are(where, columns, lines))


def _read_columns(where: str, file: TextIO) -> dict[str, NDArray[Any]]:
    reader = csv.reader(file, strict=True)
    header = [":".join(part.strip() for part in column.split(":", 1)) for column in next(reader, [])]
    _check_header(where, header)
    used = {column: index for index, column in enumerate(header) if _is_known(column)}
    chunks: dict[str, list[NDArray[Any]]] = {column: [] for column in ("line", *used)}
    rows = _check_lines(where, reader, columns=len(header))
    while chunk := list(islice(rows, CHUNK)):
        lines = [line for line, _ in chunk]
        chunks["line"].append(np.array(lines))
        for column, index in used.items():
            chunks[column].append(_parse(where, column, [row[index].strip() for _, row in chunk], lines))
    if not chunks["line"]:
        raise TableError(f"{where}: lists no images; add one line an image")
    return {column: concatenate(parts) for column, parts in chunks.items()}


def _is_known(column: str) -> bool:
    return column in (*NAMES, *TEXTS, "weight") or column.startswith((SHARE, HAS))


def _is_of(column: str, kind: str) -> bool:
    """Whether it says what an image is, in this way."""
    return column.startswith(kind) if kind.endswith(":") else column == kind


def _check_header(where: str, header: Sequence[str]) -> None:
    for column in header:
        if not _is_known(column) and (hint := did_you_mean(column, KNOWN)):
            logger.warning("%s: column %r is not used%s", where, column, hint)
    if twice := [column for column, count in Counter(header).items() if count > 1]:
        raise TableError(f"{where}: column {min(twice)!r} stands twice; remove one")
    if len([column for column in header if column in NAMES]) != 1:
        raise TableError(
            f"{where}: needs one column 'path' or 'name', and has {list(header)[:20]}; its first line names them"
        )
    if not any(map(_is_known, set(header) - set(NAMES))):
        raise TableError(f"{where}: says nothing of its images; add one of the columns {', '.join(KNOWN[2:])}")
    kinds = {kind: column for column in header for kind in ("label", SHARE, HAS) if _is_of(column, kind)}
    if len(kinds) > 1:
        first, second, *_ = kinds.values()
        raise TableError(f"{where}: both {first!r} and {second!r} say what an image is; keep one of them")
    if empty := [column for column in header if column in (SHARE, HAS)]:
        raise TableError(f"{where}: column {empty[0]!r} names no class; write {empty[0]}CLASS")
    if split := [column for column in header if column.startswith(HAS) and SEPARATOR in column]:
        raise TableError(
            f"{where}: column {split[0]!r} has a {SEPARATOR}, which stands between labels; rename the class"
        )


def _check_lines(where: str, reader: Any, *, columns: int) -> Iterator[tuple[int, list[str]]]:
    for row in reader:
        if row and len(row) != columns:
            raise TableError(f"{where}: line {reader.line_num} has {len(row)} values for {columns} columns; correct it")
        if row:
            yield reader.line_num, row


def _parse(where: str, column: str, values: Sequence[str], lines: Sequence[int]) -> NDArray[Any]:
    """The column's texts as what it holds."""
    if column in NAMES:
        return as_texts([_check_name(where, line, value) for line, value in zip(lines, values, strict=True)])
    if column == "split":
        values = [SPLIT_ALIASES.get(value, value) for value in values]
    for line, value in zip(lines, values, strict=True):
        if column == "split" and value not in SPLITS:
            raise TableError(f"{where}: line {line}: split {value!r} is none of {', '.join(SPLITS)}; correct it")
        if column == "group" and not value:
            raise TableError(f"{where}: line {line}: its group is blank; name one for every image")
        if column == "label" and FRACTION.fullmatch(value):
            raise TableError(
                f"{where}: line {line}: label {value!r} is a fraction, and labels are names; give soft labels "
                f"in columns '{SHARE}CLASS', or a weight in a column 'weight'"
            )
    if column in TEXTS:
        return as_texts(values)
    return np.array(
        [_number(where, column, value, line) for line, value in zip(lines, values, strict=True)], np.float32
    )


def _check_name(where: str, line: int, value: str) -> str:
    if not value:
        raise TableError(f"{where}: line {line} names no image; correct it")
    return as_name(value)


def _number(where: str, column: str, value: str, line: int) -> float:
    if not value and column != "weight":
        return np.nan
    try:
        number = float(value)
    except ValueError:
        number = np.nan
    if column.startswith(HAS) and number not in (0, 1):
        raise TableError(f"{where}: line {line}: {column!r} is {value!r}, neither 0 nor 1; correct it")
    if not 0 <= number <= float(np.finfo(np.float32).max):
        raise TableError(f"{where}: line {line}: {column!r} is {value!r}, not a number of 0 or more; correct it")
    return number


def _check_twins(where: str, names: NDArray[np.bytes_], lines: NDArray[np.int64]) -> None:
    order = np.argsort(names, kind="stable")
    twins = np.flatnonzero(names[order[1:]] == names[order[:-1]])
    if len(twins):
        first, second = order[twins[0] : twins[0] + 2]
        name = bytes(names[first]).decode()
        raise TableError(f"{where}: {name!r} stands on line {lines[first]} and on line {lines[second]}; remove one")


def _what_images_are(where: str, columns: Mapping[str, NDArray[Any]], lines: NDArray[np.int64]) -> dict[str, Any]:
    """Classes, and labels or shares, where the file gives any."""
    if "label" in columns:
        texts, place = np.unique(columns["label"], return_inverse=True)
        classes = sort_classes(text.decode() for text in texts.tolist() if text)
        numbers = [classes.index(text.decode()) if text else NO_LABEL for text in texts.tolist()]
        return {"classes": classes, "labels": np.array(numbers, np.int32)[place]}
    prefix = next((prefix for prefix in (SHARE, HAS) for column in columns if column.startswith(prefix)), None)
    if prefix is None:
        return {}
    given = {column.removeprefix(prefix): values for column, values in columns.items() if column.startswith(prefix)}
    classes = sort_classes(given)
    shares = np.stack([given[name] for name in classes], axis=1)
    return {"classes": classes, "shares": _check_shares(where, shares, lines, prefix), "multilabel": prefix == HAS}


def _check_shares(
    where: str, shares: NDArray[np.float32], lines: NDArray[np.int64], prefix: str
) -> NDArray[np.float32]:
    blank = np.isnan(shares)
    if len(partly := np.flatnonzero(blank.any(axis=1) & ~blank.all(axis=1))):
        raise TableError(
            f"{where}: line {lines[partly[0]]}: some of its {prefix!r} columns are blank; fill in all or none"
        )
    if prefix == HAS:
        return shares
    sums = shares.sum(axis=1, dtype=np.float64)
    if len(off := np.flatnonzero(np.abs(sums - 1) > TOLERANCE)):
        raise TableError(f"{where}: line {lines[off[0]]}: its shares sum to {sums[off[0]]:g}, not to 1; correct them")
    return np.asarray(shares / sums[:, None], np.float32)
