"""Checks that what a cache says has the types and ranges of format 1, whoever wrote the file."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from featx.cache.file import BLOCK_ROWS, DOMAIN, FORMAT, FORMAT_VERSION, Cache, Field, blocks
from featx.columns import SPLITS
from featx.settings import CENTER

_Text = Annotated[str, Meta(max_length=1 << 20)]
_Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Name = Annotated[str, Meta(min_length=1, max_length=10_000)]
_Dim = Annotated[int, Meta(gt=0)]

OPTIONAL: Mapping[str, tuple[str | None, tuple[int, ...]]] = {
    "images/label": ("i4", ()),
    "images/split": (None, ()),
    "images/group": (None, ()),
    DOMAIN: (None, ()),
    "images/weight": ("f4", ()),
    "labels/name": (None, ()),
}
"""Datasets that a cache may have -> type and shape of a row; None stands for text of fixed length."""


@dataclass(frozen=True, kw_only=True)
class _Attributes:
    """The root attributes that featx reads; a file may have others."""

    format: str
    format_version: int
    card: str
    backbone: _Sha256
    image_set: _Sha256
    provider: _Text
    sealed: Annotated[str, Meta(pattern=r"\A[\d.]{4}-[\d.]{2}-[\d.]{2}T[\d.]{2}:[\d.]{2}:[\d.]{2}Z\Z")]
    versions: str
    outputs: str = ""
    device: _Text = ""
    precision: _Text = ""
    started: _Text = ""
    batch_size: Annotated[int, Meta(ge=0, lt=2**31)] = 0
    domains: Annotated[str, Meta(pattern=r"\A([0-9a-f]{64})?\Z")] = ""
    decode: Literal["exact", "fast"] = "exact"
    model_sha256: _Text = ""
    status_codes: str = "{}"
    views: str = ""


@dataclass(frozen=True, kw_only=True)
class _Output:
    """A further output on a card."""

    name: _Name
    dim: _Dim
    pool: str = ""


@dataclass(frozen=True, kw_only=True)
class _Card:
    """The keys that featx reads of the backbone's card in a cache; a card has others."""

    name: _Name
    feature: _Name
    dim: _Dim
    pool: str = ""
    outputs: tuple[_Output, ...] = ()


_JSON = {
    "card": _Card,
    "versions": dict[_Name, _Text],
    "outputs": dict[_Name, _Sha256],
    "status_codes": dict[str, _Text],
    "views": Annotated[list[_Name], Meta(min_length=2)],
}
"""Attributes that contain JSON -> what it has to be."""


def attribute_problems(attributes: Mapping[str, Any]) -> Iterator[str]:
    """Yields what is wrong with the root attributes; the first problem is enough to refuse the file."""
    if attributes.get("format") != FORMAT:
        yield f"its attribute format is {attributes.get('format')!r}, not {FORMAT!r}"
    try:
        checked = msgspec.convert(dict(attributes), _Attributes, strict=True)
    except msgspec.ValidationError as error:
        yield f"its attributes are not those of a cache ({error})"
        return
    if checked.format_version != FORMAT_VERSION:
        yield f"its attribute format_version is {checked.format_version}, not {FORMAT_VERSION}"
    for name, type_ in _JSON.items():
        text = getattr(checked, name)
        if problem := _json_problem(text, type_) if text else "":
            yield f"its attribute {name} is wrong ({problem})"
    if checked.outputs and (wrong := _output_names(checked.card) ^ set(msgspec.json.decode(checked.outputs))):
        yield f"its attributes card and outputs do not have the same outputs ({', '.join(sorted(wrong))})"
    views = msgspec.json.decode(checked.views) if checked.views else [CENTER]
    if views[0] != CENTER or len(set(views)) < len(views):
        yield f"its attribute views is {checked.views}, not {CENTER} and then other names, each once"


def _json_problem(text: str, type_: Any) -> str:
    try:
        msgspec.json.decode(text.encode(), type=type_, strict=True)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return str(error)
    return ""


def _output_names(card: str) -> set[str]:
    """Names of all outputs on a card in JSON."""
    checked = msgspec.json.decode(card.encode(), type=_Card)
    return {checked.feature, *(output.name for output in checked.outputs)}


def column_problems(fields: Mapping[str, Field], rows: int) -> Iterator[str]:
    """Yields the image columns, and the class names, whose type or shape is not that of the format."""
    for name, (dtype, _) in OPTIONAL.items():
        field = fields.get(name)
        if field is None:
            continue
        shape = (rows,) if name.startswith("images/") else field.shape[:1]
        is_right = field.dtype.kind == "S" if dtype is None else field.dtype == np.dtype(dtype)
        if not is_right or field.shape != shape or len(field.shape) != 1:
            yield f"{name} is {field.dtype} of shape {field.shape}, not {dtype or 'text'} of shape {shape or ('C',)}"
    if fields["images/name"].dtype.kind != "S":
        yield f"images/name is {fields['images/name'].dtype}, not text of fixed length"


def value_problems(cache: Cache) -> Iterator[str]:
    """Yields the first wrong value of each image column, and of the class names; rows are read block by block."""
    for name in ("labels/name", "images/name", "images/split", "images/group", DOMAIN):
        if name in cache.fields and (found := _find_text(cache, name)):
            yield found
    names = cache.read("labels/name").tolist() if "labels/name" in cache.fields else []
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        yield f"labels/name has {repeated[0].decode(errors='replace')!r} twice"
    classes = len(names)
    checks = {
        "images/label": (lambda values: (values >= -1) & (values < classes), f"from -1 to {classes - 1}"),
        "images/weight": (lambda values: np.isfinite(values) & (values >= 0), "a finite number from 0"),
        "images/split": (lambda values: np.isin(values, [b"", *map(str.encode, SPLITS)]), " or ".join(SPLITS)),
    }
    for name, (is_right, wanted) in checks.items():
        if name in cache.fields and (found := _find_value(cache, name, is_right, wanted)):
            yield found


def _find_value(cache: Cache, name: str, is_right: Any, wanted: str) -> str:
    """The first value of a column that is not right, in words; empty if there is none."""
    for rows in blocks(cache.fields[name].shape[0], BLOCK_ROWS):
        values = cache.read(name, rows)
        wrong = np.flatnonzero(~is_right(values))
        if len(wrong):
            value = values[wrong[0]].item()
            return f"{name} of row {rows.start + wrong[0]} is {value!r}, not {wanted}"
    return ""


def _find_text(cache: Cache, name: str) -> str:
    """The first text of a column that is not UTF-8, in words; empty if there is none."""
    for rows in blocks(cache.fields[name].shape[0], BLOCK_ROWS):
        values = cache.read(name, rows)
        if _is_ascii(values):
            continue
        for row, value in enumerate(values.tolist(), start=rows.start):
            if not _is_utf8(value):
                return f"{name} of row {row} is {value!r}, not UTF-8"
    return ""


def _is_ascii(values: NDArray[np.bytes_]) -> bool:
    return bool((np.frombuffer(values.tobytes(), np.uint8) < 128).all())


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
