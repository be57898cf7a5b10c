"""Computes small constants of a graph, such as a standard deviation that is stored as a variance."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto

from featx.backbones.graph.view import View, attributes

_MOST = 2**22
"""Largest number of elements of a constant that is computed."""
_DEEPEST = 16
"""Largest number of nodes after each other."""
_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Pow": np.power,
    "Max": np.maximum,
    "Min": np.minimum,
    "Sqrt": np.sqrt,
    "Reciprocal": np.reciprocal,
    "Neg": np.negative,
}
_SAME_VALUES = {"Identity", "Cast"}
_OTHER_SHAPE = {"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Expand"}


class Constants:
    """The constants of a graph: stored ones, and those that a few nodes compute from them."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._known: dict[str, NDArray[Any] | None] = {}

    def get(self, name: str, depth: int = 0) -> NDArray[Any] | None:
        """The values of a tensor; None if they are not constant, or too many."""
        if name not in self._known:
            self._known[name] = self._find(name, depth)
        return self._known[name]

    def _find(self, name: str, depth: int) -> NDArray[Any] | None:
        view = self._view
        if name in view.weights and np.prod(view.weights[name].dims, dtype=float) > _MOST:
            return None
        if (stored := view.constant(name)) is not None:
            return stored
        node = view.producers.get(name)
        return None if node is None or depth > _DEEPEST else self._compute(node, depth + 1)

    def _compute(self, node: NodeProto, depth: int) -> NDArray[Any] | None:
        operator = node.op_type
        if operator in _SAME_VALUES:
            return self.get(node.input[0], depth)
        if operator in _ARITHMETIC:
            return self._arithmetic(node, depth)
        if operator in _OTHER_SHAPE and (values := self.get(node.input[0], depth)) is not None:
            return self._reshaped(node, values, depth)
        return None

    def _arithmetic(self, node: NodeProto, depth: int) -> NDArray[Any] | None:
        given = [self.get(name, depth) for name in node.input]
        read = [one.astype(np.float64) for one in given if one is not None and one.dtype.kind in "fiu"]
        unary = node.op_type in ("Sqrt", "Reciprocal", "Neg")
        if len(read) < len(given) or len(read) != (1 if unary else 2):
            return None
        if np.prod(np.broadcast_shapes(*(one.shape for one in read)), dtype=float) > _MOST:
            return None
        return np.asarray(_ARITHMETIC[node.op_type](*read))

    def _reshaped(self, node: NodeProto, values: NDArray[Any], depth: int) -> NDArray[Any] | None:
        """The values in another shape, as the node says; only single numbers are expanded."""
        if values.size == 1:
            return values.reshape(())
        wanted = self.get(node.input[1], depth) if len(node.input) > 1 else None
        if node.op_type == "Reshape" and wanted is not None:
            return values.reshape([int(side) for side in wanted.ravel()])
        if node.op_type in ("Squeeze", "Unsqueeze"):
            axes = attributes(node).get("axes") if wanted is None else wanted.ravel()
            places = tuple(int(axis) for axis in (() if axes is None else axes))
            return values.squeeze(places or None) if node.op_type == "Squeeze" else np.expand_dims(values, places)
        return None
