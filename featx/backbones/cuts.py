"""Cuts a backbone into a frozen part and a tail: lists where, and gives the backbone whose output is the map there."""

from featx.backbones.card import Output
from featx.backbones.graph.bottlenecks import nodes_to
from featx.backbones.graph.cutting import Cut, all_cuts, crossing, sensible_cuts
from featx.backbones.graph.finding import view_of
from featx.backbones.graph.model import damage_reported
from featx.backbones.graph.view import View
from featx.backbones.reading import check_card
from featx.backbones.store import Backbone
from featx.errors import BackboneError, did_you_mean


def list_cuts(backbone: Backbone) -> tuple[Cut, ...]:
    """The tensors at which the backbone can sensibly be cut, in order: the image, the end of each block, the feature.

    Every path from the image to the feature passes each of them. Raises BackboneError if the model is damaged.

    >>> import featx
    >>> cuts = featx.list_cuts(featx.load_backbone("efficientnet-lite0"))
    >>> [(cut.name, cut.shape, cut.parameters) for cut in cuts[:1] + cuts[-1:]]
    [('image', (3, 224, 224), 3350000), ('features', (1280,), 0)]
    """
    with damage_reported(backbone.path):
        return sensible_cuts(_view(backbone), _feature(backbone))


def find_cut(backbone: Backbone, tensor: str) -> Cut:
    """The cut at this tensor, which need not be one that list_cuts names.

    Raises BackboneError if there is no such tensor, if it does not lead to the feature, or if other tensors cross
    there, which it names.

    >>> import featx
    >>> backbone = featx.load_backbone("efficientnet-lite0")
    >>> cut = featx.find_cut(backbone, "/_blocks.13/Add_output_0")
    >>> cut.shape, cut.parameters, cut.map_bytes
    ((192, 7, 7), 1487360, 18816)
    """
    with damage_reported(backbone.path):
        view = _view(backbone)
        found = {cut.name: cut for cut in all_cuts(view, _feature(backbone))}
        if tensor in found:
            return found[tensor]
        raise BackboneError(f"{backbone.name}: cannot be cut at {tensor!r}: {_why_not(view, backbone, tensor)}")


def map_backbone(backbone: Backbone, tensor: str) -> Backbone:
    """The backbone whose only output is this tensor, whole and flattened, so that a cache of it holds maps.

    `find_cut` says the shape of a map. Raises BackboneError as find_cut does, and for the image itself, before which
    nothing is computed.

    >>> import featx
    >>> backbone = featx.load_backbone("efficientnet-lite0")
    >>> maps = featx.map_backbone(backbone, "/_blocks.13/Add_output_0")
    >>> [(output.name, output.dim, output.pool) for output in maps.card.all_outputs]
    [('/_blocks.13/Add_output_0', 9408, '')]
    """
    cut = find_cut(backbone, tensor)
    if tensor == backbone.card.input.name:
        raise BackboneError(f"{backbone.name}: {tensor!r} is the image, and has no maps; name a later tensor")
    maps = backbone.with_outputs([Output(name=tensor, dim=cut.dim)])
    check_card(maps.card, source=f"{backbone.path} cut at {tensor!r}", step="cut it at another tensor")
    return maps


def _view(backbone: Backbone) -> View:
    return view_of(backbone.path, size=backbone.card.input.pixels.size)


def _feature(backbone: Backbone) -> str:
    return backbone.card.all_outputs[0].tensor


def _why_not(view: View, backbone: Backbone, tensor: str) -> str:
    """Why the backbone cannot be cut at this tensor, and what to do."""
    feature = _feature(backbone)
    cuts = [cut.name for cut in sensible_cuts(view, feature)]
    step = f"`featx inspect {backbone.path}` lists where it can"
    if tensor not in view.producers:
        return f"it has no such tensor{did_you_mean(tensor, dict.fromkeys([*cuts, *view.producers]))}; {step}"
    if tensor not in view.image_dependent:
        return f"it does not depend on the image; {step}"
    if not _leads(view, tensor, feature):
        return f"the feature {feature!r} is not computed from it; {step}"
    others = crossing(view, feature, beside=tensor)
    if others:
        count = "two tensors cross" if len(others) == 1 else f"{len(others) + 1} tensors cross"
        return f"{count} there, it and {' and '.join(map(repr, others[:2]))}{did_you_mean(tensor, cuts)}; {step}"
    return f"its shape for one image is not known, or it holds no floats; {step}"


def _leads(view: View, tensor: str, feature: str) -> bool:
    """Whether the feature is computed from the tensor."""
    readers = [node for node in nodes_to(view, feature) if node.op_type not in ("Shape", "Size")]
    return tensor == feature or any(tensor in view.data_inputs(node) for node in readers)
