"""Finds the input of a model that takes the image, with its layout, size and type."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from onnx import ModelProto, TensorProto

from featx.backbones.graph.front import ELEMENT_TYPES
from featx.backbones.graph.shapes import view_model
from featx.backbones.graph.view import Shape, View, attributes, image_inputs, shape_of
from featx.backbones.model_inputs import InputType, Layout
from featx.errors import BackboneError

_COLOUR_CHANNELS = 3
_CHANNEL_COUNTS = (1, _COLOUR_CHANNELS, 4)
_IMAGE_TYPES: dict[int, InputType] = {number: name for name, number in ELEMENT_TYPES.items()}
_USUAL = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8}
"""Types of the image in most models; inputs of other types may be something else."""


@dataclass(frozen=True)
class ModelInput:
    """The input tensor that takes the image."""

    name: str
    shape: Shape
    """(batch, channels, height, width) or (batch, height, width, channels); None for a free side."""
    layout: Layout
    """NCHW or NHWC."""
    dtype: InputType

    @property
    def size(self) -> tuple[int | None, int | None]:
        """Height and width; None if free."""
        sides = self.shape[2:] if self.layout == "NCHW" else self.shape[1:3]
        return sides[0], sides[1]

    @property
    def channels(self) -> int | None:
        """Number of channels; None if free."""
        return self.shape[1] if self.layout == "NCHW" else self.shape[3]


def with_size(found: ModelInput, size: int | None) -> ModelInput:
    """The input with its free height and width set to `size`."""
    places = (2, 3) if found.layout == "NCHW" else (1, 2)
    sides = [size if place in places and side is None else side for place, side in enumerate(found.shape)]
    return replace(found, shape=tuple(sides))


def find_image(path: Path, model: ModelProto) -> ModelInput:
    """The input that takes the image. Raises BackboneError unless exactly one looks like an image."""
    inputs = image_inputs(model.graph)
    shapes = {value.name: (shape_of(value), value.type.tensor_type.elem_type) for value in inputs}
    matching = [name for name, (shape, dtype) in shapes.items() if _looks_like_image(shape, dtype)]
    matching = [name for name in matching if shapes[name][1] in _USUAL] or matching
    listed = ", ".join(f"{name!r} {list(shape) if shape else 'of unknown rank'}" for name, (shape, _) in shapes.items())
    if not matching:
        raise BackboneError(f"{path}: no input looks like an image (numbers, 4 axes): {listed}; {_next_step(shapes)}")
    if len(matching) > 1:
        # a mask with one channel has the axes of an image, too
        matching = [name for name in matching if _COLOUR_CHANNELS in (shapes[name][0] or ())[1::2]] or matching
    if len(matching) > 1:
        raise BackboneError(
            f"{path}: {len(matching)} inputs look like images: {listed}; featx provides one: export the model with one"
        )
    shape, dtype = shapes[matching[0]]
    assert shape is not None
    layout = _layout(model, matching[0], shape)
    if layout is None:
        raise BackboneError(
            f"{path}: input {listed} may be NCHW or NHWC; export the model with a fixed number of channels"
        )
    return ModelInput(matching[0], shape, layout, _IMAGE_TYPES[dtype])


def _next_step(shapes: Mapping[str, tuple[Shape | None, int]]) -> str:
    """What to do if no input of these shapes and element types looks like an image."""
    for name, (shape, dtype) in shapes.items():
        if dtype == TensorProto.STRING:
            return f"{name!r} takes texts or files, but featx decodes images itself: export what follows the decoder"
        if shape and len(shape) == 3 and any(side in _CHANNEL_COUNTS for side in shape):
            return f"{name!r} takes one image without a batch axis: export the model with one in front"
        if shape and len(shape) == 5:
            return f"{name!r} takes several images at once, as of a video: export the part that reads a single one"
        if shape and len(shape) == 4 and dtype not in _IMAGE_TYPES:
            return f"{name!r} is {TensorProto.DataType.Name(dtype)}: export the model for float32"
    return "export the model with one"


def _looks_like_image(shape: Shape | None, dtype: int) -> bool:
    return shape is not None and len(shape) == 4 and dtype in _IMAGE_TYPES and _may_be_channels(shape)


def _may_be_channels(shape: Shape) -> bool:
    return any(side is None or side in _CHANNEL_COUNTS for side in (shape[1], shape[3]))


def _layout(model: ModelProto, name: str, shape: Shape) -> Layout | None:
    """NCHW or NHWC, by the side that can be channels, else by the first convolution; None if neither decides."""
    first = shape[1] in _CHANNEL_COUNTS
    last = shape[3] in _CHANNEL_COUNTS
    if first != last:
        return "NCHW" if first else "NHWC"
    view = view_model(model, name, shape=shape)
    return _layout_by_conv(view)


def _layout_by_conv(view: View) -> Layout | None:
    """The layout that the first convolution requires, given the transposes before it; None if there is none."""
    by_channels: dict[int, Layout] = {1: "NCHW", 3: "NHWC"}
    order: dict[str, tuple[int, ...]] = {view.image: (0, 1, 2, 3)}
    for node in view.graph.node:
        data = next((name for name in node.input if name in order), None)
        if data is None:
            continue
        if node.op_type in ("Conv", "ConvInteger", "QLinearConv"):
            return by_channels.get(order[data][1])
        perm = attributes(node).get("perm") if node.op_type == "Transpose" else None
        for name in node.output:
            order[name] = tuple(order[data][place] for place in perm) if perm else order[data]
    return None
