"""Estimates how much memory a model needs from the shapes of its tensors, before anything is computed."""

import math
from dataclasses import dataclass

from featx.backbones.graph.external import external_bytes
from featx.backbones.graph.model import damage_reported, load_model
from featx.backbones.graph.shapes import view_model
from featx.backbones.graph.simplifying import simplify
from featx.backbones.graph.view import View
from featx.backbones.store import Backbone

_AT_ONCE = 3
"""Number of times that the largest node's tensors are counted: a runtime keeps those of a few nodes, and gaps."""
_BYTES = 4
_PER_PIXEL = 192
"""Largest number of values for each pixel of the image that count as a real need."""


@dataclass(frozen=True)
class MemoryPlan:
    """What a model needs, in bytes."""

    stored: int
    """For its weights, once."""
    working: int
    """For the tensors that it computes."""


def plan_memory(backbone: Backbone, *, images: int) -> MemoryPlan:
    """The memory for a run with this many images at once; a tensor of unknown shape counts as nothing."""
    model = load_model(backbone.path)
    image = backbone.card.input
    with damage_reported(backbone.path):
        simplify(model, image.name, shape=(images, *image.sides))
        view = view_model(model, image.name, shape=(images, *image.sides))
    most = images * image.pixels.size**2 * _PER_PIXEL
    values = min(most, max((_values_at(view, names) for names in _read_and_computed(view)), default=0))
    return MemoryPlan(external_bytes(model) + model.ByteSize(), _AT_ONCE * _BYTES * values)


def _read_and_computed(view: View) -> list[list[str]]:
    """For each node, the tensors that it reads and computes, as far as they depend on the image."""
    return [[name for name in (*node.input, *node.output) if name in view.image_dependent] for node in view.graph.node]


def _values_at(view: View, names: list[str]) -> int:
    """Number of values of these tensors."""
    shapes = [view.shape(name) or (0,) for name in names]
    return sum(math.prod(side or 1 for side in shape) for shape in shapes)
