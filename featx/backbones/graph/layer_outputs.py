"""Names the outputs that stand for all layers of a network: how they are chosen is a rule on the graph alone."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import prod

from onnx import NodeProto

from featx.backbones.graph.bottlenecks import FEATURE_TYPES, nodes_to
from featx.backbones.graph.cutting import sensible_cuts
from featx.backbones.graph.layers import channel_axis, default_pool, is_map
from featx.backbones.graph.view import View

_TOKENS = 3
"""Axes of tokens: batch, place, channel."""


def layer_outputs(view: View, feature: str) -> tuple[str, ...]:
    """The pooled layers of the network on the way to the tensor of its feature, in order.

    Of maps these are the end of every block and, if it has more channels, the widest map inside the block, each as
    mean and as maximum; and the maximum of the map that the feature is the mean of. Of tokens these are the ends of
    the blocks, as mean and as class token, or as maximum if there is none.
    """
    nodes = nodes_to(view, feature)
    places = {name: place for place, node in enumerate(nodes) for name in node.output}
    cuts = [cut.name for cut in sensible_cuts(view, feature)]
    found = dict[str, None]()
    for before, end in pairwise(cuts):
        inside = nodes[places.get(before, -1) + 1 : places[end] + 1]
        found.update(dict.fromkeys(_of_block(view, inside, end)))
    return tuple(found)


def _of_block(view: View, nodes: Sequence[NodeProto], end: str) -> Iterator[str]:
    """The outputs of one block, which ends in this tensor."""
    if view.rank(end) == _TOKENS:
        token = default_pool(view, end) == "cls"
        yield from (f"{end}:mean", f"{end}:{'cls' if token else 'max'}")
        return
    maps = [name for node in nodes for name in node.output if _is_float_map(view, name)]
    widest = max(reversed(maps), key=lambda name: _channels(view, name), default=end)
    if is_map(view, end):
        yield from (f"{end}:mean", f"{end}:max")
        if _channels(view, widest) > _channels(view, end):
            yield from (f"{widest}:mean", f"{widest}:max")
    elif widest != end:
        pooled = _channels(view, widest) == prod(side or 0 for side in (view.shape(end) or ())[1:])
        yield from [f"{widest}:max"] if pooled else [f"{widest}:mean", f"{widest}:max"]


def _is_float_map(view: View, name: str) -> bool:
    return is_map(view, name) and view.elem_type(name) in FEATURE_TYPES and name in view.image_dependent


def _channels(view: View, name: str) -> int:
    return (view.shape(name) or ())[channel_axis(view, name)] or 0
