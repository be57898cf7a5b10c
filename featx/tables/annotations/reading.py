"""Reads annotations: a CSV file with labels, splits, groups, domains and weights of images, checked line by line."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from featx.csv_columns import CsvTable, check_header, choose_path_column, iter_chunks, match_case, open_csv
from featx.errors import TableError

NAME_COLUMNS = ("path", "name")
SHARE = "share:"
"""Beginning of the names of columns with soft labels."""
HAS = "has:"
"""Beginning of the names of columns with several labels per image."""
SEPARATOR = "|"
"""Separates the labels of one image in the output of `featx predict`."""
FIXED_COLUMNS = (*NAME_COLUMNS, "label", "split", "group", "domain", "weight")
KNOWN_COLUMNS = (*FIXED_COLUMNS, f"{SHARE}CLASS", f"{HAS}CLASS")
_PARSERS: Mapping[str, Callable[[Sequence[str], ErrorAt], NDArray[Any]]] = {
    "split": parse_splits,
    "group": parse_groups,
    "domain": parse_domains,
    "weight": parse_weights,
}
SHARE_TOLERANCE = 1e-3
"""How far the sum of an image's shares may be from 1."""


@dataclass(frozen=True, kw_only=True)
class Annotations(ImageColumns):
    """What a file says about n images; every array has one entry per line of the file."""

    where: str
    """Path of the file, for messages."""
    shares: NDArray[np.float32] | None = None
    """(n, classes): soft labels, or 0 and 1 for each class if images have several; NaN for lines without a label."""
    multilabel: bool = False

    @property
    def has_labels(self) -> bool:
        """Whether the file has labels, and not only splits, groups, domains or weights."""
        return self.labels is not None or self.shares is not None


def read_annotations(path: Path | str) -> Annotations:
    r"""The annotations in a CSV file with one line per image; its first line names the columns.

    The column `path` or `name`, or one with a usual name for it such as `file_name`, has the image's name in the cache.
    Any of these follow: `label`, `split`, `group`, `domain`, `weight`, `share:CLASS` (soft labels of 0 or more, which
    sum to 1 within a thousandth and are scaled to 1) and `has:CLASS` (several labels, 0 or 1 each). A label is a text
    as it is written, without surrounding spaces. An image has no label if its `label` or all its `share:` or `has:`
    columns are blank. Raises TableError naming the line and the next step.

    >>> import featx
    >>> lines = ["name,label", "circle/000.png,round", "star/000.png,pointed"]
    >>> with open("annotations.csv", "w") as file:
    ...     print(*lines, sep="\n", file=file)
    >>> featx.read_annotations("annotations.csv").classes
    ('pointed', 'round')
    """
    where = str(path)
    with open_csv(where, lambda: Path(path).open("rb"), error_type=TableError) as table:
        columns = _read_columns(table)
    lines = columns.pop("line")
    names = next(columns.pop(name) for name in NAME_COLUMNS if name in columns)
    _check_unique(where, names, lines)
    known: dict[str, Any] = {f"{name}s": columns.get(name) for name in ("split", "group", "domain", "weight")}
    return Annotations(where=where, names=names, **known, **_build_labels(where, columns, lines))


def _read_columns(table: CsvTable) -> dict[str, NDArray[Any]]:
    """The used columns, and the line number of each row as `line`."""
    header = _name_columns(table)
    used = [column for column in header if _is_used(column)]
    check_header(table.where, header, known=KNOWN_COLUMNS, used=used, error_type=TableError)
    _check_columns(table.where, header)
    chunks: dict[str, list[NDArray[Any]]] = {column: [] for column in ("line", *used)}
    for numbers, values in iter_chunks(table, {column: header.index(column) for column in used}):
        chunks["line"].append(np.array(numbers))
        error_at = _errors_of_lines(table.where, numbers)
        for column in used:
            chunks[column].append(_parse(column, values[column], error_at))
    return {column: concatenate(parts) for column, parts in chunks.items()}


def _name_columns(table: CsvTable) -> list[str]:
    """The names of the columns, without spaces, and known ones in lower case."""
    header = [":".join(part.strip() for part in column.split(":", 1)) for column in table.header]
    header = [_lower_kind(column) for column in match_case(header, FIXED_COLUMNS)]
    if set(header) & set(NAME_COLUMNS):
        return header
    return choose_path_column(table.where, header, error_type=TableError)


def _lower_kind(column: str) -> str:
    """The column with `share:` or `has:` at its beginning in lower case."""
    kind, colon, name = column.partition(":")
    return f"{kind.lower()}:{name}" if colon and f"{kind.lower()}:" in (SHARE, HAS) else column


def _errors_of_lines(where: str, numbers: Sequence[int]) -> ErrorAt:
    return lambda position, message: TableError(f"{where}: line {numbers[position]}: {message}")


def _is_used(column: str) -> bool:
    return column in FIXED_COLUMNS or column.startswith((SHARE, HAS))


def _check_columns(where: str, header: Sequence[str]) -> None:
    """Raise TableError unless one column names the images, others describe them, and one kind of label is used."""
    if len([column for column in header if column in NAME_COLUMNS]) != 1:
        raise TableError(
            f"{where}: needs one column 'path' or 'name', but has {list(header)[:20]}; name the columns in the first "
            "line"
        )
    if not any(map(_is_used, set(header) - set(NAME_COLUMNS))):
        raise TableError(
            f"{where}: says nothing about its images; add one of the columns {', '.join(KNOWN_COLUMNS[2:])}"
        )
    kinds = {_label_kind(column): column for column in header}
    labelling = [column for kind, column in kinds.items() if kind]
    if len(labelling) > 1:
        raise TableError(f"{where}: both {labelling[0]!r} and {labelling[1]!r} give labels; keep one of them")
    for column in header:
        if column in (SHARE, HAS):
            raise TableError(f"{where}: column {column!r} names no class; write {column}CLASS")
        if column.startswith(HAS) and SEPARATOR in column:
            raise TableError(f"{where}: column {column!r} has a {SEPARATOR}, which separates labels; rename the class")


def _label_kind(column: str) -> str:
    """How a column gives labels: `label`, `share:` or `has:`; empty if it does not."""
    if column == "label":
        return column
    return next((kind for kind in (SHARE, HAS) if column.startswith(kind)), "")


def _parse(column: str, values: Sequence[str], error_at: ErrorAt) -> NDArray[Any]:
    """The values of a column, parsed from its texts."""
    if column in NAME_COLUMNS:
        return _parse_names(values, error_at)
    if column == "label":
        return as_texts(list(map(to_label, values)))
    if column in _PARSERS:
        return _PARSERS[column](values, error_at)
    return _parse_shares(column, values, error_at)


def _parse_names(values: Sequence[str], error_at: ErrorAt) -> NDArray[np.bytes_]:
    if "" in values:
        raise error_at(list(values).index(""), "the name of the image is blank; correct it")
    return as_texts([as_name(value) for value in values])


def _parse_shares(column: str, values: Sequence[str], error_at: ErrorAt) -> NDArray[np.float32]:
    """(n,): the numbers of a column of shares or of several labels; NaN for blank ones."""
    if column.startswith(HAS):
        for position, value in enumerate(values):
            if value and _number(value) not in (0, 1):
                raise error_at(position, f"{column} {value!r} is neither 0 nor 1; correct it")
    blank = np.array([not value for value in values])
    numbers = parse_weights([value or "0" for value in values], error_at, column=column)
    return np.where(blank, np.float32(np.nan), numbers)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def _check_unique(where: str, names: NDArray[np.bytes_], lines: NDArray[np.int64]) -> None:
    if repeated := find_repeated(names):
        first, second = repeated
        name = bytes(names[first]).decode()
        raise TableError(f"{where}: {name!r} is on line {lines[first]} and on line {lines[second]}; remove one")


def _build_labels(where: str, columns: Mapping[str, NDArray[Any]], lines: NDArray[np.int64]) -> dict[str, Any]:
    """The label fields of Annotations, by name: classes, and labels or shares; empty if the file has no labels."""
    if "label" in columns:
        texts, place = np.unique(columns["label"], return_inverse=True)
        classes = sort_classes(text.decode() for text in texts.tolist() if text)
        warn_of_labels(where, classes)
        codes = [classes.index(text.decode()) if text else NO_LABEL for text in texts.tolist()]
        return {"classes": classes, "labels": np.array(codes, np.int32)[place]}
    prefix = next((kind for column in columns if (kind := _label_kind(column))), None)
    if prefix is None:
        return {}
    given = {column.removeprefix(prefix): values for column, values in columns.items() if column.startswith(prefix)}
    classes = sort_classes(given)
    shares = np.stack([given[name] for name in classes], axis=1)
    return {"classes": classes, "shares": _check_shares(where, shares, lines, prefix), "multilabel": prefix == HAS}


def _check_shares(
    where: str, shares: NDArray[np.float32], lines: NDArray[np.int64], prefix: str
) -> NDArray[np.float32]:
    """The shares, scaled to sum to 1 unless they are several labels. Raises TableError."""
    blank = np.isnan(shares)
    if len(partly := np.flatnonzero(blank.any(axis=1) & ~blank.all(axis=1))):
        raise TableError(
            f"{where}: line {lines[partly[0]]}: some of its {prefix!r} columns are blank; fill in all or none"
        )
    if prefix == HAS:
        return shares
    sums = shares.sum(axis=1, dtype=np.float64)
    if len(off := np.flatnonzero(np.abs(sums - 1) > SHARE_TOLERANCE)):
        raise TableError(f"{where}: line {lines[off[0]]}: its shares sum to {sums[off[0]]:g}, not to 1; correct them")
    return np.asarray(shares / sums[:, None], np.float32)
