"""Builds the nodes and constants of a head, for the operators of one opset."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from featx.backbones import REDUCE_AXES_ARE_INPUTS, RESERVED
from featx.errors import HeadError

LEAST_OPSET = 13
"""The oldest opset that heads are written for: its Softmax is that of one axis, its ReduceSum takes axes as input."""
NEWEST_OPSET = 21
"""The newest opset that ONNX Runtime 1.20 runs."""
SMALLEST_LENGTH = 10 * float(np.finfo(np.float32).eps)
"""A row that is shorter counts as a row of zeros, as in scikit-learn's `normalize`."""


class Nodes:
    """The nodes and constants of a head, in the order in which they are computed; numbers are float32.

    `part` tells their names from those of other parts of the same graph.
    """

    def __init__(self, *, opset: int = LEAST_OPSET, part: str = "head") -> None:
        self.opset = opset
        self._prefix = f"{RESERVED}{part}"
        self.nodes = list[NodeProto]()
        self.constants = list[TensorProto]()

    def add(self, operator: str, *inputs: str, into: str = "", **settings: Any) -> str:
        """Append a node; returns the name of its output, which is `into` if that is given."""
        name = f"{self._prefix}_{len(self.nodes)}"
        output = into or name
        # ONNX Runtime 1.20 refuses models in which it joins nodes without names
        self.nodes.append(helper.make_node(operator, inputs, [output], name=name, **settings))
        return output

    def add_pair(self, operator: str, *inputs: str, **settings: Any) -> tuple[str, str]:
        """Append a node that has two outputs; returns their names."""
        name = f"{self._prefix}_{len(self.nodes)}"
        names = (name, f"{name}_second")
        self.nodes.append(helper.make_node(operator, inputs, names, name=name, **settings))
        return names

    def numbers(self, values: Any, *, what: str = "a coefficient") -> str:
        """Store numbers as float32; returns their name. Raises HeadError if one of them is beyond its range."""
        with np.errstate(over="ignore"):
            stored = np.asarray(values).astype(np.float32)
        if not np.isfinite(stored).all():
            raise HeadError(f"{what} of the head is beyond the range of float32, so it cannot be deployed; train again")
        return self.store(stored)

    def integers(self, *values: int) -> str:
        """Store a list of whole numbers; returns its name."""
        return self.store(np.array(values, np.int64))

    def store(self, values: NDArray[Any]) -> str:
        """Store a constant as it is; returns its name."""
        self.constants.append(numpy_helper.from_array(values, f"{self._prefix}_constant_{len(self.constants)}"))
        return self.constants[-1].name

    def wide(self, rows: str) -> str:
        """The numbers in float64."""
        return self.add("Cast", rows, to=TensorProto.DOUBLE)

    def narrow(self, rows: str) -> str:
        """The numbers in float32."""
        return self.add("Cast", rows, to=TensorProto.FLOAT)

    def over_columns(self, operator: str, rows: str) -> str:
        """What ReduceSum, ReduceL2 and the like give over the columns of each row, as a column (n, 1)."""
        if operator == "ReduceSum" or self.opset >= REDUCE_AXES_ARE_INPUTS:
            return self.add(operator, rows, self.integers(1), keepdims=1)
        return self.add(operator, rows, axes=[1], keepdims=1)

    def columns(self, rows: str, start: int, stop: int) -> str:
        """These columns of the rows."""
        return self.add("Slice", rows, self.integers(start), self.integers(stop), self.integers(1))

    def joined(self, parts: Sequence[str]) -> str:
        """The columns of all parts side by side."""
        return self.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]

    def to_unit_length(self, rows: str) -> str:
        """The rows, scaled to length 1; rows of zeros stay."""
        length = self.over_columns("ReduceL2", rows)
        short = self.add("Less", length, self.numbers(SMALLEST_LENGTH))
        return self.add("Div", rows, self.add("Where", short, self.numbers(1.0), length))

    def linear(self, rows: str, weights: NDArray[Any], constants: NDArray[Any]) -> str:
        """The rows (n, d) times the weights (d, k), plus the constants (k,)."""
        product = self.add("MatMul", rows, self.numbers(weights))
        return self.add("Add", product, self.numbers(constants, what="an intercept"))
