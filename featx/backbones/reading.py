"""Reads and checks the cards of backbones."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from featx.backbones.card import Card, Output, Quantized, Tuned
from featx.backbones.model_inputs import ImageInput
from featx.errors import BackboneError, did_you_mean
from featx.inputs import PixelSpec


@dataclass(frozen=True)
class _Key:
    """A key of a card."""

    type: Any
    required: bool


def _keys_of(described: type) -> dict[str, _Key]:
    """Name of each field of a dataclass -> its type, and whether it is required."""
    hints = get_type_hints(described, include_extras=True)
    return {field.name: _Key(hints[field.name], field.default is MISSING) for field in fields(described)}


def _keys_of_images() -> dict[str, _Key]:
    """The keys of a card that describe an input of images."""
    keys = _keys_of(ImageInput)
    del keys["pixels"]
    return {"input": keys.pop("name"), **keys, **_keys_of(PixelSpec)}


MOST_BYTES = 2**18
"""Largest file of a card."""
_MOST_SHOWN = 200
"""Largest number of letters of a value that an error message shows."""
_OWN = {key: found for key, found in _keys_of(Card).items() if key != "input"}
_INPUTS = {ImageInput.kind: (_keys_of_images(), ImageInput.from_card)}
"""Kind of input -> the keys that describe it, and the function that parses them."""
_TABLES = {
    "outputs": _keys_of(Output).keys(),
    "quantized": _keys_of(Quantized).keys(),
    "tuned": _keys_of(Tuned).keys(),
}
"""The keys of the tables inside a card."""


class _UnfitError(Exception):
    """A key of a card has a value that it should not have."""

    def __init__(self, key: str, wanted: str) -> None:
        self.key = key
        self.wanted = wanted


def read_card(path: Path) -> Card:
    """The card in this TOML file. Raises BackboneError naming the file and the key."""
    try:
        values = tomllib.loads(_read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise BackboneError(f"{path}: not a readable card ({error}); correct the file") from error
    return parse_card(values, source=str(path))


def _read_text(path: Path) -> str:
    """The text of a card. Raises ValueError if it is no regular file, or larger than any card."""
    if path.exists() and not path.is_file():
        raise ValueError("not a file")
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES} bytes")
    return content.decode("utf-8")


def check_card(card: Card, *, source: str, step: str = "correct the card") -> Card:
    """The card, if its values make sense. Raises BackboneError naming `source`, the key and the next step."""
    return parse_card(card.to_dict(), source=source, step=step)


def parse_card(values: Mapping[str, Any], *, source: str, step: str = "correct the card") -> Card:
    """The card with these keys. Raises BackboneError naming `source`, the key and the next step.

    A card without the key `kind` takes images.
    """
    flat = dict(values)
    kind = flat.pop("kind", ImageInput.kind)
    if kind not in list(_INPUTS):  # a list, because a wrong kind may be unhashable
        raise BackboneError(f"{source}: kind = {kind!r} should be {' or '.join(_INPUTS)}; {step}")
    input_keys, parse_input = _INPUTS[kind]
    _check_keys(flat, _OWN | input_keys, source)
    try:
        own = {key: _convert(key, flat[key], known.type) for key, known in _OWN.items() if key in flat}
        described = {key: _convert(key, flat[key], known.type) for key, known in input_keys.items() if key in flat}
        card = Card(input=parse_input(described), **own)
        _check_agreement(card)
    except _UnfitError as error:
        raise BackboneError(
            f"{source}: {error.key} = {_shown(flat.get(error.key))} should be {error.wanted}; {step}"
        ) from error
    return card


def _shown(value: Any) -> str:
    """A value for an error message, cut if it is long."""
    shown = repr(value)
    return shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}…"


def _check_keys(values: Mapping[str, Any], keys: Mapping[str, _Key], source: str) -> None:
    for key in values:
        if key not in keys:
            near = did_you_mean(key, keys) if len(key) <= _MOST_SHOWN else ""
            raise BackboneError(f"{source}: unknown key {_shown(key)}{near}; correct or remove it")
    for key, known in keys.items():
        if known.required and key not in values:
            raise BackboneError(f"{source}: key {key!r} is missing; add it to the card")


def _convert(key: str, value: Any, type_: Any) -> Any:
    """The value of a key as this type. Raises _UnfitError if it cannot be converted."""
    try:
        converted = msgspec.convert(value, type_, strict=True)
    except msgspec.ValidationError as error:
        raise _UnfitError(key, _in_words(type_)) from error
    tables = value if isinstance(value, list) else [value]
    if key in _TABLES and any(set(table or ()) - _TABLES[key] for table in tables):
        raise _UnfitError(key, _in_words(type_))
    return converted


def _in_words(type_: Any) -> str:
    """What a value of this type should be, for an error message."""
    for meta in getattr(type_, "__metadata__", ()):
        return str(meta.description)
    if choices := get_args(type_):
        return " or ".join(choice or "left out" for choice in sorted(choices, key=bool, reverse=True))
    return {str: "text in quotes", bool: "true or false"}[type_]


def _check_agreement(card: Card) -> None:
    """Raise _UnfitError if values of the card contradict each other, or an output cannot be stored in a cache."""
    if bool(card.data) != bool(re.fullmatch(r"[0-9a-f]{64}", card.data_sha256)):
        raise _UnfitError("data_sha256", "the sha256 of `data`, 64 hexadecimal digits, and left out without it")
    files = [name for name in (card.file, card.data, card.golden) if name]
    if len(set(files)) < len(files):
        raise _UnfitError("file", "another file than `data` and `golden`, which differ too")
    if not _path_in_cache(card.feature):
        raise _UnfitError("feature", "the name of a tensor that can have a place in a cache")
    if not _are_distinct([output.name for output in card.all_outputs]):
        raise _UnfitError("outputs", "outputs of different names, none within another (a/b in a)")
    for key, wanted in card.input.conflicts().items():
        raise _UnfitError(key, wanted)


def _path_in_cache(output: str) -> list[str]:
    """The parts of an output's path in a cache, separated at slashes; empty if the name cannot be a path."""
    parts = [part for part in output.split("/") if part]
    return [] if "." in parts or "\0" in output else parts


def _are_distinct(outputs: Sequence[str]) -> bool:
    """Whether every output has a path in a cache, and none is inside another's."""
    paths = sorted(_path_in_cache(output) for output in outputs)  # whatever is within an output follows it
    return all(paths) and not any(longer[: len(shorter)] == shorter for shorter, longer in pairwise(paths))
