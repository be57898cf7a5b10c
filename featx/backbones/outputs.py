"""Chooses the outputs that a backbone computes."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from featx.backbones.card import Output
from featx.backbones.graph.finding import find_class_scores, resolve_outputs, view_of
from featx.backbones.graph.layer_outputs import layer_outputs
from featx.backbones.graph.model import damage_reported
from featx.backbones.reading import check_card
from featx.backbones.store import Backbone
from featx.backbones.tryout import try_apart
from featx.errors import BackboneError
from featx.settings import LAYERS

logger = logging.getLogger(__name__)


def select_outputs(backbone: Backbone, names: Sequence[str]) -> Backbone:
    """The backbone with these outputs, computed in one pass; the first is the feature. Without names, as it is.

    `logits` is the classifier that the card names, whatever its tensor is called, and the card says what these class
    scores are. `layers` stands for all that list_layers names. Raises BackboneError if a tensor does not exist or a
    name is given twice.

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
    size = card.input.pixels.size
    names = expand_layers(names, backbone.path, size=size, feature=card.all_outputs[0])
    resolved = resolve_outputs(backbone.path, names, size=size, classifier=card.classifier)
    changed = with_class_scores(backbone.with_outputs(resolved))
    card, notes = try_apart(changed)
    for note in notes:
        logger.warning("%s: %s", backbone.path, note)
    return replace(changed, card=check_card(card, source=f"{backbone.path} with these outputs", step="choose others"))


def list_layers(backbone: Backbone) -> tuple[str, ...]:
    """The names of the outputs that `layers` stands for: the card's feature, then pooled layers, in order.

    Of maps these are the end of every block and, if it has more channels, the widest map inside the block, each as
    mean and as maximum; and the maximum of the map whose mean is the feature. Of tokens these are the ends of the
    blocks, as mean and as class token, or as maximum if there is none. The graph alone decides, no images do. Raises
    BackboneError if the model is damaged.

    >>> import featx
    >>> names = featx.list_layers(featx.load_backbone("efficientnet-lite0"))
    >>> len(names), names[0], names[-1]
    (62, 'features', '/_swish_1/Clip_output_0:max')
    """
    card = backbone.card
    return expand_layers([LAYERS], backbone.path, size=card.input.pixels.size, feature=card.all_outputs[0])


def expand_layers(names: Sequence[str], path: Path, *, size: int, feature: Output) -> tuple[str, ...]:
    """These names of outputs, with the feature and the layers before it in place of `layers`.

    Others that are among the layers are not repeated. Raises BackboneError if `layers` is named twice.
    """
    if LAYERS not in names:
        return tuple(names)
    place = names.index(LAYERS)
    before, after = names[:place], names[place + 1 :]
    if LAYERS in after:
        raise BackboneError(f"--output {LAYERS!r} is given twice; name every output once")
    with damage_reported(path):
        found = layer_outputs(view_of(path, size=size), feature.tensor)
    layers = [feature.name, *(name for name in found if name not in (feature.name, f"{feature.tensor}:{feature.pool}"))]
    return (*(name for name in before if name not in layers), *layers, *(name for name in after if name not in layers))


def with_class_scores(backbone: Backbone) -> Backbone:
    """The backbone whose card says which of its outputs are class scores of the source, and what they are."""
    card = backbone.card
    if not card.classifier:
        return backbone
    size = card.input.pixels.size
    name, kind = find_class_scores(backbone.path, card.classifier, among=card.all_outputs, size=size)
    return replace(backbone, card=replace(card, classifier=name, classifier_kind=kind))
