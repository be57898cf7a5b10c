"""Gives the part of a backbone behind one of its tensors as plain values, for a library that trains it."""

from onnx import ModelProto

from featx.backbones.cuts import find_cut
from featx.backbones.graph.model import damage_reported, load_model
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
        plain = tuple(plain_node(node, source=source) for node in nodes if node.output[0] not in constants)
        weights = learned(nodes, constants)
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
