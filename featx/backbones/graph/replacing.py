"""Replaces stored tensors of a model by others of the same name and shape, and changes nothing else in it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from featx.backbones.graph.view import captured, subgraphs

_VALUES = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data", "external_data")
_SUFFIX = "_tuned"


@dataclass(frozen=True)
class Stored:
    """A tensor that a model stores, and where."""

    name: str
    """That of an initializer, or of the output of a Constant node."""
    tensor: TensorProto
    graph: GraphProto
    """The graph, or the branch inside a node, to which it belongs."""


def find_stored(model: ModelProto) -> dict[str, list[Stored]]:
    """Name -> the tensors that the model stores under it, also in the branches of its nodes."""
    found: dict[str, list[Stored]] = {}
    for one in _stored(model.graph):
        found.setdefault(one.name, []).append(one)
    return found


def _stored(graph: GraphProto) -> Iterator[Stored]:
    for tensor in graph.initializer:
        yield Stored(tensor.name, tensor, graph)
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                yield Stored(node.output[0], attribute.t, graph)
        for inner in subgraphs(node):
            yield from _stored(inner)


def all_nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """The nodes of the graph and of the graphs inside them."""
    for node in graph.node:
        yield node
        for inner in subgraphs(node):
            yield from all_nodes(inner)


def readers_outside(model: ModelProto, name: str, *, inside: set[str]) -> list[NodeProto]:
    """The nodes that read this tensor, without those that compute one of the tensors `inside`."""
    return [node for node in all_nodes(model.graph) if name in node.input and not inside & set(node.output)]


def replace_stored(model: ModelProto, values: Mapping[str, NDArray[Any]], *, inside: set[str]) -> None:
    """Give the stored tensors of these names these values, in their own type, for the nodes that compute `inside`.

    Where other nodes read the same tensor, it stays for them, and the nodes inside read a new one, whose name ends in
    `_tuned`. The model is changed in place.
    """
    found = find_stored(model)
    for name, numbers in values.items():
        stored = found[name][0]
        kind = helper.tensor_dtype_to_np_dtype(stored.tensor.data_type)
        made = numpy_helper.from_array(np.ascontiguousarray(numbers, kind), name)
        if readers_outside(model, name, inside=inside):
            made.name = _free_name(model, name)
            _read_instead(stored.graph, name, made.name, inside=inside)
            stored.graph.initializer.append(made)
        else:
            _store(stored.tensor, made)


def _store(tensor: TensorProto, values: TensorProto) -> None:
    """Give the tensor the values of another, and leave its name and description."""
    for field in _VALUES:
        tensor.ClearField(field)
    tensor.ClearField("data_location")
    tensor.raw_data = values.raw_data


def _read_instead(graph: GraphProto, name: str, other: str, *, inside: set[str]) -> None:
    """Let the nodes that compute a tensor `inside` read the other tensor."""
    for node in all_nodes(graph):
        if inside & set(node.output):
            for place, read in enumerate(node.input):
                if read == name:
                    node.input[place] = other


def _free_name(model: ModelProto, name: str) -> str:
    """The name of a new tensor."""
    taken = {read for node in all_nodes(model.graph) for read in (*node.input, *node.output, *captured(node))}
    taken |= find_stored(model).keys()
    found = f"{name}{_SUFFIX}"
    while found in taken:
        found += "_"
    return found
