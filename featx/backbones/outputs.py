"""Chooses the outputs that a backbone computes."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from featx.backbones.graph.finding import find_class_scores, resolve_outputs
from featx.backbones.reading import check_card
from featx.backbones.store import Backbone
from featx.backbones.tryout import try_apart

logger = logging.getLogger(__name__)


def select_outputs(backbone: Backbone, names: Sequence[str]) -> Backbone:
    """The backbone with these outputs, computed in one pass; the first is the feature. Without names, as it is.

    `logits` is the classifier that the card names, whatever its tensor is called, and the card says what these class
    scores are. Raises BackboneError if a tensor does not exist or a name is given twice.

    >>> import featx
    >>> backbone = featx.load_backbone("efficientnet-lite0")
    >>> both = featx.select_outputs(backbone, ["features", "logits"])
    >>> [(output.name, output.dim) for output in both.card.all_outputs]
    [('features', 1280), ('logits', 1000)]
    """
    if not names:
        return backbone
    known = {output.name: output for output in backbone.card.all_outputs}
    if all(name in known for name in names) and len(set(names)) == len(names):
        chosen = backbone.with_outputs([known[name] for name in names])
        return chosen if chosen.card.classifier_kind else with_class_scores(chosen)
    card = backbone.card
    resolved = resolve_outputs(backbone.path, names, size=card.input.pixels.size, classifier=card.classifier)
    changed = with_class_scores(backbone.with_outputs(resolved))
    card, notes = try_apart(changed)
    for note in notes:
        logger.warning("%s: %s", backbone.path, note)
    return replace(changed, card=check_card(card, source=f"{backbone.path} with these outputs", step="choose others"))


def with_class_scores(backbone: Backbone) -> Backbone:
    """The backbone whose card says which of its outputs are class scores of the source, and what they are."""
    card = backbone.card
    if not card.classifier:
        return backbone
    size = card.input.pixels.size
    name, kind = find_class_scores(backbone.path, card.classifier, among=card.all_outputs, size=size)
    return replace(backbone, card=replace(card, classifier=name, classifier_kind=kind))
