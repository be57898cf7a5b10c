"""Cuts the model of a backbone down to its features: it takes uint8 pixels and returns a vector for each output."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from featx.backbones.graph.batch import free_batch
from featx.backbones.graph.external import SMALL, external_bytes, read_external
from featx.backbones.graph.front import ELEMENT_TYPES, PIXEL_INPUT, add_pixel_input
from featx.backbones.graph.layers import channel_axis
from featx.backbones.graph.model import RESERVED, damage_reported, load_model
from featx.backbones.graph.shapes import ANY_BATCH, view_model
from featx.backbones.graph.simplifying import simplify
from featx.backbones.graph.vectors import Steps, add_outputs, as_float
from featx.backbones.graph.view import View, assign, captured, image_inputs, opset, shape_of
from featx.backbones.model_inputs import NUMPY_TYPES, ImageInput
from featx.backbones.store import Backbone
from featx.errors import BackboneError, did_you_mean

_WEIGHTS_NEED_NO_INPUTS = 4
"""The version of the ONNX format from which on weights need not be inputs of the graph as well."""
_EMBEDDED_BYTES = 2**31 - 2**20
"""Models up to this size are passed on whole; ONNX Runtime 1.20 fails to read some external weights itself."""


@dataclass(frozen=True)
class PreparedGraph:
    """A model in the form that a session loads."""

    model: bytes
    """Serialised; takes uint8 pixels (batch, size, size, 3), returns float32 (batch, dim) for each output."""
    folder: Path
    """Folder of its external weights."""
    batch: int | None
    """Number of images at which the exporter fixed the batch axis; None if it is dynamic."""
    freed: bool
    """Whether featx made that axis dynamic; compare the features with those of the original graph before use."""


def prepare_graph(backbone: Backbone, *, keep_batch: bool = False, from_pixels: bool = True) -> PreparedGraph:
    """The graph that maps uint8 pixels (batch, size, size, 3) to the outputs of the card.

    Nodes after these outputs are pruned, so they cost nothing. The normalisation of the card becomes a part of the
    graph, so a quarter of the bytes is copied; without `from_pixels` the graph takes what the model takes. A fixed
    batch axis is made dynamic unless `keep_batch`. Raises BackboneError if the file or a tensor contradicts the card.
    """
    card = backbone.card
    with damage_reported(backbone.path):
        name = PIXEL_INPUT if from_pixels else card.input.name
        cut = _cut_model(backbone, input_name=name, keep_batch=keep_batch)
        graph = cut.model.graph
        add_outputs(graph, cut.view, card, version=opset(cut.model))
        batch = cut.batch if keep_batch else None
        if from_pixels:
            add_pixel_input(graph, card.input, batch=batch)
        else:
            assign(graph.input, [_own_input(card.input, batch=batch)])
        del graph.value_info[:]
        freed = cut.batch is not None and not keep_batch
        return PreparedGraph(_serialise(cut.model, backbone), backbone.path.parent, cut.batch, freed)


def feature_model(backbone: Backbone) -> ModelProto:
    """The model from its own input to the tensors of the card's outputs, with a dynamic batch and all weights inside.

    Raises BackboneError as prepare_graph does, and if the model is too large for one file.
    """
    with damage_reported(backbone.path):
        return _cut_to_features(backbone)


def _cut_to_features(backbone: Backbone) -> ModelProto:
    card = backbone.card
    cut = _cut_model(backbone, input_name=card.input.name, keep_batch=False)
    graph = cut.model.graph
    assign(graph.input, [_own_input(card.input, batch=None)])
    ends = [(output.tensor, cut.view.elem_type(output.tensor) or TensorProto.FLOAT) for output in card.all_outputs]
    assign(graph.output, [helper.make_tensor_value_info(name, kind, None) for name, kind in dict(ends).items()])
    del graph.value_info[:]
    if (size := external_bytes(cut.model) + cut.model.ByteSize()) > _EMBEDDED_BYTES:
        raise BackboneError(
            f"{backbone.path}: {size} bytes, but one file has at most {_EMBEDDED_BYTES}; use a smaller model"
        )
    _read_weights(cut.model, backbone)
    return cut.model


def _own_input(image: ImageInput, *, batch: int | None) -> ValueInfoProto:
    """The model's own input, for this number of images, or for any."""
    sides = ["batch" if batch is None else batch, *image.sides]
    return helper.make_tensor_value_info(image.name, ELEMENT_TYPES[image.dtype], sides)


@dataclass(frozen=True)
class _Cut:
    """A model that ends at the card's outputs, and a view of it before it was cut."""

    model: ModelProto
    view: View
    batch: int | None
    """The batch size that the exporter fixed; None if the axis is dynamic."""


def _cut_model(backbone: Backbone, *, input_name: str, keep_batch: bool) -> _Cut:
    """The checked model without the nodes after the card's outputs; `input_name` is what its input will be called."""
    card = backbone.card
    model, batch = _load_simplified(backbone)
    graph = model.graph
    _check_outputs(graph, backbone)
    shapes_needed = batch is not None or any(output.pool for output in card.all_outputs)
    inferred = _infer(model, backbone, batch) if shapes_needed else {}
    view = View(_copy(graph), inferred, card.input.name)
    others = {value.name for value in image_inputs(graph)} - {card.input.name}
    _prune(graph, [output.tensor for output in card.all_outputs])
    _check_needed(graph, others, backbone)
    model.ir_version = max(model.ir_version, _WEIGHTS_NEED_NO_INPUTS)
    if batch is not None and not keep_batch:
        free_batch(graph, view, batch=batch, pixels=input_name)
    return _Cut(model, view, batch)


def _load_simplified(backbone: Backbone) -> tuple[ModelProto, int | None]:
    """The checked model without what its exporter wrote for unknown shapes, and the batch size that it fixes."""
    model = load_model(backbone.path)
    batch = _check_input(model.graph, backbone)
    image = backbone.card.input
    simplify(model, image.name, shape=(batch or ANY_BATCH, *image.sides))
    return model, batch


def _copy(graph: GraphProto) -> GraphProto:
    """A copy of the graph as it is now, without its large weights."""
    copy = GraphProto()
    copy.node.extend(graph.node)
    copy.input.extend(graph.input)
    copy.output.extend(graph.output)
    for tensor in graph.initializer:
        if prod(tensor.dims) <= SMALL:
            copy.initializer.append(tensor)
    return copy


def whole_graph(backbone: Backbone) -> PreparedGraph:
    """The model as exported, but its only outputs are the tensors of the card's outputs, as float32.

    Raises BackboneError as prepare_graph does.
    """
    with damage_reported(backbone.path):
        return _keep_whole(backbone)


def _keep_whole(backbone: Backbone) -> PreparedGraph:
    card = backbone.card
    model = load_model(backbone.path)
    batch = _check_input(model.graph, backbone)
    if not {output.tensor for output in card.all_outputs} <= _tensors_in(model.graph):
        model, batch = _load_simplified(backbone)  # a tensor inside a branch
    graph = model.graph
    _check_outputs(graph, backbone)
    view = View(_copy(graph), {}, card.input.name)
    if len(image_inputs(graph)) > 1:
        _prune(graph, [output.tensor for output in card.all_outputs])
        assign(graph.input, [value for value in graph.input if value.name == card.input.name])
    if card.input.dtype not in NUMPY_TYPES:
        _take_floats(graph, card.input)
    ends = []
    for place, output in enumerate(card.all_outputs):
        steps = Steps(graph, f"featx_whole_{place}")
        ends.append(ValueInfoProto(name=steps.add("Identity", [as_float(steps, view, output.tensor)])))
    assign(graph.output, ends)
    return PreparedGraph(_serialise(model, backbone), backbone.path.parent, batch, freed=False)


def _take_floats(graph: GraphProto, image: ImageInput) -> None:
    """Let the graph take float32 in place of a type that numpy lacks."""
    name = f"{RESERVED}floats"
    cast = helper.make_node("Cast", [name], [image.name], to=ELEMENT_TYPES[image.dtype])
    assign(graph.node, [cast, *graph.node])
    assign(graph.input, [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)])


def _infer(model: ModelProto, backbone: Backbone, batch: int | None) -> Mapping[str, ValueInfoProto]:
    """Tensor -> its type and shape at the size of the card."""
    image = backbone.card.input
    return view_model(model, image.name, shape=(batch or ANY_BATCH, *image.sides)).values


def channel_axes(backbone: Backbone) -> list[int]:
    """For each output of the card, the index of the channel axis of its tensor. Raises BackboneError."""
    card = backbone.card
    with damage_reported(backbone.path):
        model, batch = _load_simplified(backbone)
        view = View(model.graph, _infer(model, backbone, batch), card.input.name)
        return [channel_axis(view, output.tensor) for output in card.all_outputs]


def _read_weights(model: ModelProto, backbone: Backbone) -> None:
    """Read the external weights into the model if they fit; else ONNX Runtime will read them from their files."""
    outside = external_bytes(model)
    if outside and outside + model.ByteSize() <= _EMBEDDED_BYTES:
        read_external(model, backbone.path)


def _serialise(model: ModelProto, backbone: Backbone) -> bytes:
    """The model as bytes, with its external weights if they fit."""
    _read_weights(model, backbone)
    try:
        return bytes(model.SerializeToString())
    except ValueError as error:
        raise BackboneError(
            f"{backbone.path}: too large for ONNX Runtime ({error}); export it with its weights as external data"
        ) from error


def _check_input(graph: GraphProto, backbone: Backbone) -> int | None:
    """The batch size that the model fixes, or None. Raises BackboneError if its input contradicts the card."""
    image = backbone.card.input
    inputs = {value.name: value for value in image_inputs(graph)}
    if image.name not in inputs:
        raise BackboneError(
            f"{backbone.path}: inputs are {sorted(inputs)} but the card says {image.name!r}; correct the card"
        )
    value = inputs[image.name]
    shape = shape_of(value)
    wanted = image.sides
    fits = shape is None or (
        len(shape) == 4 and all(side in (None, want) for side, want in zip(shape[1:], wanted, strict=True))
    )
    if not fits:
        raise BackboneError(
            f"{backbone.path}: input {image.name!r} has shape {list(shape or ())} but layout and size of the card "
            f"require {[None, *wanted]}; correct the card"
        )
    expected = ELEMENT_TYPES[image.dtype]
    if value.type.tensor_type.elem_type != expected:
        has = TensorProto.DataType.Name(value.type.tensor_type.elem_type)
        raise BackboneError(
            f"{backbone.path}: input {image.name!r} is {has} but the card says {image.dtype}; correct the card"
        )
    return shape[0] if shape else None


def _tensors_in(graph: GraphProto) -> set[str]:
    """The tensors that nodes outside branches compute."""
    return {name for node in graph.node for name in node.output}


def _check_outputs(graph: GraphProto, backbone: Backbone) -> None:
    tensors = _tensors_in(graph)
    for output in backbone.card.all_outputs:
        if output.tensor not in tensors:
            raise BackboneError(f"{backbone.path}: {_unknown_tensor(graph, output.tensor)}; correct its card")


def _unknown_tensor(graph: GraphProto, name: str) -> str:
    """A message that the graph has no such tensor, with similar names and the outputs of the graph."""
    tensors = [output for node in graph.node for output in node.output if output]
    outputs = ", ".join(value.name for value in graph.output)
    return f"no tensor {name!r}{did_you_mean(name, tensors)}; its outputs are {outputs}"


def _check_needed(graph: GraphProto, others: set[str], backbone: Backbone) -> None:
    """Refuse outputs that depend on an input which featx cannot provide."""
    if needed := others & {name for node in graph.node for name in (*node.input, *captured(node))}:
        raise BackboneError(
            f"{backbone.path}: inputs {sorted(needed)} are needed for {backbone.card.feature!r}, besides the image "
            f"input {backbone.card.input.name!r}; choose an output that depends on the image alone"
        )


def _prune(graph: GraphProto, tensors: Sequence[str]) -> None:
    """Keep only the nodes and weights from which the tensors are computed."""
    needed = set(tensors)
    kept = list[NodeProto]()
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input) | captured(node)
    assign(graph.node, kept[::-1])
    # in place, because weights are large, and at once, because each deletion moves all that follow
    graph.initializer.sort(key=lambda tensor: tensor.name not in needed)
    unused = sum(tensor.name not in needed for tensor in graph.initializer)
    del graph.initializer[len(graph.initializer) - unused :]


def smallest_model() -> bytes:
    """A serialised model of one node, to find out without a backbone which provider a session gets."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "smallest", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    return bytes(model.SerializeToString())
