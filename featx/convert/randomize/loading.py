"""Loads a backbone by its name, and makes one with random weights where the name asks for it."""

import logging
from pathlib import Path

from featx.backbones import Backbone, list_backbones, load_backbone as load_by_card
from featx.convert.randomize.naming import RANDOM, describe_origin, parse_random, random_name
from featx.errors import BackboneError

logger = logging.getLogger(__name__)


def load_backbone(name: str, *, folder: Path | str | None = None) -> Backbone:
    """The backbone with this name, after a check of its model's bytes against its card.

    `random:NAME`, or `random:NAME:SEED`, is the graph of the backbone NAME with weights drawn anew, as
    `randomize_backbone` draws them: the backbone `random-NAME`, which is made in the folder of cards at the first use.
    Raises BackboneError if the name is unknown, a card is invalid, or the model is missing or differs from its card.

    >>> import featx
    >>> backbone = featx.load_backbone("efficientnet-lite0")
    >>> backbone.card.feature, backbone.card.dim, backbone.card.input.pixels.size
    ('features', 1280, 224)
    """
    if not name.startswith(RANDOM):
        return load_by_card(name, folder=folder)
    source, seed = parse_random(name)
    backbone = load_by_card(source, folder=folder)
    own = random_name(source, seed)
    if not _is_there(own, folder):
        _make(backbone, seed, folder)
    found = load_by_card(own, folder=folder)
    _check_origin(found, describe_origin(backbone, seed))
    return found


def _is_there(name: str, folder: Path | str | None) -> bool:
    return any(backbone.name == name for backbone in list_backbones(folder))


def _make(backbone: Backbone, seed: int, folder: Path | str | None) -> None:
    """Make the backbone with random weights, unless another process does so at the same time."""
    from featx.convert.randomize.randomizing import randomize_backbone

    try:
        made = randomize_backbone(backbone, seed=seed, into=folder)
    except BackboneError:
        if not _is_there(random_name(backbone.name, seed), folder):
            raise
    else:
        logger.warning("made backbone %s, with weights of seed %d, in %s", made.name, seed, made.path.parent)


def _check_origin(found: Backbone, wanted: str) -> None:
    """Raise BackboneError if the backbone with that name is not what would be made now."""
    if found.card.source != wanted or not found.card.baseline:
        raise BackboneError(
            f"{found.path.with_suffix('.toml')}: its source is {found.card.source!r}, not {wanted!r}; "
            f"remove it with `featx backbones remove {found.name}`"
        )
