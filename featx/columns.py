"""Names, labels, splits, groups, domains and weights of images as arrays, and the checks of what they are read from."""

import logging
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from featx.errors import FeatxError
from featx.hashing import hash_image_set

logger = logging.getLogger(__name__)

NO_LABEL = -1
MISSING_WORDS = ("nan", "none", "null", "na", "n/a", "<na>", "nil", "nat")
"""What programs write for a missing value, in lower case; as a label it is a name, but probably meant otherwise."""
_FRACTION = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
SPLITS = ("train", "validation", "test")
SPLIT_SPELLINGS = {
    "train": ("train", "training", "trn"),
    "validation": ("validation", "val", "valid", "validate", "dev", "eval", "evaluation"),
    "test": ("test", "testing", "tst"),
}
"""Split -> its usual spellings, in lower case."""
FURTHER_COLUMNS = ("splits", "groups", "domains", "weights")
"""What may be known about images besides their labels: fields of ImageColumns, and of tables."""
CHUNK = 4_096
"""Number of rows that are Python objects at the same time while columns are built, so that memory stays small."""

ErrorAt: TypeAlias = Callable[[int, str], FeatxError]
"""Returns the error for the value at this position of a chunk, given a message that says what is wrong with it."""


@dataclass(frozen=True, kw_only=True)
class ImageColumns:
    """What is known about n images before any is opened; every array has one entry per image, in one fixed order."""

    names: NDArray[np.bytes_]
    """(n,): UTF-8, `/`-separated."""
    classes: tuple[str, ...] = ()
    labels: NDArray[np.int32] | None = None
    """(n,): positions in `classes`; -1 for images without a label."""
    splits: NDArray[np.bytes_] | None = None
    """(n,): `train`, `validation` or `test`."""
    groups: NDArray[np.bytes_] | None = None
    """(n,): images of one group (a patient, a scene, a module) are never in two parts of a split."""
    domains: NDArray[np.bytes_] | None = None
    """(n,): where each image comes from: a camera, a scanner, a site."""
    weights: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.names)

    def name(self, row: int) -> str:
        """Name of the image in this row."""
        return bytes(self.names[row]).decode()

    @cached_property
    def hash(self) -> str:
        """sha256 over names, classes and all other columns, but not over the images' bytes."""
        classes = as_texts(self.classes) if self.classes else None
        columns = (self.names, classes, self.labels, self.splits, self.groups, self.weights)
        return hash_image_set(columns, self.domains)


def take(values: NDArray[Any] | None, rows: slice | NDArray[np.int64]) -> NDArray[Any] | None:
    """These rows of a column, or None for a column that was not given."""
    return None if values is None else values[rows]


def as_name(path: str) -> str:
    """The path without `.`, repeated or trailing slashes; the same object if nothing has to be removed."""
    plain = path and "//" not in path and "./" not in path and not path.endswith(("/", "/."))
    return path if plain else str(PurePosixPath(path))


def as_texts(values: Sequence[str]) -> NDArray[np.bytes_]:
    """The texts as one array of UTF-8, as wide as the longest text."""
    return np.array([value.encode() for value in values], np.bytes_)


class TextsBuilder:
    """Builds an array of texts from single texts, of which at most CHUNK are Python objects at the same time."""

    def __init__(self) -> None:
        self._chunks: list[NDArray[Any]] = []
        self._last: list[str] = []

    def add(self, text: str) -> None:
        """Append this text."""
        self._last.append(text)
        if len(self._last) == CHUNK:
            self._chunks.append(as_texts(self._last))
            self._last = []

    def build(self) -> NDArray[np.bytes_]:
        """All texts as one array of UTF-8, as wide as the longest text; the builder is empty afterwards."""
        chunks = [*self._chunks, as_texts(self._last)]
        self._chunks = []
        self._last = []
        return concatenate(chunks)


def concatenate(chunks: list[NDArray[Any]]) -> NDArray[Any]:
    """The chunks joined; the list is emptied chunk by chunk, so that the data is not in memory twice."""
    if not chunks:
        return np.empty(0, "S1")
    whole = np.empty(sum(map(len, chunks)), max((chunk.dtype for chunk in chunks), key=lambda dtype: dtype.itemsize))
    stop = len(whole)
    while chunks:
        chunk = chunks.pop()
        whole[stop - len(chunk) : stop] = chunk
        stop -= len(chunk)
    return whole


def to_text(value: object) -> str:
    """A value of a table or an array as a text: 3.0 as "3"; None and the number NaN as ""."""
    if value is None or value != value:  # noqa: PLR0124 - only NaN differs from itself
        return ""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, Decimal) and value.is_finite() and value == int(value):
        return str(int(value))
    return str(value)


def to_label(value: object) -> str:
    """The name of the class that a value stands for, or an empty text for no label: the rule for all kinds of input.

    A text is the name, as it is written, without surrounding spaces: `001`, `1.0`, `nan` and `None` are names. Only a
    blank text, a null or the number NaN means that there is no label. A whole number has no fraction: 3.0 is `3`.
    """
    return to_text(value).strip()


def warn_of_labels(where: str, classes: Sequence[str]) -> None:
    """Log the names of classes that were probably meant as no label, or as numbers."""
    if missing := [name for name in classes if name.lower() in MISSING_WORDS]:
        logger.warning("%s: label %r is the name of a class; leave a label blank if there is none", where, missing[0])
    fractions = [name for name in classes if _FRACTION.fullmatch(name)]
    if not fractions:
        return
    if all(float(name).is_integer() for name in fractions):
        step = "write whole numbers without a fraction, if they are classes of other files"
    else:
        step = "give soft labels in columns 'share:CLASS' of annotations, and weights in a column 'weight'"
    logger.warning("%s: label %r is the name of a class, as it is written; %s", where, fractions[0], step)


def sort_classes(values: Iterable[str]) -> tuple[str, ...]:
    """The class names in numerical order if all are whole numbers, else in alphabetical order."""
    found = list(values)
    numbers = all(re.fullmatch(r"-?[0-9]+", value) for value in found)
    return tuple(sorted(found, key=lambda value: (int(value) if numbers else 0, value)))


def find_repeated(names: NDArray[np.bytes_]) -> tuple[int, int] | None:
    """The first two rows with the same name, or None if all names differ."""
    order = np.argsort(names, kind="stable")
    repeated: list[tuple[int, int]] = []
    for start in range(0, len(names), CHUNK):  # comparing all at once would take two more copies of all names
        rows = order[start : start + CHUNK + 1]
        equal = np.flatnonzero(names[rows[1:]] == names[rows[:-1]])
        if len(equal):
            repeated.append(min((int(rows[place]), int(rows[place + 1])) for place in equal))
    return min(repeated, default=None)


def find_split(text: str) -> str | None:
    """`train`, `validation` or `test` for any of their usual spellings, such as `Training`; None for other texts."""
    word = text.strip().lower()
    return next((split for split, spellings in SPLIT_SPELLINGS.items() if word in spellings), None)


def parse_splits(values: Sequence[str], error_at: ErrorAt) -> NDArray[np.bytes_]:
    """The values of a column `split` in any usual spelling. Raises the error for an unknown split."""
    known = {value: find_split(value) for value in set(values)}
    for position, value in enumerate(values):
        if known[value] is None:
            raise error_at(position, f"split {value!r} is not one of {', '.join(SPLITS)}; correct it")
    return as_texts([known[value] or "" for value in values])


def parse_groups(values: Sequence[str], error_at: ErrorAt, *, column: str = "group") -> NDArray[np.bytes_]:
    """The values of a column `group`, or of another one. Raises the error for a blank one."""
    if "" in values:
        raise error_at(list(values).index(""), f"the {column} is blank; name a {column} for every image")
    return as_texts(values)


def parse_domains(values: Sequence[str], error_at: ErrorAt) -> NDArray[np.bytes_]:
    """The values of a column `domain`. Raises the error for a blank one."""
    return parse_groups(values, error_at, column="domain")


def parse_weights(values: Sequence[str], error_at: ErrorAt, *, column: str = "weight") -> NDArray[np.float32]:
    """The values of a column of numbers. Raises the error for one that is not a finite number of 0 or more."""
    weights = []
    for position, value in enumerate(values):
        try:
            weight = float(value)
        except ValueError:
            weight = math.nan
        if not 0 <= weight <= float(np.finfo(np.float32).max):
            raise error_at(position, f"{column} {value!r} is not a number of 0 or more; correct it")
        weights.append(weight)
    return np.array(weights, np.float32)
