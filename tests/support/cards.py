"""Cards that differ from another in some keys."""

from dataclasses import replace
from typing import Any

from featx.backbones import Backbone, Card
from featx.backbones.reading import parse_card

BUNDLED_NAMES = {"efficientnet-lite0", "raw-pixels", "color-histogram", "gradient-histogram"}
"""The backbones that come with featx."""


def with_keys(card: Card, **changes: Any) -> Card:
    """The card with these keys of its file changed."""
    return parse_card(card.to_dict() | changes, source="changed.toml")


def with_card(backbone: Backbone, **changes: Any) -> Backbone:
    """The same model, with these keys of its card changed."""
    return replace(backbone, card=with_keys(backbone.card, **changes))
