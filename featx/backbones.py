"""Backbone: an exported ONNX model and its card; cards in, checked backbones out."""

import dataclasses
import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args, get_type_hints

from featx.errors import BackboneError, did_you_mean
from featx.provenance import hash_file, hash_settings

FILTERS = ("nearest", "bilinear", "bicubic", "lanczos")
LAYOUTS = ("NCHW", "NHWC")

DESCRIPTIVE = {"name", "file", "source", "licence", "reference", "golden", "classifier"}
"""The card's keys that do not change a feature: all others are part of its identity."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a backbone needs to know about pixels, and which tensor is the feature."""

    name: str
    file: str
    """The model, beside the card."""
    sha256: str
    source: str = ""
    licence: str = ""
    reference: str = ""
    """Published accuracy on the source task."""
    golden: str = ""
    """A .npz beside the card: `pixels` (n, size, size, 3) uint8 and `features` (n, dim) float32 of another runtime."""

    input: str
    layout: str = "NCHW"
    dtype: str = "float32"
    size: int
    """Height and width of what the model takes, after the centre crop."""

    resize: int
    """Pixels of the shorter side before the centre crop."""
    filter: str = "bicubic"
    mean: tuple[float, ...]
    std: tuple[float, ...]
    exif_orientation: bool = False

    feature: str
    """Name of the tensor that is the feature."""
    dim: int
    classifier: str = ""
    """Name of the tensor with the class scores of the source task."""

    def identity(self) -> dict[str, object]:
        """The keys of the card on which the features depend."""
        return {key: value for key, value in self.to_dict().items() if key not in DESCRIPTIVE}

    def to_dict(self) -> dict[str, Any]:
        """The card as plain JSON values, in the order of its keys."""
        return json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[no-any-return]

    def to_toml(self) -> str:
        """The card as the text of its file."""
        values = {key: value for key, value in self.to_dict().items() if value != ""}
        lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items()]
        return "".join(lines).replace("\x7f", "\\u007f")


@dataclass(frozen=True)
class Backbone:
    """A card and the model file that it describes."""

    card: Card
    path: Path

    @property
    def name(self) -> str:
        """The backbone's name, as on its card."""
        return self.card.name

    @cached_property
    def hash(self) -> str:
        """sha256 of the card's identity, which holds the model's own sha256."""
        return hash_settings(self.card.identity())


def bundled_folder() -> Path:
    """The folder of cards that comes with featx: inside the wheel, or beside the package in a checkout."""
    inside = Path(__file__).parent / "models"
    return inside if inside.is_dir() else Path(__file__).parents[1] / "models"


def list_backbones(folder: Path | None = None) -> list[Backbone]:
    """The bundled backbones and those whose cards lie in the folder, by name.

    Raises BackboneError where a card is invalid, the folder is missing, or two cards share a name.
    """
    if folder is not None and not folder.is_dir():
        raise BackboneError(f"{folder}: no such folder of cards; name one with --models")
    found: dict[str, Path] = {}
    for path in [card for place in (bundled_folder(), folder) if place for card in sorted(place.glob("*.toml"))]:
        if (other := found.setdefault(read_card(path).name, path)).resolve() != path.resolve():
            raise BackboneError(f"{path} and {other} have the same name; rename one of them")
    return [Backbone(card := read_card(path), path.with_name(card.file)) for _, path in sorted(found.items())]


def load_backbone(name: str, *, folder: Path | None = None) -> Backbone:
    """The backbone of this name, its model's bytes checked against the card.

    Raises BackboneError for an unknown name, an invalid card, or a model that is missing or another one.
    """
    found = {backbone.name: backbone for backbone in list_backbones(folder)}
    if name not in found:
        raise BackboneError(
            f"no backbone is called {name!r}{did_you_mean(name, found)}; choose from {', '.join(found)}"
        )
    return check_model(found[name])


def check_model(backbone: Backbone) -> Backbone:
    """The same backbone, once its model is known to be the one on the card."""
    path, expected = backbone.path, backbone.card.sha256
    if not path.is_file():
        raise BackboneError(f"{path}: the model of card {backbone.name!r} is missing; export it or put it there")
    if (actual := hash_file(path)) != expected:
        raise BackboneError(f"{path}: sha256 is {actual[:12]}… but the card says {expected[:12]}…; mend one of them")
    return backbone


def read_card(path: Path) -> Card:
    """The card in this TOML file. Raises BackboneError naming the file and the key."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BackboneError(f"{path}: not a readable card ({error}); correct the file") from error
    return parse_card(values, source=str(path))


def parse_card(values: Mapping[str, Any], *, source: str) -> Card:
    """The card made of these keys. Raises BackboneError naming `source` and the key."""
    fields = {field.name: field for field in dataclasses.fields(Card)}
    for key in values:
        if key not in fields:
            raise BackboneError(f"{source}: unknown key {key!r}{did_you_mean(key, fields)}; correct or remove it")
    for key, field in fields.items():
        if field.default is dataclasses.MISSING and key not in values:
            raise BackboneError(f"{source}: key {key!r} is missing; add it to the card")
    card = Card(**{key: _typed(key, value, source=source) for key, value in values.items()})
    _check_values(card, source)
    return card


def _typed(key: str, value: Any, *, source: str) -> Any:
    expected = get_type_hints(Card)[key]
    if get_args(expected):
        if isinstance(value, list) and all(type(item) in (int, float) for item in value):
            return tuple(_as_float(item) for item in value)
    elif type(value) is expected:
        return value
    wanted = "a list of numbers" if get_args(expected) else expected.__name__
    raise BackboneError(f"{source}: {key} = {value!r} should be {wanted}; correct the card")


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _check_values(card: Card, source: str) -> None:
    rules = {
        "name": (re.fullmatch(r"[\w.-]+", card.name), "letters, digits, '.', '_' and '-'"),
        "file": (card.file == Path(card.file).name and card.file not in ("", ".", ".."), "a file beside the card"),
        "golden": (card.golden == Path(card.golden).name and card.golden != "..", "a file beside the card"),
        "input": (card.input, "the name of a tensor"),
        "feature": (card.feature, "the name of a tensor"),
        "sha256": (re.fullmatch(r"[0-9a-f]{64}", card.sha256), "64 hexadecimal digits"),
        "layout": (card.layout in LAYOUTS, " or ".join(LAYOUTS)),
        "dtype": (card.dtype == "float32", "float32"),
        "filter": (card.filter in FILTERS, " or ".join(FILTERS)),
        "size": (card.size > 0, "above 0"),
        "resize": (card.resize >= card.size, f"at least size = {card.size}"),
        "dim": (card.dim > 0, "above 0"),
        "mean": (_three(card.mean), "three finite numbers on the 0..255 scale"),
        "std": (_three(card.std) and min(card.std) > 0, "three numbers above 0 on the 0..255 scale"),
    }
    for key, (valid, wanted) in rules.items():
        if not valid:
            raise BackboneError(f"{source}: {key} = {getattr(card, key)!r} should be {wanted}; correct the card")


def _three(values: Sequence[float]) -> bool:
    return len(values) == 3 and all(map(math.isfinite, values))
