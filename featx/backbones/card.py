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

import platformdirs

from featx.errors import BackboneError, did_you_mean
from featx.hashing import hash_file, hash_settings
from featx.settings import (
    CHANNELS,
    CROP_MODES,
    FILTERS,
)

LAYOUTS = ("NCHW", "NHWC")
DTYPES = ("float32", "float16", "uint8")
PRECISIONS = ("float32", "float16", "int8")
POOLS = ("mean", "max", "gem", "cls")
"""How a map (mean, max, generalised mean) or a sequence of tokens (these, or its class token) becomes a vector."""
GEM_POWER = 3.0
"""The p of the generalised mean (mean of x^p)^(1/p) over x above 0."""

DESCRIPTIVE = {
    *("name", "file", "data", "source", "licence", "reference", "golden", "classifier"),
    *("precision", "quantized"),
}
"""The card's keys that do not change a feature: all others are part of its identity."""
SINCE_FIRST = {"data_sha256": "", "channels": "RGB", "batch": 0, "crop_mode": "center", "pool": "", "outputs": []}
"""Keys that came later, with what they meant before: left out of an identity where they say that."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """A vector that is taken from a model."""

    name: str
    """As it was asked for, and as the cache calls it: a tensor, or a tensor and its pooling as in `layer4:gem`."""
    dim: int
    pool: str = ""
    """How the tensor becomes a vector: mean, max, gem or cls; empty where it is one."""

    @property
    def tensor(self) -> str:
        """Name of the tensor."""
        return self.name.removesuffix(f":{self.pool}") if self.pool else self.name


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """What a backbone of fewer bits was made of, and what that costs and gains."""

    source: str
    """Name of the backbone in float32."""
    source_hash: str
    """Its identity."""
    method: str
    images: int
    """With how many images the ranges of its numbers were measured."""
    images_hash: str
    """sha256 over the fingerprints of these and of the held-out images."""
    held_out: int
    """On how many other images the agreement was measured."""
    mean_cosine: float
    """Of its features and those in float32."""
    lowest_cosine: float
    speed: float
    """How many times faster it is than float32, on one core of `measured_on`."""
    measured_on: str

    def __str__(self) -> str:
        """What it costs and gains, in one line."""
        return (
            f"{self.speed:.2f} times as fast as {self.source} on {self.measured_on}, "
            f"mean cosine {self.mean_cosine:.4f} (lowest {self.lowest_cosine:.4f}) on {self.held_out} held-out images"
        )


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a backbone needs to know about pixels, and which tensor is the feature."""

    name: str
    file: str
    """The model, beside the card."""
    sha256: str
    data: str = ""
    """The model's external weights, beside the card."""
    data_sha256: str = ""
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
    channels: str = "RGB"
    """RGB or BGR, the order in `mean` and `std` too; or L, one channel of grey, for which their first numbers count."""

    batch: int = 0
    """Images that are run at once: 0 for as many as one likes, 1 where a feature would depend on its neighbours."""
    resize: int
    """Pixels of the shorter side before the centre crop; of both sides where `crop_mode` is squash."""
    crop_mode: str = "center"
    filter: str = "bicubic"
    mean: tuple[float, ...]
    std: tuple[float, ...]
    exif_orientation: bool = False

    feature: str
    """Name of the output that is the feature: a tensor, or a tensor and its pooling."""
    dim: int
    pool: str = ""
    """How the feature's tensor becomes a vector: mean, max, gem or cls; empty where it is one."""
    outputs: tuple[Output, ...] = ()
    """Further outputs that are taken in the same pass."""
    classifier: str = ""
    """Name of the tensor with the class scores of the source task."""

    precision: str = ""
    """In what the model computes: float32, float16 or int8; empty where that is the type of its input."""
    quantized: Quantized | None = None
    """Of a backbone that was made by quantising another."""

    @property
    def computes_in(self) -> str:
        """The precision, told or not."""
        return self.precision or ("float16" if self.dtype == "float16" else "float32")

    @property
    def taken(self) -> tuple[Output, ...]:
        """Every output, the feature first."""
        return (Output(name=self.feature, dim=self.dim, pool=self.pool), *self.outputs)

    @property
    def width(self) -> int:
        """Numbers of one image over all outputs."""
        return sum(output.dim for output in self.taken)

    def taking(self, outputs: Sequence[Output]) -> "Card":
        """The same card with these outputs, the first of which is the feature."""
        first, *others = outputs
        changes = {"feature": first.name, "dim": first.dim, "pool": first.pool, "outputs": tuple(others)}
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]

    def identity(self) -> dict[str, object]:
        """The keys of the card on which the features depend."""
        return {
            key: value
            for key, value in self.to_dict().items()
            if key not in DESCRIPTIVE and (key not in SINCE_FIRST or value != SINCE_FIRST[key])
        }

    def to_dict(self) -> dict[str, Any]:
        """The card as plain JSON values, in the order of its keys."""
        return json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[no-any-return]

    def to_toml(self) -> str:
        """The card as the text of its file."""
        values = {key: value for key, value in self.to_dict().items() if value not in ("", [], None)}
        return "".join(f"{key} = {_to_toml(value)}\n" for key, value in values.items())


def _to_toml(value: Any) -> str:
    """A value as TOML has it; JSON but for tables."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_to_toml(inner)}" for key, inner in value.items() if inner != "") + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_to_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


@dataclass(frozen=True)
class Backbone:
    """A card and the model file that it describes."""

    card: Card
    path: Path

    @property
    def name(self) -> str:
        """The backbone's name, as on its card."""
        return self.card.name

    @property
    def files(self) -> dict[Path, str]:
        """The model and its external weights, where it has some, with the sha256 that the card says."""
        card = self.card
        weights = {self.path.with_name(card.data): card.data_sha256} if card.data else {}
        return {self.path: card.sha256} | weights

    def taking(self, outputs: Sequence[Output]) -> "Backbone":
        """The same backbone with these outputs, the first of which is the feature."""
        return dataclasses.replace(self, card=self.card.taking(outputs))

    @cached_property
    def hash(self) -> str:
        """sha256 of the card's identity, which holds the model's own sha256."""
        return hash_settings(self.card.identity())


def bundled_folder() -> Path:
    """The folder of cards that comes with featx: inside the wheel, or beside the package in a checkout."""
    inside = Path(__file__).parents[1] / "models"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "models"


def user_folder() -> Path:
    """The user's own folder of cards, in the platform's place for data; it may not be there yet."""
    return Path(platformdirs.user_data_path("featx")) / "models"


def cache_folder() -> Path:
    """The user's own folder for what can be made again, in the platform's place for caches; it may not be there yet."""
    return Path(platformdirs.user_cache_path("featx"))


def list_backbones(folder: Path | None = None) -> list[Backbone]:
    """The bundled backbones and those whose cards lie in the folder (the user's by default), by name.

    Raises BackboneError where a card is invalid, the folder is missing, or two cards share a name.
    """
    if folder is None:
        folder = user_folder() if user_folder().is_dir() else None
    elif not folder.is_dir():
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
    if name.lower().endswith(".onnx"):
        raise BackboneError(
            f"{name}: is a model, not yet a backbone; `featx backbones add {name} --name NAME` makes it one"
        )
    if name not in found:
        raise BackboneError(
            f"no backbone is called {name!r}{did_you_mean(name, found)}; choose from {', '.join(found)}"
        )
    return check_model(found[name])


def check_model(backbone: Backbone) -> Backbone:
    """The same backbone, once its model is known to be the one on the card."""
    for file, expected in backbone.files.items():
        if not file.is_file():
            raise BackboneError(f"{file}: missing, though card {backbone.name!r} names it; export it or put it there")
        if (actual := hash_file(file)) != expected:
            raise BackboneError(
                f"{file}: sha256 is {actual[:12]}… but the card says {expected[:12]}…; mend one of them"
            )
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
    return check_card(card, source)


def _parse_outputs(values: Any, *, source: str) -> tuple[Output, ...]:
    wanted = "a list of tables { name, dim, pool }"
    if not isinstance(values, list) or not all(isinstance(value, Mapping) for value in values):
        raise BackboneError(f"{source}: outputs = {values!r} should be {wanted}; correct the card")
    known = {"name": str, "dim": int, "pool": str}
    for value in values:
        good = {"name", "dim"} <= value.keys() and all(type(value[key]) is known.get(key) for key in value)
        if not good:
            raise BackboneError(
                f"{source}: output {dict(value)!r} should have a name, a dim and at most a pool; correct it"
            )
    return tuple(Output(**value) for value in values)


def _parse_quantized(value: Any, *, source: str) -> Quantized:
    known = get_type_hints(Quantized)
    if not isinstance(value, Mapping) or {key: type(inner) for key, inner in value.items()} != known:
        wanted = ", ".join(f"{key} ({kind.__name__})" for key, kind in known.items())
        raise BackboneError(f"{source}: quantized = {value!r} should be a table of {wanted}; correct the card")
    return Quantized(**value)


def _typed(key: str, value: Any, *, source: str) -> Any:
    if key == "outputs":
        return _parse_outputs(value, source=source)
    if key == "quantized":
        return _parse_quantized(value, source=source)
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


def check_card(card: Card, source: str, *, step: str = "correct the card") -> Card:
    """The same card, once its values make sense. Raises BackboneError naming `source`, the key and the next step."""
    rules = {
        "name": (re.fullmatch(r"[\w.-]+", card.name), "letters, digits, '.', '_' and '-'"),
        "file": (card.file == Path(card.file).name and card.file not in ("", ".", ".."), "a file beside the card"),
        "golden": (card.golden == Path(card.golden).name and card.golden != "..", "a file beside the card"),
        "input": (card.input, "the name of a tensor"),
        "feature": (_place(card.feature), "the name of a tensor that can have a place in a cache"),
        "sha256": (re.fullmatch(r"[0-9a-f]{64}", card.sha256), "64 hexadecimal digits"),
        "layout": (card.layout in LAYOUTS, " or ".join(LAYOUTS)),
        "data": (card.data == Path(card.data).name and card.data != "..", "a file beside the card"),
        "data_sha256": (bool(card.data) == bool(re.fullmatch(r"[0-9a-f]{64}", card.data_sha256)), "that of `data`"),
        "dtype": (card.dtype in DTYPES, " or ".join(DTYPES)),
        "channels": (card.channels in CHANNELS, " or ".join(CHANNELS)),
        "crop_mode": (card.crop_mode in CROP_MODES, " or ".join(CROP_MODES)),
        "filter": (card.filter in FILTERS, " or ".join(FILTERS)),
        "pool": (card.pool in ("", *POOLS), ", ".join(POOLS) + " or nothing"),
        "outputs": (
            card.dim < 1 or not _place(card.feature) or _distinct(card.taken),
            f"outputs of different names, none within another (a/b in a), dim above 0, pool {', '.join(POOLS)} or none",
        ),
        "precision": (card.precision in ("", *PRECISIONS), ", ".join(PRECISIONS)),
        "size": (card.size > 0, "above 0"),
        "batch": (card.batch >= 0, "0 or above"),
        "resize": (card.resize >= card.size, f"at least size = {card.size}"),
        "dim": (card.dim > 0, "above 0"),
        "mean": (_three(card.mean), "three finite numbers on the 0..255 scale"),
        "mean and std": (
            card.dtype != "uint8" or (set(card.mean), set(card.std)) == ({0.0}, {1.0}),
            "0 and 1 for a model that takes uint8",
        ),
        "std": (_three(card.std) and min(card.std) > 0, "three numbers above 0 on the 0..255 scale"),
    }
    for key, (valid, wanted) in rules.items():
        if not valid:
            raise BackboneError(f"{source}: {key} = {getattr(card, key, None)!r} should be {wanted}; {step}")
    return card


def _place(output: str) -> list[str]:
    """The parts of an output's place in a cache, where slashes part groups; none for what cannot have one."""
    parts = [part for part in output.split("/") if part]
    return [] if "." in parts or "\0" in output else parts


def _distinct(outputs: Sequence[Output]) -> bool:
    """Whether every output has a place in a cache, and none lies within another's."""
    places = [_place(output.name) for output in outputs]
    if not all(places) or any(
        a != b and one[: len(two)] == two for a, one in enumerate(places) for b, two in enumerate(places)
    ):
        return False
    valid = all(output.name and output.dim > 0 and output.pool in ("", *POOLS) for output in outputs)
    return valid and len({output.name for output in outputs}) == len(outputs)


def _three(values: Sequence[float]) -> bool:
    return len(values) == 3 and all(map(math.isfinite, values))
