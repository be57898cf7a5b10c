"""The graph of a backbone as a part of another model: its weights are inside, and it returns vectors of float32."""

from dataclasses import dataclass

from onnx import ModelProto
from onnx.external_data_helper import uses_external_data

from featx.backbones.graph.external import tensors_in
from featx.backbones.graph.surgery import prepare_graph
from featx.backbones.session.opening import prepare_runnable
from featx.backbones.store import Backbone
from featx.errors import BackboneError


@dataclass(frozen=True)
class DeployableGraph:
    """A backbone from its input to a vector for each output of its card."""

    model: ModelProto
    """It has one input, and one output (batch, dim) of float32 for each output of the card, in their order."""
    batch: int | None
    """The number of images that it must be given at once; None if that is free."""


def deployable_graph(backbone: Backbone, *, from_pixels: bool = True) -> DeployableGraph:
    """The graph that a session of this backbone runs, as a model of its own.

    It takes uint8 pixels (batch, size, size, 3), or without `from_pixels` what the backbone's model takes. Nodes and
    weights behind the card's outputs are left out. Raises BackboneError as `open_session` does, and if the model is too
    large for one file.
    """
    prepared = prepare_runnable(backbone)
    fixed = None if prepared.freed else prepared.batch
    if fixed is not None and backbone.card.batch not in (0, fixed):
        raise BackboneError(
            f"{backbone.path}: takes {fixed} images at a time, but features depend on the others of a batch, so that "
            f"{backbone.card.batch} must be run at a time; export it for a batch of {backbone.card.batch}"
        )
    if not from_pixels:
        prepared = prepare_graph(backbone, keep_batch=fixed is not None, from_pixels=False)
    model = ModelProto.FromString(prepared.model)
    if any(map(uses_external_data, tensors_in(model.graph))):
        raise BackboneError(f"{backbone.path}: too large for one file with a head; use a smaller model")
    batch = fixed or backbone.card.batch or None
    if batch is not None:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch
    return DeployableGraph(model, batch)
