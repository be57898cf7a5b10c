"""Turns every output of a card into a float32 vector for each image: dequantised, pooled and flattened."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import GraphProto, TensorProto, helper, numpy_helper

from featx.backbones.card import GEM_POWER, Card, Output
from featx.backbones.graph.layers import SAME_NUMBERS, channel_axis, pooled_ranks
from featx.backbones.graph.model import REDUCE_AXES_ARE_INPUTS
from featx.backbones.graph.view import View, assign
from featx.errors import BackboneError

_KEEPS_INTEGERS = SAME_NUMBERS - {"Cast", "QuantizeLinear", "DynamicQuantizeLinear"}
_QUANTISED = {TensorProto.UINT8, TensorProto.INT8}


def add_outputs(graph: GraphProto, view: View, card: Card, *, version: int) -> None:
    """Turn every output of the card into a float32 vector; these vectors become the outputs of the graph."""
    ends = []
    for place, output in enumerate(card.all_outputs):
        steps = Steps(graph, f"featx_output_{place}")
        end = _pooled(steps, view, output, as_float(steps, view, output.tensor), version=version)
        final = steps.add("Flatten", [end], axis=1)
        ends.append(helper.make_tensor_value_info(final, TensorProto.FLOAT, ["batch", output.dim or None]))
    assign(graph.output, ends)


@dataclass
class Steps:
    """Appends nodes and constants to a graph."""

    graph: GraphProto
    prefix: str
    count: int = 0

    def add(self, operator: str, inputs: Sequence[str], **settings: Any) -> str:
        """Append a node; returns the name of its output."""
        self.count += 1
        name = f"{self.prefix}_{self.count}"
        self.graph.node.append(helper.make_node(operator, inputs, [name], **settings))
        return name

    def store(self, values: Any) -> str:
        """Store a constant; returns its name."""
        self.count += 1
        name = f"{self.prefix}_{self.count}"
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
        return name


def as_float(steps: Steps, view: View, tensor: str) -> str:
    """The tensor as float32, dequantised by its scale and zero point if it is quantised."""
    if view.elem_type(tensor) == TensorProto.FLOAT:
        return tensor
    if view.elem_type(tensor) in _QUANTISED | {0} and (found := _quantisation(view, tensor)):
        _restore_weights(steps.graph, view, found)
        return steps.add("DequantizeLinear", [tensor, *found])
    return steps.add("Cast", [tensor], to=TensorProto.FLOAT)


def _quantisation(view: View, tensor: str) -> list[str]:
    """Names of the scale and zero point with which the next layer reads the tensor; empty if it is not quantised."""
    waiting = [tensor]
    seen = set(waiting)
    while waiting:
        read = waiting.pop()
        for node in view.consumers.get(read, ()):
            if node.op_type == "DequantizeLinear" or (node.op_type[:1] == "Q" and node.op_type != "QuantizeLinear"):
                place = list(node.input).index(read)
                return [name for name in node.input[place + 1 : place + 3] if name]
            if node.op_type in _KEEPS_INTEGERS and node.output[0] not in seen:
                seen.add(node.output[0])
                waiting.append(node.output[0])
    return []


def _restore_weights(graph: GraphProto, view: View, names: Sequence[str]) -> None:
    """Store weights again that the cut removed."""
    stored = {tensor.name for tensor in graph.initializer}
    for name in names:
        if name not in stored:
            graph.initializer.append(view.weights[name])
            graph.initializer[-1].name = name


def _pooled(steps: Steps, view: View, output: Output, tensor: str, *, version: int) -> str:
    """The tensor, pooled to one vector per image if the output has a pooling."""
    if not output.pool:
        return tensor
    rank = view.rank(output.tensor)
    if rank is None or rank not in pooled_ranks(output.pool):
        raise BackboneError(
            f"output {output.name!r} of model {steps.graph.name!r} has {rank} axes and cannot be pooled; "
            "leave out the pooling, or choose a map or tokens"
        )
    if output.pool == "cls":
        return steps.add("Gather", [tensor, steps.store(np.int64(0))], axis=1)
    channels = channel_axis(view, output.tensor)
    places = [place for place in range(1, rank) if place != channels]
    if output.pool == "gem":
        raised = steps.add("Pow", [steps.add("Relu", [tensor]), steps.store(np.float32(GEM_POWER))])
        mean = _reduce(steps, "ReduceMean", tensor=raised, axes=places, version=version)
        return steps.add("Pow", [mean, steps.store(np.float32(1 / GEM_POWER))])
    operator = {"mean": "ReduceMean", "max": "ReduceMax"}[output.pool]
    return _reduce(steps, operator, tensor=tensor, axes=places, version=version)


def _reduce(steps: Steps, operator: str, *, tensor: str, axes: list[int], version: int) -> str:
    if version < REDUCE_AXES_ARE_INPUTS:
        return steps.add(operator, [tensor], axes=axes, keepdims=0)
    return steps.add(operator, [tensor, steps.store(np.array(axes, np.int64))], keepdims=0)
