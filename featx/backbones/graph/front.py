"""From pixels to the input of a model: what a prepared graph begins with."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from featx.backbones.card import Card
from featx.backbones.graph.model import assign

PIXEL_INPUT = "featx_pixels"
"""Name of the input of a prepared graph: uint8 (batch, size, size, 3)."""


def put_pixels_in(graph: GraphProto, card: Card, *, batch: int | None) -> None:
    """Replace the model's input by uint8 pixels and (pixel - mean) / std, in the arithmetic of numpy's float32."""
    front = _Front(card)
    name = PIXEL_INPUT
    for step in front.steps():
        name = step(name)
    front.nodes[-1].output[0] = card.input
    assign(graph.node, [*front.nodes, *graph.node])
    graph.initializer.extend(front.weights)
    sides: list[int | str] = ["batch" if batch is None else batch, card.size, card.size, 3]
    assign(graph.input, [helper.make_tensor_value_info(PIXEL_INPUT, TensorProto.UINT8, sides)])


class _Front:
    """The nodes between the pixels and the model's own input."""

    def __init__(self, card: Card) -> None:
        self.card, self.nodes, self.weights = card, list[NodeProto](), list[TensorProto]()

    def steps(self) -> Iterable[Callable[[str], str]]:
        """What has to be done, in order; channels are moved first, as bytes: a quarter of the memory traffic."""
        card, first = self.card, self.card.layout == "NCHW"
        if first:
            yield lambda name: self._add("Transpose", [name], perm=[0, 3, 1, 2])
        if card.channels != "RGB":
            order = np.array([0] if card.channels == "L" else [2, 1, 0], np.int64)
            yield lambda name: self._add("Gather", [name, self._store("order", order)], axis=1 if first else 3)
        if card.dtype == "uint8":
            yield lambda name: self._add("Identity", [name])
            return
        count = 1 if card.channels == "L" else 3
        one, row = ((count, 1, 1), (count, 1, card.size)) if first else ((1, count), (card.size, count))
        # A row of each: those of one pixel alone cost 20 times as much where ORT moves the Transpose behind them.
        mean, std = (
            np.broadcast_to(np.array(values[:count], np.float32).reshape(one), row) for values in (card.mean, card.std)
        )
        yield lambda name: self._add("Cast", [name], to=TensorProto.FLOAT)
        yield lambda name: self._add("Sub", [name, self._store("mean", mean)])
        yield lambda name: self._add("Div", [name, self._store("std", std)])
        if card.dtype == "float16":
            yield lambda name: self._add("Cast", [name], to=TensorProto.FLOAT16)

    def _add(self, operator: str, inputs: Sequence[str], **settings: Any) -> str:
        name = f"featx_front_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **settings))
        return name

    def _store(self, what: str, values: np.ndarray[Any, Any]) -> str:
        self.weights.append(numpy_helper.from_array(values, f"featx_{what}"))
        return self.weights[-1].name
