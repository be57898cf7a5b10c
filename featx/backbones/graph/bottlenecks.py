"""Finds bottlenecks: tensors that every path from the image to an output passes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from onnx import NodeProto, TensorProto

from featx.backbones.graph.layers import channel_axis, is_global_pool, is_vector, same_values
from featx.backbones.graph.view import View

FEATURE_TYPES = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16, 0}
"""Element types of tensors that can be features; 0 stands for an unknown type."""
_NEW_FEATURE = {"Gemm", "MatMul", "Conv", "Gather", "FusedGemm"}
"""Operators that compute another feature from a vector."""


def nodes_to(view: View, output: str) -> list[NodeProto]:
    """The nodes on any path from the image to the output, in order."""
    needed = {output}
    found = []
    for node in reversed(view.graph.node):
        if needed & set(node.output):
            found.append(node)
            needed.update(view.data_inputs(node))
    return found[::-1]


@dataclass(frozen=True)
class Bottleneck:
    """A tensor that every path from the image to an output passes."""

    name: str
    nodes: tuple[NodeProto, ...]
    """The nodes on the way to it from the bottleneck before, or from the image."""


def bottlenecks(view: View, output: str) -> list[Bottleneck]:
    """The tensors that every path from the image to the output passes, in order.

    These are the dominators of the output: after each, no other tensor that depends on the image is still needed.
    """
    nodes = [node for node in nodes_to(view, output) if node.op_type not in ("Shape", "Size")]
    last_use = {name: place for place, node in enumerate(nodes) for name in view.data_inputs(node)}
    last_use[output] = len(nodes)
    live = {view.image}
    found = list[Bottleneck]()
    since = 0
    for place, node in enumerate(nodes):
        live.difference_update([name for name in node.input if last_use.get(name, -1) <= place])
        live.update(name for name in node.output if last_use.get(name, -1) > place)
        if len(live) == 1 and (not found or found[-1].name not in live):
            found.append(Bottleneck(next(iter(live)), tuple(nodes[since : place + 1])))
            since = place + 1
    return found


def depths(view: View) -> dict[str, int]:
    """Tensor -> the largest number of nodes after each other from the image to it, for tensors that depend on it."""
    found = {view.image: 0}
    for node in view.graph.node:
        read = [found[name] for name in view.data_inputs(node) if name in found]
        if read:
            found.update(dict.fromkeys(node.output, max(read) + 1))
    return found


def stages(view: View, passed: Sequence[Bottleneck]) -> Iterator[str]:
    """Yields the last bottleneck of every stage; a new resolution or rank, a pool or a dense layer starts a stage."""
    before = ""
    between = list[NodeProto]()
    for bottleneck in passed:
        between += bottleneck.nodes
        if not _can_be_feature(view, bottleneck.name):
            continue
        if before and _starts_stage(view, bottleneck.name, before=before, between=between):
            yield same_values(view, before)
        before = bottleneck.name
        between = []
    if before:
        yield same_values(view, before)


def _can_be_feature(view: View, name: str) -> bool:
    """Whether the tensor can be a feature: floats, computed by the model, of another shape than the image."""
    shape = view.shape(name)
    node = view.producers.get(name)
    if shape is None or node is None or node.op_type == "Pad" or view.elem_type(name) not in FEATURE_TYPES:
        return False
    image = view.shape(view.image) or (None,)
    return len(shape) in (2, 3, 4) and shape[0] in (image[0], None) and shape[1:] != image[1:]


def _starts_stage(view: View, name: str, *, before: str, between: Sequence[NodeProto]) -> bool:
    """Whether the tensor belongs to another stage than the bottleneck before it, given the nodes between them."""
    if is_vector(view, before):
        return any(is_global_pool(view, node) or node.op_type in _NEW_FEATURE for node in between)
    return is_vector(view, name) or _resolution(view, before) != _resolution(view, name)


def _resolution(view: View, name: str) -> list[int | None]:
    """The sides of a map, or the number of tokens."""
    shape = view.shape(name) or ()
    channels = channel_axis(view, name)
    return [side for place, side in enumerate(shape) if place not in (0, channels)]
