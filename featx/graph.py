"""ONNX surgery: a backbone's model in; a graph that takes uint8 pixels and ends at the feature out."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from featx.backbones import Backbone, Card
from featx.errors import BackboneError

PIXELS = "featx_pixels"
"""Name of the input of a prepared graph: uint8 (batch, size, size, 3)."""


def prepare_graph(backbone: Backbone) -> bytes:
    """The model, serialised, that maps uint8 pixels (batch, size, size, 3) to the feature tensor alone.

    What lies behind the feature is dropped, so it costs nothing; the normalisation of the card is put in front, so that
    a quarter of the bytes is handed over. Raises BackboneError where the file or a tensor is not what the card says.
    """
    model = _load(backbone.path)
    _check_names(model.graph, backbone)
    _check_shape(model.graph, backbone)
    _cut(model.graph, [backbone.card.feature])
    _put_pixels_in(model.graph, backbone.card)
    return bytes(model.SerializeToString())


def _load(path: Path) -> ModelProto:
    try:
        return onnx.load(str(path))
    except Exception as error:
        # protobuf raises its own DecodeError, which onnx does not name
        raise BackboneError(f"{path}: not a readable ONNX model ({error}); export it again") from error


def _check_names(graph: GraphProto, backbone: Backbone) -> None:
    card = backbone.card
    inputs = {value.name for value in graph.input} - {tensor.name for tensor in graph.initializer}
    if inputs != {card.input}:
        raise BackboneError(
            f"{backbone.path}: inputs are {sorted(inputs)} but the card says {card.input!r}; correct the card"
        )
    if card.feature not in {output for node in graph.node for output in node.output}:
        outputs = [value.name for value in graph.output]
        raise BackboneError(
            f"{backbone.path}: no tensor {card.feature!r}, the feature of its card; outputs: {outputs}; correct it"
        )


def _check_shape(graph: GraphProto, backbone: Backbone) -> None:
    """Compare size and layout of the card with the sides that the model fixes; free ones take any size."""
    card = backbone.card
    wanted = (3, card.size, card.size) if card.layout == "NCHW" else (card.size, card.size, 3)
    value = next(value for value in graph.input if value.name == card.input)
    shape = [dim.dim_value or None for dim in value.type.tensor_type.shape.dim]
    fits = len(shape) == 4 and all(side in (None, want) for side, want in zip(shape[1:], wanted, strict=True))
    if shape and not fits:
        raise BackboneError(
            f"{backbone.path}: input {card.input!r} has shape {shape} but layout and size of the card make it "
            f"{[None, *wanted]}; correct the card"
        )


def _cut(graph: GraphProto, outputs: Sequence[str]) -> None:
    """Keep only what the outputs are computed from."""
    needed, kept = set(outputs), list[NodeProto]()
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input) | _captured(node)
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    known = {value.name: value for value in [*graph.output, *graph.value_info]}
    ends = [known.get(name) or helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    _replace(graph.node, kept[::-1])
    _replace(graph.initializer, weights)
    _replace(graph.output, ends)


def _captured(node: NodeProto) -> set[str]:
    """Names that the branches of an If or the body of a Loop read from outside."""
    inner = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    return {name for graph in inner for child in graph.node for name in (*child.input, *_captured(child))}


def _put_pixels_in(graph: GraphProto, card: Card) -> None:
    """Replace the float input by uint8 pixels and (pixel - mean) / std, in the arithmetic of numpy's float32."""
    channels_first = card.layout == "NCHW"
    shape = (3, 1, 1) if channels_first else (3,)
    for name, values in (("featx_mean", card.mean), ("featx_std", card.std)):
        graph.initializer.append(numpy_helper.from_array(np.array(values, np.float32).reshape(shape), name))
    # Turned first, as bytes: a quarter of the memory traffic of turning floats.
    turn = [helper.make_node("Transpose", [PIXELS], ["featx_turned"], perm=[0, 3, 1, 2])] if channels_first else []
    steps = [
        *turn,
        helper.make_node("Cast", ["featx_turned" if channels_first else PIXELS], ["featx_float"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["featx_float", "featx_mean"], ["featx_centred"]),
        helper.make_node("Div", ["featx_centred", "featx_std"], [card.input]),
    ]
    _replace(graph.node, [*steps, *graph.node])
    _replace(
        graph.input, [helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, ["batch", card.size, card.size, 3])]
    )


def _replace(field: Any, values: Iterable[Any]) -> None:
    """Assign to a repeated field, which protobuf only lets one delete and extend."""
    copies = list(values)
    del field[:]
    field.extend(copies)


def identity_graph() -> bytes:
    """The smallest model, serialised: to learn what a session gets without any backbone."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "smallest", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    return bytes(model.SerializeToString())
