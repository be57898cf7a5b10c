"""Reads from a prepared graph what the options of a session depend on."""

from dataclasses import dataclass

from onnx import GraphProto, ModelProto, TensorProto

from featx.backbones.graph.front import PIXEL_INPUT
from featx.backbones.graph.view import captured

_SHAPE_OPERATORS = {"Shape", "Size"}
_QUANTISATION_OPERATORS = {"QuantizeLinear", "DequantizeLinear"}


@dataclass(frozen=True)
class GraphContents:
    """The properties of a prepared graph that decide the options of its session."""

    shape_nodes: frozenset[tuple[str, str]]
    """Name and operator of the nodes that only compute shapes and never read a pixel."""
    float16: bool
    """Whether any weight is float16."""
    quantised: bool
    """Whether any node quantises or dequantises, as in an int8 backbone."""


def read_contents(model: bytes) -> GraphContents:
    """The contents of this serialised graph."""
    parsed = ModelProto()
    parsed.ParseFromString(model)
    graph = parsed.graph
    return GraphContents(
        _shape_nodes(graph),
        float16=any(tensor.data_type == TensorProto.FLOAT16 for tensor in graph.initializer),
        quantised=any(node.op_type in _QUANTISATION_OPERATORS for node in graph.node),
    )


def _shape_nodes(graph: GraphProto) -> frozenset[tuple[str, str]]:
    """Name and operator of the nodes that never read a pixel.

    Nodes of one operator without a name cannot be told apart: if one of them reads pixels, none is listed.
    """
    touched = {PIXEL_INPUT}
    touching = set()
    others = set()
    for node in graph.node:
        key = (node.name, node.op_type)
        if node.op_type not in _SHAPE_OPERATORS and touched & (set(node.input) | captured(node)):
            touched |= set(node.output)
            touching.add(key)
        else:
            others.add(key)
    return frozenset(others - touching)
