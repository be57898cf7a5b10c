"""Gives the part of a backbone behind one of its tensors as plain values, for a library that trains it."""

from collections.abc import Mapping, Sequence
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto

from featx.backbones.cuts import find_cut
from featx.backbones.graph.model import damage_reported, load_model
from featx.backbones.graph.replacing import find_stored, readers_outside, replace_stored
from featx.backbones.graph.shapes import ANY_BATCH, view_model
from featx.backbones.graph.surgery import feature_model
from featx.backbones.graph.tail import Tail, end_of, learned, plain_node, read_constants, sides_by_batch
from featx.backbones.graph.vectors import add_outputs
from featx.backbones.graph.view import View, image_inputs, opset, shape_of
from featx.backbones.session.opening import prepare_runnable
from featx.backbones.store import Backbone
from featx.errors import BackboneError


def read_tail(backbone: Backbone, tensor: str) -> Tail:
    """The nodes and weights between this tensor and the backbone's feature, which takes its pooling with it.

    The tensor may be the model's own input. Raises BackboneError if not all that leads to the feature passes it, if
    the graph chooses what it computes at run time, or if it is right for one size of the batch only.
    """
    cut = find_cut(backbone, tensor)
    _check_batch(backbone)
    source = f"{backbone.path} from {tensor!r}"
    with damage_reported(backbone.path):
        model, end, view = _whole(backbone)
        nodes, asked, crossing = end_of(view, tensor=tensor, end=end)
        if crossing:
            raise BackboneError(
                f"{source}: {crossing[0]!r} is needed for the feature, too; `featx inspect` lists where it can be cut"
            )
        shapes = _shapes_before(model, backbone, asked, source=source) if asked else {}
        constants = read_constants(view, nodes)
        weights = tuple(name for name in learned(nodes, constants) if name in view.weights)
        _check_writable(backbone, weights, nodes, tensor=tensor, source=source)
        plain = tuple(plain_node(node, source=source) for node in nodes if node.output[0] not in constants)
        return Tail(source, tensor, cut.shape, end, opset(model), plain, constants, weights, shapes)


def _whole(backbone: Backbone) -> tuple[ModelProto, str, View]:
    """The model from its input to the pooled feature, for any batch; the name of the feature; and a view of it."""
    alone = backbone.with_outputs(backbone.card.all_outputs[:1])
    model = feature_model(alone)
    image = backbone.card.input
    view = view_model(model, image.name, shape=(ANY_BATCH, *image.sides))
    add_outputs(model.graph, view, alone.card, version=opset(model))
    return model, model.graph.output[0].name, View(model.graph, view.values, image.name)


def _shapes_before(
    model: ModelProto, backbone: Backbone, names: list[str], *, source: str
) -> dict[str, tuple[tuple[int, int], ...]]:
    """How the shapes of these tensors follow from the size of the batch. Raises BackboneError if that is not known."""
    image = backbone.card.input
    batches = (ANY_BATCH, ANY_BATCH + 1)
    one, other = (view_model(model, image.name, shape=(batch, *image.sides)) for batch in batches)
    found = {}
    for name in names:
        try:
            found[name] = sides_by_batch(one.shape(name), other.shape(name), batches=batches)
        except ValueError as error:
            raise BackboneError(
                f"{source}: it asks for the shape of the earlier tensor {name!r}, but {error}; cut it at another tensor"
            ) from error
    return found


def _check_batch(backbone: Backbone) -> None:
    """Refuse a backbone whose feature is right for one size of the batch only."""
    value = next(one for one in image_inputs(load_model(backbone.path).graph) if one.name == backbone.card.input.name)
    shape = shape_of(value)
    fixed = bool(shape) and shape is not None and shape[0] is not None
    if backbone.card.batch or (fixed and not prepare_runnable(backbone).freed):
        raise BackboneError(
            f"{backbone.path}: it computes {backbone.card.batch or (shape or (1,))[0]} images at a time, and others "
            "would change its features; export it for any number of images"
        )


def replace_weights(backbone: Backbone, tail: Tail, values: Mapping[str, NDArray[Any]]) -> ModelProto:
    """The model of the backbone as its file has it, in which these weights of the tail have these values.

    A weight that the frozen part reads, too, stays as it is there: the tail then reads a copy of another name. External
    weights that are not replaced stay in their files. Raises BackboneError if the file is no longer what it was.
    """
    with damage_reported(backbone.path):
        model = _original(backbone)
        replace_stored(model, values, inside={name for node in tail.nodes for name in node.outputs if name})
        return model


def _original(backbone: Backbone) -> ModelProto:
    """The model exactly as it is in its file."""
    return onnx.load(str(backbone.path), format="protobuf", load_external_data=False)


def _check_writable(
    backbone: Backbone, weights: Sequence[str], nodes: Sequence[NodeProto], *, tensor: str, source: str
) -> None:
    """Refuse weights that could not be written back to where they are in the file."""
    model = _original(backbone)
    stored = find_stored(model)
    halves = {TensorProto.FLOAT16, TensorProto.BFLOAT16}
    for name in weights:
        places = stored.get(name, [])
        if len(places) != 1:
            raise BackboneError(
                f"{source}: weight {name!r} is not by this name in the file, but inside a function or several branches "
                "of it; export the model without them"
            )
        if places[0].tensor.data_type in halves:
            raise BackboneError(
                f"{source}: weight {name!r} is of float16, in which training cannot be written back exactly; tune the "
                "model in float32"
            )
    _check_shared(model, weights, nodes, tensor=tensor, source=source)


def _check_shared(
    model: ModelProto, weights: Sequence[str], nodes: Sequence[NodeProto], *, tensor: str, source: str
) -> None:
    """Refuse tensors that are computed from weights alone and read by other parts of the network as well."""
    inside = {name for node in nodes for name in node.output if name}
    made, later = set(weights), {tensor}
    for node in nodes:
        if later & set(node.input):
            later.update(node.output)
        elif made & set(node.input):
            made.update(node.output)
    for name in sorted(made - set(weights) - {""}):
        if others := readers_outside(model, name, inside=inside):
            raise BackboneError(
                f"{source}: {name!r} is computed from a weight that the tail trains, and node {others[0].name!r} "
                "before or behind the tail reads it, too; cut the network at another tensor"
            )
