"""Tensors through which everything that an output knows of the image has to pass."""

from collections.abc import Iterator, Sequence

from onnx import NodeProto, TensorProto

from featx.backbones.graph.layers import (
    channel_axis,
    is_global_pool,
    is_vector,
    same_values,
)
from featx.backbones.graph.model import View

FEATURE_TYPES = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16, 0}
"""Types of tensors that can be features; 0 where the type is not known."""
DECIDING = {"Gemm", "MatMul", "Conv", "Gather", "FusedGemm"}
"""Operators behind which a vector is another feature."""


def nodes_to(view: View, output: str) -> list[NodeProto]:
    """The nodes through which the image reaches the output, in order."""
    needed, found = {output}, []
    for node in reversed(view.graph.node):
        if needed & set(node.output):
            found.append(node)
            needed.update(view.data_inputs(node))
    return found[::-1]


def bottlenecks(view: View, output: str) -> list[str]:
    """The tensors that every path from the image to the output passes, in order.

    These are the dominators of the output: behind each, no other tensor of the image is still waiting to be read.
    """
    nodes = [node for node in nodes_to(view, output) if node.op_type not in ("Shape", "Size")]
    last_use = {name: place for place, node in enumerate(nodes) for name in view.data_inputs(node)}
    last_use[output] = len(nodes)
    live, found = {view.image}, list[str]()
    for place, node in enumerate(nodes):
        live = {name for name in (*live, *node.output) if last_use.get(name, -1) > place}
        if len(live) == 1:
            found.extend(name for name in live if name not in found[-1:])
    return found


def stages(view: View, names: Sequence[str]) -> Iterator[str]:
    """Of these bottlenecks, the last of every run that differs in nothing that matters."""
    worth = [name for name in names if _is_worth(view, name)]
    for name, after in zip(worth, [*worth[1:], None], strict=False):
        if after is None or _differs(view, name, after):
            yield same_values(view, name)


def _is_worth(view: View, name: str) -> bool:
    """Whether the tensor can be a feature at all: floats, made by the model, not only padded."""
    shape, node = view.shape(name), view.producers.get(name)
    if shape is None or node is None or node.op_type == "Pad" or view.elem_type(name) not in FEATURE_TYPES:
        return False
    image = view.shape(view.image) or (None,)
    return len(shape) in (2, 3, 4) and shape[0] in (image[0], None) and shape[1:] != image[1:]


def _differs(view: View, name: str, after: str) -> bool:
    """Whether `after` is another stage: of another resolution or rank, or behind a pool or dense layer."""
    if is_vector(view, name):
        return any(is_global_pool(view, node) or node.op_type in DECIDING for node in _between(view, name, after))
    return is_vector(view, after) or _resolution(view, name) != _resolution(view, after)


def _resolution(view: View, name: str) -> list[int | None]:
    """The sides of a map, or the number of tokens."""
    shape, channels = view.shape(name) or (), channel_axis(view, name)
    return [side for place, side in enumerate(shape) if place not in (0, channels)]


def _between(view: View, name: str, after: str) -> list[NodeProto]:
    before = {id(node) for node in nodes_to(view, name)}
    return [node for node in nodes_to(view, after) if id(node) not in before]
