"""Describes the nodes between a tensor of a graph and its end as plain Python values and arrays."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, SparseTensorProto, TensorProto, helper, numpy_helper

from featx.backbones.graph.view import Shape, View, subgraphs
from featx.errors import BackboneError

Attribute = int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...] | NDArray[Any]

_NEVER_LEARNED = {
    "BatchNormalization": (3, 4),
    "Clip": (1, 2),
    "Dropout": (1, 2),
    "Expand": (1,),
    "Pad": (1, 2, 3),
    "Pow": (1,),
}
"""Operator -> the places of its inputs that training never changes: running statistics, limits and exponents."""
_OF_LAYERS = {
    *("Conv", "Gemm", "MatMul", "PRelu", "BatchNormalization", "LayerNormalization", "GroupNormalization"),
    *("InstanceNormalization", "Einsum", "RMSNormalization"),
}
"""Operators whose stored tensors are learned even if they are a single number."""
_LOWEST_OF_MASK = -99.0
"""Scores of tokens that may not see each other are at or below this in a mask."""


@dataclass(frozen=True)
class TailNode:
    """A node of a graph, without any type of ONNX."""

    operator: str
    """Its operator, with the domain before it if that is not ONNX's own, as in `com.microsoft.Gelu`."""
    name: str
    """How messages name it."""
    inputs: tuple[str, ...]
    """Names of the tensors that it reads; empty for one that is left out."""
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]


@dataclass(frozen=True)
class Tail:
    """The part of a backbone between one of its tensors and its feature, as plain nodes in the order of the graph."""

    source: str
    """The file and the tensor, as messages name them."""
    tensor: str
    """The tensor that it takes."""
    shape: tuple[int, ...]
    """The sides of that tensor after the batch."""
    feature: str
    """The tensor that it gives: the feature of the card, pooled and as (batch, dim)."""
    opset: int
    nodes: tuple[TailNode, ...]
    constants: Mapping[str, NDArray[Any]]
    """Stored tensors that the nodes read: initializers, and the values of Constant nodes under their output's name."""
    weights: tuple[str, ...]
    """The constants that training changes."""
    shapes: Mapping[str, tuple[tuple[int, int], ...]]
    """Tensors before the cut whose shape the nodes ask for -> a side is `fixed + factor * batch` of each pair."""


def end_of(
    view: View, *, tensor: str, end: str, known: Iterable[str] = ()
) -> tuple[list[NodeProto], list[str], list[str]]:
    """The nodes from the tensor to the end, earlier tensors whose shape they ask for, and those whose values they read.

    Nodes that depend on no image, such as a transposed weight, are among them.
    """
    after = _reached(view, tensor)
    needed, found = {end}, list[NodeProto]()
    shapes, crossing = list[str](), list[str]()
    for node in reversed(view.graph.node):
        if not needed & set(node.output) or tensor in node.output:
            continue
        found.append(node)
        for name in filter(None, node.input):
            earlier = name in view.image_dependent and name not in after
            if earlier and node.op_type in ("Shape", "Size"):
                shapes.append(name)
            elif earlier:
                crossing.append(name)
            else:
                needed.add(name)
    return found[::-1], list(dict.fromkeys(shapes)), list(dict.fromkeys(crossing))


def _reached(view: View, tensor: str) -> set[str]:
    """The tensor, and all that is computed from it."""
    reached = {tensor}
    for node in view.graph.node:
        if tensor not in node.output and reached & set(node.input):
            reached.update(filter(None, node.output))
    return reached


def plain_node(node: NodeProto, *, source: str) -> TailNode:
    """The node as plain values. Raises BackboneError if it contains a graph, as If and Loop do."""
    label = node.name or next(iter(node.output), "")
    if any(True for _ in subgraphs(node)):
        raise BackboneError(
            f"{source}: node {label!r} is a {node.op_type}, which chooses at run time what is computed and cannot be "
            "trained here; cut the backbone after it"
        )
    domain = "" if node.domain in ("", "ai.onnx") else f"{node.domain}."
    found = {attribute.name: _plain(helper.get_attribute_value(attribute)) for attribute in node.attribute}
    return TailNode(domain + node.op_type, label, tuple(node.input), tuple(node.output), found)


def _plain(value: Any) -> Any:
    if isinstance(value, TensorProto):
        return np.asarray(numpy_helper.to_array(value))
    if isinstance(value, SparseTensorProto):
        return "sparse"
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return tuple(map(_plain, value)) if isinstance(value, (list, tuple)) or hasattr(value, "append") else value


def read_constants(view: View, nodes: Sequence[NodeProto]) -> dict[str, NDArray[Any]]:
    """The stored tensors that these nodes read, in the order in which they read them."""
    found = dict[str, NDArray[Any]]()
    for name in dict.fromkeys(name for node in nodes for name in node.input if name):
        values = view.constant(name)
        if values is not None:
            found[name] = values
    return found


def learned(nodes: Sequence[NodeProto], constants: Mapping[str, NDArray[Any]]) -> tuple[str, ...]:
    """The constants that training changes: floats that layers, or arithmetic with more than one number, read.

    Running statistics, limits, exponents, single numbers of arithmetic and masks of attention are not among them.
    """
    readers: dict[str, list[tuple[str, int]]] = {}
    for node in nodes:
        for place, name in enumerate(node.input):
            if name in constants:
                readers.setdefault(name, []).append((node.op_type, place))
    return tuple(name for name, values in constants.items() if _is_learned(values, readers[name]))


def _is_learned(values: NDArray[Any], readers: Sequence[tuple[str, int]]) -> bool:
    if values.dtype.kind != "f" or not values.ndim or not values.size:
        return False
    if any(place in _NEVER_LEARNED.get(operator, ()) for operator, place in readers):
        return False
    if any(operator in _OF_LAYERS for operator, _ in readers):
        return True
    return values.size > 1 and not _is_mask(values)


def _is_mask(values: NDArray[Any]) -> bool:
    """Whether these are zeros, and numbers that no score outweighs."""
    return bool(values.min() <= _LOWEST_OF_MASK and np.all((values == 0) | (values <= _LOWEST_OF_MASK)))


def sides_by_batch(one: Shape | None, other: Shape | None, *, batches: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Each side as (fixed, factor), so that it is `fixed + factor * batch`, from the shapes at two sizes of the batch.

    Raises ValueError if a side is unknown, or no such sum.
    """
    if one is None or other is None or len(one) != len(other):
        raise ValueError("the shape is not known")
    first, second = batches
    found = []
    for before, after in zip(one, other, strict=True):
        if before is None or after is None or (after - before) % (second - first):
            raise ValueError("a side is not known")
        factor = (after - before) // (second - first)
        found.append((before - factor * first, factor))
    return tuple(found)
