"""A prepared graph in; what of it matters to whom it is given, out."""

from dataclasses import dataclass

from onnx import GraphProto, ModelProto, TensorProto

from featx.backbones.graph.front import PIXEL_INPUT
from featx.backbones.graph.model import captured

MEASURING = {"Shape", "Size"}
QUANTISING = {"QuantizeLinear", "DequantizeLinear"}


@dataclass(frozen=True)
class GraphContents:
    """What a graph is made of."""

    measuring: frozenset[tuple[str, str]]
    """Name and operator of the nodes that compute shapes and never touch a pixel."""
    float16: bool
    """Whether there are weights of half precision."""
    quantised: bool
    """Whether there are quantisers, as of an int8 backbone."""


def read_contents(model: bytes) -> GraphContents:
    """What this prepared graph is made of."""
    parsed = ModelProto()
    parsed.ParseFromString(model)
    graph = parsed.graph
    return GraphContents(
        _measuring(graph),
        float16=any(tensor.data_type == TensorProto.FLOAT16 for tensor in graph.initializer),
        quantised=any(node.op_type in QUANTISING for node in graph.node),
    )


def _measuring(graph: GraphProto) -> frozenset[tuple[str, str]]:
    """Nodes without a name are told apart by their operator: one that touches pixels speaks for all of its kind."""
    touched, touching, others = {PIXEL_INPUT}, set(), set()
    for node in graph.node:
        key = (node.name, node.op_type)
        if node.op_type not in MEASURING and touched & (set(node.input) | captured(node)):
            touched |= set(node.output)
            touching.add(key)
        else:
            others.add(key)
    return frozenset(others - touching)
