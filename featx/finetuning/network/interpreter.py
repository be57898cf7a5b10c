"""A torch module that computes the nodes of a tail, one after another."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from featx.backbones import Tail, TailNode
from featx.errors import FineTuningError, one_line
from featx.finetuning.network.operators import OPERATORS
from featx.finetuning.network.operators.registry import Call, Operator, Tensor, UnsupportedError

_QUANTISED = re.compile(r"(\A|\.)(Q[A-Z]|Quantize|Dequantize|DynamicQuantize|ConvInteger|MatMulInteger)")
_ASKS_FOR_SHAPE = ("Shape", "Size")


@dataclass(frozen=True, slots=True)
class _Step:
    """A node, the function that computes it, and the tensors that no later step reads."""

    node: TailNode
    function: Operator
    last: tuple[str, ...]


class Network(torch.nn.Module):  # type: ignore[misc]
    """The tail of a backbone as a torch module: called with maps (n, *shape), it returns features (n, d).

    Its parameters are the weights of the tail; running statistics and other constants are buffers. Batch normalisation
    is computed as in evaluation, always.
    """

    def __init__(self, tail: Tail) -> None:
        super().__init__()
        self.tail = tail
        self.initializers: Mapping[str, str] = _parameter_names(tail.weights)
        self._parameter_of = {name: parameter for parameter, name in self.initializers.items()}
        self._buffer_of: dict[str, str] = {}
        self._integers: dict[str, Tensor] = {}
        for parameter, name in self.initializers.items():
            self.register_parameter(parameter, torch.nn.Parameter(_weight(tail.constants[name])))
        for name, values in tail.constants.items():
            if name not in self._parameter_of:
                self._keep(name, _stored(name, values, source=tail.source))
        self._steps = _with_last_uses(self._fold(_steps(tail)), keep=tail.feature)

    def forward(self, maps: Tensor) -> Tensor:
        """Features (n, d) of these maps (n, *shape)."""
        values: dict[str, Tensor] = {self.tail.tensor: _channels_last(maps), **self._integers}
        for name, parameter in self._parameter_of.items():
            values[name] = self._parameters[parameter]
        for name, buffer in self._buffer_of.items():
            values[name] = self._buffers[buffer]
        for step in self._steps:
            self._compute(step, values, maps=maps)
            for name in step.last:
                values.pop(name, None)
        return values[self.tail.feature]

    def _compute(self, step: _Step, values: dict[str, Tensor], *, maps: Tensor) -> None:
        node = step.node
        earlier = self.tail.shapes.get(node.inputs[0]) if node.operator in _ASKS_FOR_SHAPE else None
        if earlier is not None and node.inputs[0] not in values:
            inputs = [_of_shape(earlier, len(maps))]
        else:
            inputs = [self._value(values, name, node) if name else None for name in node.inputs]
        outcome = _call(step, Call(node, self.tail.opset, inputs), source=self.tail.source)
        if isinstance(outcome, tuple):
            values.update(zip(node.outputs, outcome, strict=False))
        else:
            of_shape = outcome.is_floating_point() and outcome.device != maps.device  # such as a scale of attention
            values[node.outputs[0]] = outcome.to(maps.device) if of_shape else outcome

    def _value(self, values: dict[str, Tensor], name: str, node: TailNode) -> Tensor:
        """The tensor of this name, which an earlier node computed."""
        if name in values:
            return values[name]
        raise FineTuningError(
            f"{self.tail.source}: node {node.name!r} reads {name!r}, which is a further output of a node and not known "
            "here; cut the network behind that node (--from)"
        )

    def _keep(self, name: str, values: Tensor) -> None:
        """Keep a constant: floats as a buffer, and integers, which describe shapes, on the CPU."""
        if not values.is_floating_point():
            self._integers[name] = values
            return
        self._buffer_of[name] = f"constant_{len(self._buffer_of)}"
        self.register_buffer(self._buffer_of[name], values.to(torch.float32), persistent=False)

    def _fold(self, steps: Sequence[_Step]) -> list[_Step]:
        """The steps without those that depend on neither maps nor weights, which are computed now."""
        kept = []
        with torch.no_grad():
            for step in steps:
                if not self._is_constant(step.node):
                    kept.append(step)
                    continue
                known = self._integers | {name: self._buffers[place] for name, place in self._buffer_of.items()}
                self._compute(step, known, maps=torch.empty(1))
                for name in step.node.outputs:
                    if name in known:
                        self._keep(name, known[name].clone())
        return kept

    def _is_constant(self, node: TailNode) -> bool:
        return all(name in self._integers or name in self._buffer_of for name in node.inputs if name)


def _steps(tail: Tail) -> list[_Step]:
    """The nodes with their functions. Raises FineTuningError, which names the node, if there is none."""
    return [_Step(node, _function(node, tail), ()) for node in tail.nodes]


def _function(node: TailNode, tail: Tail) -> Operator:
    found = OPERATORS.get(node.operator)
    if found is not None:
        return found
    where = f"{tail.source}: node {node.name!r} is a {node.operator}"
    if _QUANTISED.search(node.operator):
        raise FineTuningError(
            f"{where}, so the network computes in int8, which cannot be trained; tune its float model"
        )
    raise FineTuningError(
        f"{where}, of which no gradient is known here; cut it behind that node (--from), or export the network "
        f"without it; known are {', '.join(sorted(OPERATORS))}"
    )


def _call(step: _Step, call: Call, *, source: str) -> Any:
    """What the node computes; an error says which node failed."""
    try:
        return step.function(call)
    except UnsupportedError as error:
        problem = f"its {error} is not known here; cut the network behind that node (--from)"
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError, NotImplementedError) as error:
        problem = f"it cannot be computed ({one_line(error)}); cut the network behind that node (--from)"
    raise FineTuningError(f"{source}: node {step.node.name!r} is a {step.node.operator}, and {problem}")


def _with_last_uses(steps: Sequence[_Step], *, keep: str) -> list[_Step]:
    """The steps, each with the tensors that no later one reads, so that memory is freed where no gradient needs it."""
    found, seen = [], {keep}
    for step in reversed(steps):
        last = tuple(name for name in dict.fromkeys((*step.node.inputs, *step.node.outputs)) if name not in seen)
        seen.update(last)
        found.append(_Step(step.node, step.function, last))
    return found[::-1]


def _of_shape(sides: Sequence[tuple[int, int]], count: int) -> Tensor:
    """A tensor without numbers of the shape that an earlier tensor has for this number of images."""
    return torch.empty([fixed + factor * count for fixed, factor in sides], device="meta")


def _stored(name: str, values: Any, *, source: str) -> Tensor:
    """A constant of the file. Raises FineTuningError if torch has no such numbers."""
    try:
        return torch.as_tensor(values.copy())
    except TypeError as error:
        raise FineTuningError(
            f"{source}: {name!r} is of type {values.dtype}, which is not trained here; tune the model in float32"
        ) from error


def _weight(values: Any) -> Tensor:
    return _channels_last(torch.tensor(values, dtype=torch.float32))


def _channels_last(values: Tensor) -> Tensor:
    """The values in the layout of memory in which convolutions are a fifth faster on a CPU; others than maps stay."""
    return values.contiguous(memory_format=torch.channels_last) if values.ndim == 4 else values


def _parameter_names(weights: Sequence[str]) -> dict[str, str]:
    """Name of the parameter, as torch allows it -> name of the weight in the file."""
    return {f"weight_{place}_{re.sub('[^0-9A-Za-z]', '_', name)}": name for place, name in enumerate(weights)}
