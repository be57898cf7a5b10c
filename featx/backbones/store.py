"""Lists the backbones in folders of cards, and loads one after a check of its files against its card."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import platformdirs

from featx.backbones.card import Card, Output
from featx.backbones.reading import read_card
from featx.errors import BackboneError, did_you_mean
from featx.hashing import hash_file, hash_settings
from featx.showing import Overview, Shown, shorten


@dataclass(frozen=True, repr=False)
class Backbone(Shown):
    """A card and the model file that it describes."""

    card: Card
    path: Path

    @property
    def name(self) -> str:
        """Name of the backbone, as on its card."""
        return self.card.name

    @property
    def files(self) -> dict[Path, str]:
        """The model, and its external weights if it has any -> the sha256 on the card."""
        card = self.card
        weights = {self.path.with_name(card.data): card.data_sha256} if card.data else {}
        return {self.path: card.sha256} | weights

    def with_outputs(self, outputs: Sequence[Output]) -> "Backbone":
        """The backbone with these outputs instead, the first of which is the feature."""
        return dataclasses.replace(self, card=self.card.with_outputs(outputs))

    @cached_property
    def hash(self) -> str:
        """sha256 of the card's identity, which contains the model's own sha256."""
        return hash_settings(self.card.identity())

    def overview(self) -> Overview:
        """The name, the number of features, the model's input and precision, and its outputs."""
        card = self.card
        facts = (
            ("input", f"{card.input}, computed in {card.computes_in}"),
            ("outputs", shorten(f"{output.name} {output.dim}" for output in card.all_outputs)),
        )
        return Overview(f"Backbone: {card.name}, {card.width} features", facts)


def bundled_folder() -> Path:
    """The folder of cards that comes with featx: inside the wheel, or next to the package in a checkout."""
    inside = Path(__file__).parents[1] / "models"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "models"


def user_folder() -> Path:
    """The user's own folder of cards, in the platform's place for data; it need not exist yet."""
    return Path(platformdirs.user_data_path("featx")) / "models"


def cache_folder() -> Path:
    """The user's own folder for files that can be computed again, in the platform's place; it need not exist yet."""
    return Path(platformdirs.user_cache_path("featx"))


def list_backbones(folder: Path | str | None = None) -> list[Backbone]:
    """The bundled backbones and those with a card in the folder (the user's by default), sorted by name.

    Raises BackboneError if a card is invalid, the folder is missing, or two cards have the same name.

    >>> import featx
    >>> [backbone.name for backbone in featx.list_backbones()]
    ['color-histogram', 'efficientnet-lite0', 'gradient-histogram', 'raw-pixels'...]
    """
    own = user_folder() if folder is None else Path(folder)
    if folder is not None and not own.is_dir():
        raise BackboneError(f"{folder}: no such folder of cards; name one with --models")
    paths: dict[str, Path] = {}
    found: dict[str, Backbone] = {}
    for path in [card for place in (bundled_folder(), own) for card in sorted(place.glob("*.toml"))]:
        card = read_card(path)
        other = paths.setdefault(card.name, path)
        if other.resolve() != path.resolve():
            raise BackboneError(f"{path} and {other} have the same name; rename one of them")
        found.setdefault(card.name, Backbone(card, path.absolute().with_name(card.file)))
    return [found[name] for name in sorted(found)]


def load_backbone(name: str, *, folder: Path | str | None = None) -> Backbone:
    """The backbone with this name, after a check of its model's bytes against its card.

    Raises BackboneError if the name is unknown, a card is invalid, or the model is missing or differs from its card.

    >>> import featx
    >>> backbone = featx.load_backbone("efficientnet-lite0")
    >>> backbone.card.feature, backbone.card.dim, backbone.card.input.pixels.size
    ('features', 1280, 224)
    """
    found = {backbone.name: backbone for backbone in list_backbones(folder)}
    if name.lower().endswith(".onnx"):
        raise BackboneError(
            f"{name}: is a model and not yet a backbone; add it with `featx backbones add {name} --name NAME`"
        )
    if name not in found:
        raise BackboneError(
            f"no backbone is called {name!r}{did_you_mean(name, found)}; choose from {', '.join(found)}"
        )
    return check_model(found[name])


def check_model(backbone: Backbone) -> Backbone:
    """The backbone, if its files are the ones on its card. Raises BackboneError if one is missing or differs."""
    for file, expected in backbone.files.items():
        if not file.is_file():
            raise BackboneError(
                f"{file}: missing, although the card of {backbone.name!r} names it; export it or copy it there"
            )
        actual = hash_file(file)
        if actual != expected:
            raise BackboneError(
                f"{file}: sha256 is {actual[:12]}… but the card says {expected[:12]}…; "
                "replace the file or correct the card"
            )
    return backbone
