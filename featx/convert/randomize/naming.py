"""How backbones with random weights are called, and what their cards say about them."""

from featx.backbones import Backbone
from featx.errors import BackboneError

RANDOM = "random:"
"""What a name begins with that stands for a backbone with random weights, which is made at its first use."""


def random_name(name: str, seed: int) -> str:
    """The usual name of the backbone with random weights that is made of the one with this name."""
    return f"random-{name}-seed{seed}" if seed else f"random-{name}"


def parse_random(name: str) -> tuple[str, int]:
    """The backbone and the seed in `random:NAME` or `random:NAME:SEED`. Raises BackboneError for another form."""
    source, colon, seed = name.removeprefix(RANDOM).partition(":")
    if not source or (colon and not (seed.isascii() and seed.isdigit())):
        raise BackboneError(f"{name!r} should be random:NAME or random:NAME:SEED with a whole number; correct the name")
    return source, int(seed or 0)


def card_name(name: str) -> str:
    """The name in the card of the backbone that is called so: `random-NAME` for `random:NAME`, else the same.

    Raises BackboneError as parse_random does.

    >>> from featx.convert import card_name
    >>> card_name("random:efficientnet-lite0"), card_name("efficientnet-lite0")
    ('random-efficientnet-lite0', 'efficientnet-lite0')
    """
    return random_name(*parse_random(name)) if name.startswith(RANDOM) else name


def describe_origin(backbone: Backbone, seed: int) -> str:
    """What the card of a backbone with random weights says about its source: from which graph, and by which seed."""
    return f"the graph of {backbone.name} (sha256 {backbone.card.sha256[:12]}), its weights drawn with seed {seed}"
