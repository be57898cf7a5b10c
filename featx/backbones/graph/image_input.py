"""The input of a model that takes the image: its layout, size and type."""

from dataclasses import dataclass, replace
from pathlib import Path

from onnx import ModelProto, TensorProto

from featx.backbones.graph.model import (
    Shape,
    View,
    attributes,
    image_inputs,
    shape_of,
)
from featx.backbones.graph.shapes import view_model
from featx.errors import BackboneError

_COLOUR_CHANNELS = 3
_CHANNEL_COUNTS = (1, _COLOUR_CHANNELS, 4)
_IMAGE_TYPES: dict[int, str] = {
    TensorProto.FLOAT: "float32",
    TensorProto.FLOAT16: "float16",
    TensorProto.UINT8: "uint8",
}


@dataclass(frozen=True)
class ModelInput:
    """The tensor that takes the image."""

    name: str
    shape: Shape
    """(batch, channels, height, width) or (batch, height, width, channels); None for a side that is free."""
    layout: str
    dtype: str

    @property
    def size(self) -> tuple[int | None, int | None]:
        """Height and width, None where free."""
        sides = self.shape[2:] if self.layout == "NCHW" else self.shape[1:3]
        return sides[0], sides[1]

    @property
    def channels(self) -> int | None:
        """Channels of the image, None where free."""
        return self.shape[1] if self.layout == "NCHW" else self.shape[3]


def with_size(found: ModelInput, size: int | None) -> ModelInput:
    """The same input, its free height and width set."""
    places = (2, 3) if found.layout == "NCHW" else (1, 2)
    sides = [size if place in places and side is None else side for place, side in enumerate(found.shape)]
    return replace(found, shape=tuple(sides))


def find_image(path: Path, model: ModelProto) -> ModelInput:
    """The input that takes the image. Raises BackboneError where there is none, or more than one."""
    inputs = image_inputs(model.graph)
    shapes = {value.name: (shape_of(value), value.type.tensor_type.elem_type) for value in inputs}
    alike = [name for name, (shape, dtype) in shapes.items() if _like_image(shape, dtype)]
    told = ", ".join(f"{name!r} {list(shape) if shape else 'of unknown rank'}" for name, (shape, _) in shapes.items())
    if not alike:
        raise BackboneError(
            f"{path}: no input looks like an image (float or uint8, 4 axes): {told}; export one that does"
        )
    if len(alike) > 1:
        # a mask with one channel has the axes of an image, too
        alike = [name for name in alike if _COLOUR_CHANNELS in (shapes[name][0] or ())[1::2]] or alike
    if len(alike) > 1:
        raise BackboneError(
            f"{path}: {len(alike)} inputs look like images: {told}; featx gives one: export it with one"
        )
    shape, dtype = shapes[alike[0]]
    assert shape is not None
    layout = _layout(model, alike[0], shape)
    if layout is None:
        raise BackboneError(
            f"{path}: whether input {told} is NCHW or NHWC cannot be told; export it with its channels fixed"
        )
    return ModelInput(alike[0], shape, layout, _IMAGE_TYPES[dtype])


def _like_image(shape: Shape | None, dtype: int) -> bool:
    return shape is not None and len(shape) == 4 and dtype in _IMAGE_TYPES and _may_be_channels(shape)


def _may_be_channels(shape: Shape) -> bool:
    return any(side is None or side in _CHANNEL_COUNTS for side in (shape[1], shape[3]))


def _layout(model: ModelProto, name: str, shape: Shape) -> str | None:
    """NCHW or NHWC: by the side that can be channels, else by the first convolution."""
    first, last = shape[1] in _CHANNEL_COUNTS, shape[3] in _CHANNEL_COUNTS
    if first != last:
        return "NCHW" if first else "NHWC"
    view = view_model(model, name, shape=shape)
    return _layout_by_conv(view)


def _layout_by_conv(view: View) -> str | None:
    """The layout that the first convolution implies, through the transposes before it."""
    order: dict[str, tuple[int, ...]] = {view.image: (0, 1, 2, 3)}
    for node in view.graph.node:
        data = next((name for name in node.input if name in order), None)
        if data is None:
            continue
        if node.op_type in ("Conv", "ConvInteger", "QLinearConv"):
            return {1: "NCHW", 3: "NHWC"}.get(order[data][1])
        perm = attributes(node).get("perm") if node.op_type == "Transpose" else None
        for name in node.output:
            order[name] = tuple(order[data][place] for place in perm) if perm else order[data]
    return None
