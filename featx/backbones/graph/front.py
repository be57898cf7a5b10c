"""Puts the preprocessing of pixels in front of a model: layout, channel order and normalisation."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from featx.backbones.graph.view import assign
from featx.backbones.model_inputs import WHOLE_NUMBERS, ImageInput, InputType

ELEMENT_TYPES: dict[InputType, int] = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "uint8": TensorProto.UINT8,
    "float64": TensorProto.DOUBLE,
    "bfloat16": TensorProto.BFLOAT16,
    "int8": TensorProto.INT8,
    "int16": TensorProto.INT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "uint16": TensorProto.UINT16,
    "uint32": TensorProto.UINT32,
}
"""Type on the card -> its number in ONNX."""
PIXEL_INPUT = "featx_pixels"
"""Name of the input of a prepared graph: uint8 (batch, size, size, 3)."""


def add_pixel_input(graph: GraphProto, image: ImageInput, *, batch: int | None) -> None:
    """Replace the model's input by uint8 pixels, normalised in the graph exactly as numpy does it in float32."""
    front = _Front(image)
    name = PIXEL_INPUT
    for step in front.steps():
        name = step(name)
    front.nodes[-1].output[0] = image.name
    assign(graph.node, [*front.nodes, *graph.node])
    graph.initializer.extend(front.weights)
    size = image.pixels.size
    sides: list[int | str] = ["batch" if batch is None else batch, size, size, 3]
    assign(graph.input, [helper.make_tensor_value_info(PIXEL_INPUT, TensorProto.UINT8, sides)])


class _Front:
    """Builds the nodes between the pixels and the model's own input."""

    def __init__(self, image: ImageInput) -> None:
        self.image = image
        self.nodes = list[NodeProto]()
        self.weights = list[TensorProto]()

    def steps(self) -> Iterable[Callable[[str], str]]:
        """The steps in order; axes are moved first, while pixels are bytes: a quarter of the memory traffic."""
        pixels = self.image.pixels
        channels_first = self.image.layout == "NCHW"
        if channels_first:
            yield lambda name: self._add("Transpose", [name], perm=[0, 3, 1, 2])
        if pixels.channels != "RGB":
            order = np.array([0] if pixels.channels == "L" else [2, 1, 0], np.int64)
            axis = 1 if channels_first else 3
            yield lambda name: self._add("Gather", [name, self._store("order", order)], axis=axis)
        if self.image.dtype == "uint8":
            yield lambda name: self._add("Identity", [name])
            return
        offset = WHOLE_NUMBERS.get(self.image.dtype)
        if offset != 0:
            yield lambda name: self._add("Cast", [name], to=TensorProto.FLOAT)
            yield lambda name: self._add("Sub", [name, self._store("mean", self._row_of(pixels.mean))])
        if offset is None:
            yield lambda name: self._add("Div", [name, self._store("std", self._row_of(pixels.std))])
        if self.image.dtype != "float32":
            yield lambda name: self._add("Cast", [name], to=ELEMENT_TYPES[self.image.dtype])

    def _row_of(self, values: Sequence[float]) -> NDArray[np.float32]:
        """A value for each channel, repeated over one row of pixels.

        As a single pixel it would cost 20 times as much if ONNX Runtime moves the Transpose after it.
        """
        count = 1 if self.image.pixels.channels == "L" else 3
        size = self.image.pixels.size
        pixel = np.array(values[:count], np.float32)
        if self.image.layout == "NCHW":
            return np.broadcast_to(pixel.reshape(count, 1, 1), (count, 1, size))
        return np.broadcast_to(pixel, (size, count))

    def _add(self, operator: str, inputs: Sequence[str], **settings: Any) -> str:
        name = f"featx_front_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **settings))
        return name

    def _store(self, what: str, values: NDArray[Any]) -> str:
        self.weights.append(numpy_helper.from_array(values, f"featx_{what}"))
        return self.weights[-1].name
