"""A backbone's model in; a graph that takes uint8 pixels and ends at the features out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from onnx.external_data_helper import load_external_data_for_model

from featx.backbones.card import (
    GEM_POWER,
    Backbone,
    Card,
    Output,
)
from featx.backbones.graph.batch import free_batch
from featx.backbones.graph.front import PIXEL_INPUT, put_pixels_in
from featx.backbones.graph.layers import SAME_NUMBERS, channel_axis
from featx.backbones.graph.model import (
    SMALL,
    View,
    assign,
    captured,
    damage_reported,
    external_bytes,
    image_inputs,
    load_model,
    opset,
    shape_of,
)
from featx.backbones.graph.shapes import ANY_BATCH, view_model
from featx.errors import BackboneError, did_you_mean

KEEPS_INTEGERS = SAME_NUMBERS - {"Cast", "QuantizeLinear", "DynamicQuantizeLinear"}
QUANTISED = {TensorProto.UINT8, TensorProto.INT8}
AXES_ARE_INPUTS = 18
"""The opset from which ReduceMean and ReduceMax take their axes as an input."""
WEIGHTS_ARE_NO_INPUTS = 4
"""The version of ONNX's format from which weights need not be inputs of the graph, too."""
EMBEDDED_BYTES = 2**31 - 2**20
"""Up to this size a model is handed over whole; ONNX Runtime 1.20 fails on some weights that it has to fetch."""


@dataclass(frozen=True)
class PreparedGraph:
    """A model as a session is given it."""

    model: bytes
    """Serialised: uint8 pixels (batch, size, size, 3) in, one output (batch, dim) float32 for each of the card's."""
    folder: Path
    """Where its external weights lie."""
    batch: int | None
    """The number of images that the model's own batch axis is fixed at; None where it is free."""
    freed: bool
    """Whether such an axis was freed, which is yet to be tried."""


def prepare_graph(backbone: Backbone, *, keep_batch: bool = False) -> PreparedGraph:
    """The graph that maps uint8 pixels (batch, size, size, 3) to the card's outputs alone.

    What lies behind the outputs is dropped, so it costs nothing; the normalisation of the card is put in front, so that
    a quarter of the bytes is handed over; a fixed batch axis is freed unless `keep_batch`. Raises BackboneError where
    the file or a tensor is not what the card says.
    """
    card = backbone.card
    cut = _cut_model(backbone, first=PIXEL_INPUT, keep_batch=keep_batch)
    graph = cut.model.graph
    _put_outputs_on(graph, cut.view, card, version=opset(cut.model))
    put_pixels_in(graph, card, batch=cut.batch if keep_batch else None)
    del graph.value_info[:]
    freed = cut.batch is not None and not keep_batch
    return PreparedGraph(_serialise(cut.model, backbone), backbone.path.parent, cut.batch, freed)


def feature_model(backbone: Backbone) -> ModelProto:
    """The model from its own input to the tensors of the card's outputs alone, its batch free, its weights inside.

    Raises BackboneError as prepare_graph does, and where the model is too large to be one file.
    """
    card = backbone.card
    cut = _cut_model(backbone, first=card.input, keep_batch=False)
    graph, elem_type = cut.model.graph, TensorProto.DataType.Value(CARD_TYPES[card.dtype])
    assign(graph.input, [helper.make_tensor_value_info(card.input, elem_type, ["batch", *_sides(card)])])
    ends = [(output.tensor, cut.view.elem_type(output.tensor) or TensorProto.FLOAT) for output in card.taken]
    assign(graph.output, [helper.make_tensor_value_info(name, kind, None) for name, kind in dict(ends).items()])
    del graph.value_info[:]
    if (size := external_bytes(cut.model) + cut.model.ByteSize()) > EMBEDDED_BYTES:
        raise BackboneError(
            f"{backbone.path}: {size} bytes, but one file holds {EMBEDDED_BYTES}; take a smaller model of its family"
        )
    _serialise(cut.model, backbone)  # which puts the weights inside
    return cut.model


@dataclass(frozen=True)
class _Cut:
    """A model that ends at the card's outputs, and what is known of it as it was before."""

    model: ModelProto
    view: View
    batch: int | None
    """The batch that the model fixed."""


def _cut_model(backbone: Backbone, *, first: str, keep_batch: bool) -> _Cut:
    """The checked model without what lies behind the card's outputs; `first` will be its input."""
    card, model = backbone.card, load_model(backbone.path)
    graph = model.graph
    batch = _check_input(graph, backbone)
    _check_outputs(graph, backbone)
    needed = batch is not None or any(output.pool for output in card.taken)
    inferred = _infer(model, card, batch) if needed else {}
    view = View(_copy(graph), inferred, card.input)
    others = {value.name for value in image_inputs(graph)} - {card.input}
    _cut(graph, [output.tensor for output in card.taken])
    _check_needed(graph, others, backbone)
    model.ir_version = max(model.ir_version, WEIGHTS_ARE_NO_INPUTS)
    if batch is not None and not keep_batch:
        free_batch(graph, view, batch=batch, pixels=first)
    return _Cut(model, view, batch)


def _copy(graph: GraphProto) -> GraphProto:
    """The graph as it is now, its large weights not copied."""
    copy = GraphProto()
    copy.node.extend(graph.node)
    copy.input.extend(graph.input)
    copy.output.extend(graph.output)
    for tensor in graph.initializer:
        if prod(tensor.dims) <= SMALL:
            copy.initializer.append(tensor)
    return copy


def whole_graph(backbone: Backbone) -> PreparedGraph:
    """The model as its exporter left it, the tensors of the card's outputs, as float32, its only outputs."""
    card, model = backbone.card, load_model(backbone.path)
    graph = model.graph
    batch = _check_input(graph, backbone)
    _check_outputs(graph, backbone)
    view = View(_copy(graph), {}, card.input)
    if len(image_inputs(graph)) > 1:
        _cut(graph, [output.tensor for output in card.taken])
        assign(graph.input, [value for value in graph.input if value.name == card.input])
    ends = []
    for place, output in enumerate(card.taken):
        steps = _Steps(graph, f"featx_whole_{place}")
        ends.append(ValueInfoProto(name=steps.add("Identity", [_as_float(steps, view, output.tensor)])))
    assign(graph.output, ends)
    return PreparedGraph(_serialise(model, backbone), backbone.path.parent, batch, freed=False)


def _infer(model: ModelProto, card: Card, batch: int | None) -> Mapping[str, ValueInfoProto]:
    """What is known of the tensors at the card's size."""
    return view_model(model, card.input, shape=(batch or ANY_BATCH, *_sides(card))).values


def channel_axes(backbone: Backbone) -> list[int]:
    """For every output of the card, the axis of its tensor that holds the channels."""
    card, model = backbone.card, load_model(backbone.path)
    batch = _check_input(model.graph, backbone)
    view = View(model.graph, _infer(model, card, batch), card.input)
    return [channel_axis(view, output.tensor) for output in card.taken]


def _serialise(model: ModelProto, backbone: Backbone) -> bytes:
    """The model as bytes, its external weights among them where they fit; else the runtime reads them itself."""
    if (outside := external_bytes(model)) and outside + model.ByteSize() <= EMBEDDED_BYTES:
        with damage_reported(backbone.path):
            load_external_data_for_model(model, str(backbone.path.parent))
    try:
        return bytes(model.SerializeToString())
    except ValueError as error:
        raise BackboneError(
            f"{backbone.path}: too large to be handed over ({error}); export it with its weights as external data"
        ) from error


def _sides(card: Card) -> tuple[int, int, int]:
    """The sides of the model's input behind the batch, as the card has it."""
    channels = 1 if card.channels == "L" else 3
    return (channels, card.size, card.size) if card.layout == "NCHW" else (card.size, card.size, channels)


def _check_input(graph: GraphProto, backbone: Backbone) -> int | None:
    """The batch that the model fixes, once its input is known to be what the card says."""
    card, inputs = backbone.card, {value.name: value for value in image_inputs(graph)}
    if card.input not in inputs:
        raise BackboneError(
            f"{backbone.path}: inputs are {sorted(inputs)} but the card says {card.input!r}; correct the card"
        )
    value = inputs[card.input]
    shape, wanted = shape_of(value), _sides(card)
    fits = shape is None or (
        len(shape) == 4 and all(side in (None, want) for side, want in zip(shape[1:], wanted, strict=True))
    )
    if not fits:
        raise BackboneError(
            f"{backbone.path}: input {card.input!r} has shape {list(shape or ())} but layout and size of the card make "
            f"it {[None, *wanted]}; correct the card"
        )
    expected = TensorProto.DataType.Value(CARD_TYPES[card.dtype])
    if value.type.tensor_type.elem_type != expected:
        has = TensorProto.DataType.Name(value.type.tensor_type.elem_type)
        raise BackboneError(
            f"{backbone.path}: input {card.input!r} is {has} but the card says {card.dtype}; correct the card"
        )
    return shape[0] if shape else None


CARD_TYPES = {"float32": "FLOAT", "float16": "FLOAT16", "uint8": "UINT8"}


def _check_outputs(graph: GraphProto, backbone: Backbone) -> None:
    made = {name for node in graph.node for name in node.output}
    for output in backbone.card.taken:
        if output.tensor not in made:
            raise BackboneError(no_such_tensor(graph, output.tensor, backbone.path) + "; correct its card")


def no_such_tensor(graph: GraphProto, name: str, path: Path) -> str:
    """What to say of a tensor that the graph has not: near names, and its outputs."""
    made = [output for node in graph.node for output in node.output if output]
    outputs = ", ".join(value.name for value in graph.output)
    return f"{path}: no tensor {name!r}{did_you_mean(name, made)}; its outputs are {outputs}"


def _check_needed(graph: GraphProto, others: set[str], backbone: Backbone) -> None:
    """Refuse outputs that need an input which featx does not have."""
    if needed := others & {name for node in graph.node for name in (*node.input, *captured(node))}:
        raise BackboneError(
            f"{backbone.path}: inputs {sorted(needed)} are needed for {backbone.card.feature!r}, beside image "
            f"{backbone.card.input!r} of the card; choose an output that depends on the image alone"
        )


def _cut(graph: GraphProto, tensors: Sequence[str]) -> None:
    """Keep only what the tensors are computed from."""
    needed, kept = set(tensors), list[NodeProto]()
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input) | captured(node)
    assign(graph.node, kept[::-1])
    for place in reversed(range(len(graph.initializer))):  # in place: weights are large
        if graph.initializer[place].name not in needed:
            del graph.initializer[place]


# ---- from tensors to vectors


def _put_outputs_on(graph: GraphProto, view: View, card: Card, *, version: int) -> None:
    """Make every output of the card a float32 vector, and these the graph's outputs."""
    ends = []
    for place, output in enumerate(card.taken):
        steps = _Steps(graph, f"featx_output_{place}")
        end = _pooled(steps, view, output, _as_float(steps, view, output.tensor), version=version)
        final = steps.add("Flatten", [end], axis=1)
        ends.append(helper.make_tensor_value_info(final, TensorProto.FLOAT, ["batch", output.dim or None]))
    assign(graph.output, ends)


@dataclass
class _Steps:
    """Nodes put behind a tensor."""

    graph: GraphProto
    prefix: str
    count: int = 0

    def add(self, operator: str, inputs: Sequence[str], **settings: Any) -> str:
        """Append a node; its output's name."""
        self.count += 1
        name = f"{self.prefix}_{self.count}"
        self.graph.node.append(helper.make_node(operator, inputs, [name], **settings))
        return name

    def store(self, values: Any) -> str:
        """Store a constant; its name."""
        self.count += 1
        name = f"{self.prefix}_{self.count}"
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
        return name


def _as_float(steps: _Steps, view: View, tensor: str) -> str:
    """The tensor as float32, with its scale and zero point where it is quantised."""
    if view.elem_type(tensor) == TensorProto.FLOAT:
        return tensor
    if view.elem_type(tensor) in QUANTISED | {0} and (found := _quantisation(view, tensor)):
        _put_back(steps.graph, view, found)
        return steps.add("DequantizeLinear", [tensor, *found])
    return steps.add("Cast", [tensor], to=TensorProto.FLOAT)


def _quantisation(view: View, tensor: str) -> list[str]:
    """Scale and zero point with which the next layer reads the tensor; empty where it is not quantised."""
    for node in view.consumers.get(tensor, ()):
        if node.op_type == "DequantizeLinear" or (node.op_type.startswith("Q") and node.op_type != "QuantizeLinear"):
            place = list(node.input).index(tensor)
            return [name for name in node.input[place + 1 : place + 3] if name]
        if node.op_type in KEEPS_INTEGERS and (found := _quantisation(view, node.output[0])):
            return found
    return []


def _put_back(graph: GraphProto, view: View, names: Sequence[str]) -> None:
    """Store weights again that the cut has dropped."""
    there = {tensor.name for tensor in graph.initializer}
    for name in names:
        if name not in there:
            graph.initializer.append(view.weights[name])
            graph.initializer[-1].name = name


def _pooled(steps: _Steps, view: View, output: Output, tensor: str, *, version: int) -> str:
    """A map or a sequence of tokens as one vector; what is a vector stays as it is."""
    if not output.pool:
        return tensor
    rank = view.rank(output.tensor)
    if rank is None or rank not in ((3,) if output.pool == "cls" else (3, 4)):
        raise BackboneError(
            f"output {output.name!r} of model {steps.graph.name!r} has {rank} axes and cannot be pooled; "
            "leave out the pooling, or choose a map or tokens"
        )
    if output.pool == "cls":
        return steps.add("Gather", [tensor, steps.store(np.int64(0))], axis=1)
    channels = channel_axis(view, output.tensor)
    places = [place for place in range(1, rank) if place != channels]
    if output.pool == "gem":
        raised = steps.add("Pow", [steps.add("Relu", [tensor]), steps.store(np.float32(GEM_POWER))])
        mean = _reduce(steps, "ReduceMean", tensor=raised, axes=places, version=version)
        return steps.add("Pow", [mean, steps.store(np.float32(1 / GEM_POWER))])
    return _reduce(
        steps, {"mean": "ReduceMean", "max": "ReduceMax"}[output.pool], tensor=tensor, axes=places, version=version
    )


def _reduce(steps: _Steps, operator: str, *, tensor: str, axes: list[int], version: int) -> str:
    if version < AXES_ARE_INPUTS:
        return steps.add(operator, [tensor], axes=axes, keepdims=0)
    return steps.add(operator, [tensor, steps.store(np.array(axes, np.int64))], keepdims=0)


def identity_graph() -> bytes:
    """The smallest model, serialised: to learn what a session gets without any backbone."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "smallest", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    return bytes(model.SerializeToString())
