"""Answers questions about the tensors and nodes of a graph."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from onnx.external_data_helper import uses_external_data

MOST_AXES = 64
"""Largest number of axes that are read; no tensor has as many."""
Shape = tuple[int | None, ...]
"""The sides of a tensor; None for a side that is free."""


@dataclass(frozen=True)
class View:
    """A graph and its inferred shapes: which node computes or reads a tensor, and what depends on the image."""

    graph: GraphProto
    values: Mapping[str, ValueInfoProto]
    """Tensor -> its type and inferred shape, if they are known."""
    image: str
    """Name of the input that takes the image."""

    @cached_property
    def producers(self) -> dict[str, NodeProto]:
        """Tensor -> the node that computes it."""
        return {name: node for node in self.graph.node for name in node.output if name}

    @cached_property
    def consumers(self) -> dict[str, list[NodeProto]]:
        """Tensor -> the nodes that read it."""
        found: dict[str, list[NodeProto]] = {}
        for node in self.graph.node:
            for name in dict.fromkeys((*node.input, *captured(node))):
                found.setdefault(name, []).append(node)
        return found

    @cached_property
    def weights(self) -> dict[str, TensorProto]:
        """Tensor -> its stored values: initializers and Constant nodes."""
        constants = {
            node.output[0]: attribute.t
            for node in self.graph.node
            if node.op_type == "Constant"
            for attribute in node.attribute
            if attribute.name == "value"
        }
        return constants | {tensor.name: tensor for tensor in self.graph.initializer}

    @cached_property
    def image_dependent(self) -> set[str]:
        """Tensors whose values, and not only shapes, depend on the image."""
        return self._reached_from({self.image})

    @cached_property
    def other_dependent(self) -> set[str]:
        """Tensors that depend on an input other than the image, which featx cannot provide."""
        return self._reached_from({value.name for value in image_inputs(self.graph)} - {self.image})

    def _reached_from(self, names: set[str]) -> set[str]:
        reached = set(names)
        for node in self.graph.node:
            if node.op_type not in ("Shape", "Size") and reached & {*node.input, *captured(node)}:
                reached.update(filter(None, node.output))
        return reached

    def shape(self, name: str) -> Shape | None:
        """The shape of a tensor, or None if it is unknown."""
        if name in self.weights:
            return tuple(self.weights[name].dims)
        return shape_of(self.values[name]) if name in self.values else None

    def rank(self, name: str) -> int | None:
        """The number of axes of a tensor, or None if it is unknown."""
        shape = self.shape(name)
        return None if shape is None else len(shape)

    def elem_type(self, name: str) -> int:
        """The element type of a tensor as a number of TensorProto; 0 if it is unknown."""
        return int(self.values[name].type.tensor_type.elem_type) if name in self.values else 0

    def is_numbers(self, name: str) -> bool:
        """Whether the tensor is one of numbers, or of an unknown type; not a text, a sequence, a map or an optional."""
        kind = self.values[name].type if name in self.values else None
        if kind is None or kind.WhichOneof("value") is None:
            return True
        return bool(kind.HasField("tensor_type")) and kind.tensor_type.elem_type != TensorProto.STRING

    def axes(self, node: NodeProto) -> list[int] | None:
        """The axes that the node has as an attribute, or stored as its second input; None if it has neither."""
        given = attributes(node).get("axes")
        if given is None and len(node.input) > 1:
            stored = self.weights.get(node.input[1])
            if stored is None or prod(stored.dims) <= MOST_AXES:
                given = self.constant(node.input[1])
        return None if given is None else [int(axis) for axis in np.atleast_1d(given)]

    def constant(self, name: str) -> NDArray[Any] | None:
        """The values of a stored tensor; None if it is computed, or was too large to be read."""
        tensor = self.weights.get(name)
        if tensor is None or uses_external_data(tensor):
            return self._constant_attribute(name)
        return np.asarray(numpy_helper.to_array(tensor))

    def _constant_attribute(self, name: str) -> NDArray[Any] | None:
        """The values of a Constant node that stores them in another attribute than `value`."""
        node = self.producers.get(name)
        if node is None or node.op_type != "Constant":
            return None
        others = (attribute for attribute in node.attribute if attribute.name != "value")
        stored = next(map(helper.get_attribute_value, others), None)
        return None if stored is None or isinstance(stored, (bytes, str)) else np.asarray(stored)

    def data_inputs(self, node: NodeProto) -> list[str]:
        """The inputs of a node that depend on the image."""
        return [name for name in node.input if name in self.image_dependent]


def attributes(node: NodeProto) -> dict[str, Any]:
    """The attributes of a node as Python values."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """The branches of an If, or the body of a Loop or Scan."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def captured(node: NodeProto) -> set[str]:
    """Names of the tensors that the branches of an If or the body of a Loop read."""
    names = set[str]()
    for inner in subgraphs(node):
        names.update(value.name for value in inner.output)
        for child in inner.node:
            names.update(child.input, captured(child))
    return names


def image_inputs(graph: GraphProto) -> list[ValueInfoProto]:
    """The inputs of the graph that are not weights."""
    weights = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in weights]


def shape_of(value: ValueInfoProto) -> Shape | None:
    """The declared shape, with None for a free side; None if its rank is unknown."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in tensor.shape.dim)


def opset(model: ModelProto) -> int:
    """The version of the ONNX operator set that the model uses."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)


def assign(field: Any, values: Iterable[Any]) -> None:
    """Replace the values of a repeated field, which protobuf cannot assign to."""
    copies = list(values)
    del field[:]
    field.extend(copies)
