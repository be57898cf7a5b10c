"""The description of a head, head.json: every field is checked by type and range before anything uses it."""

import hashlib
import json
import math
from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from featx.errors import HeadError
from featx.hashing import hash_settings
from featx.provenance import __version__
from featx.settings import Decode, ViewRule

FORMAT = "featx head"
VERSION = 3
"""Version 3 added the digest."""
READ_VERSIONS = (2, VERSION)
MOST_BYTES = 2**24
MOST_CONTAINERS = 500_000
"""Lists and tables in a description: each takes some 80 bytes of memory, however few it has in the file."""

_Text: TypeAlias = Annotated[str, Meta(min_length=1, max_length=4096)]
_Digest: TypeAlias = Annotated[str, Meta(pattern=r"\A\w{64}\Z", description="the 64 digits of a sha256")]
_Count: TypeAlias = Annotated[int, Meta(ge=0)]
_Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
_Interval: TypeAlias = tuple[_Share, _Share] | None
_Scalar: TypeAlias = str | bool | int | float | None


class _Card(Struct):
    """What a head needs of a card; its other keys are kept as they are."""

    name: _Text
    feature: _Text
    dim: Annotated[int, Meta(gt=0)]
    pool: str = ""
    file: str = ""
    sha256: str = ""


class SourceDescription(Struct, forbid_unknown_fields=True):
    """Where some columns come from: the fields of a `Source`."""

    backbone: _Digest
    provider: _Text
    card: dict[str, Any]
    start: _Count
    stop: Annotated[int, Meta(gt=0)]
    decode: Decode = "exact"
    views: Annotated[tuple[_Text, ...], Meta(min_length=2)] | UnsetType = UNSET
    """Left out, as `view_rule` is, if only view 0 is used: so heads that know nothing of views keep their digest."""
    view_rule: ViewRule | UnsetType = UNSET

    @property
    def rows_of_views(self) -> int:
        """The number of views that stand side by side in the columns."""
        return len(self.views) if self.view_rule == "rows" and self.views is not UNSET else 1


class _Metrics(Struct):
    n: _Count
    accuracy: _Share | None
    accuracy_ci: _Interval
    average_precision: _Share | None
    average_precision_ci: _Interval


class _Training(Struct):
    """What featx uses of the result of the training; its other fields are kept as they are."""

    metrics: _Metrics | None = None
    test: str = ""
    images: str = ""
    split_key: str = ""


class Description(Struct, forbid_unknown_fields=True, kw_only=True):
    """All fields of a description."""

    format: Literal["featx head"]
    format_version: int
    name: _Text
    classes: Annotated[list[str], Meta(min_length=1)]
    params: dict[str, _Scalar | list[_Scalar]]
    temperature: Annotated[float, Meta(gt=0)]
    multilabel: bool
    sources: Annotated[list[SourceDescription], Meta(min_length=1)]
    training: dict[str, Any]
    versions: dict[str, str]
    digest: str = ""
    """sha256 of the other fields and of the pipeline; only descriptions of version 2 have none."""


def read_description(data: bytes) -> Description:
    """The description in these bytes of JSON. Raises HeadError for anything else, ValueError if it is no JSON."""
    if data.count(b"[") + data.count(b"{") > MOST_CONTAINERS:
        raise HeadError("its description has more parts than that of any head")
    values = json.loads(data)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise HeadError("is not a featx head; name a file that `featx train` wrote")
    _check_version(values.get("format_version"))
    return check_description(values)


def check_description(values: dict[str, Any]) -> Description:
    """The description with these values. Raises HeadError that names the first field that is wrong."""
    try:
        json.dumps(values, ensure_ascii=False).encode()
        found = msgspec.convert(values, Description)
        msgspec.convert(found.training, _Training)
        cards = [msgspec.convert(source.card, _Card) for source in found.sources]
    except msgspec.ValidationError as error:
        raise HeadError(f"its description is wrong: {error}{_other_version(values)}") from error
    except UnicodeEncodeError as error:
        raise HeadError("its description has text that is no Unicode") from error
    _check_numbers(found)
    _check_columns(found.sources, [card.dim for card in cards])
    if len(set(found.classes)) < len(found.classes):
        raise HeadError("its description is wrong: two classes have the same name")
    return found


def digest_of(description: Description, pipeline: bytes) -> str:
    """The sha256 of all fields but the digest, and of the bytes of the pipeline."""
    fields = msgspec.to_builtins(description)
    return hash_settings(fields | {"digest": "", "pipeline": hashlib.sha256(pipeline).hexdigest()})


def check_digest(description: Description, pipeline: bytes) -> None:
    """Raise HeadError unless description and pipeline are those that were saved together."""
    if description.format_version == 2 and not description.digest:
        return
    if description.digest != digest_of(description, pipeline):
        raise HeadError("its description and its pipeline are not those that were saved together")


def _check_version(version: object) -> None:
    if isinstance(version, int) and version > VERSION:
        raise HeadError(f"was written by a newer featx (format {version}; this one reads {VERSION}); update featx")
    if version not in READ_VERSIONS:
        known = " and ".join(map(str, READ_VERSIONS))
        raise HeadError(f"has format version {version!r}, but this featx reads {known}; use the featx that wrote it")


def _other_version(values: dict[str, Any]) -> str:
    """A hint, if another version of featx wrote this, which may have had other fields."""
    versions = values.get("versions")
    written = versions.get("featx") if isinstance(versions, dict) else None
    return "" if written == __version__ else f"; featx {written} wrote it, and this is {__version__}"


def _check_numbers(description: Description) -> None:
    """Raise HeadError if a number that is used is NaN or infinite."""
    if not math.isfinite(description.temperature):
        raise HeadError(f"its description is wrong: temperature is {description.temperature}")
    for name, value in description.params.items():
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, float) and not math.isfinite(number):
                raise HeadError(f"its description is wrong: parameter {name} is {number}")


def _check_views(source: SourceDescription) -> None:
    """Raise HeadError unless several different views are named if a rule needs them, and else none."""
    views = () if source.views is UNSET else source.views
    if len(set(views)) < len(views) or bool(views) != (source.view_rule not in (UNSET, "first")):
        raise HeadError(
            f"its description is wrong: views {', '.join(views) or 'none'} with the rule {source.view_rule}"
        )


def _check_columns(sources: Iterable[SourceDescription], dims: Iterable[int]) -> None:
    """Raise HeadError unless the columns of the sources follow each other, as wide as their cards say."""
    end = 0
    for source, dim in zip(sources, dims, strict=True):
        _check_views(source)
        if source.start != end or source.stop - source.start != dim * source.rows_of_views:
            raise HeadError(
                f"its description is wrong: a source of {dim} features has the columns {source.start} to {source.stop}"
                f" after {end} others"
            )
        end = source.stop
