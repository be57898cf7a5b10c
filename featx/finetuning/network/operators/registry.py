"""The table of operators, and what a function of it is given."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from featx.backbones import TailNode

Tensor = Any
"""A torch.Tensor: of floats, or of integers that describe shapes and stay on the CPU."""


@dataclass(frozen=True, slots=True)
class Call:
    """A node that is computed now: its inputs, its attributes, and the opset by which they are meant."""

    node: TailNode
    opset: int
    inputs: Sequence[Tensor | None]

    def __getitem__(self, place: int) -> Tensor:
        """The input at this place."""
        return self.inputs[place]

    def given(self, place: int) -> Tensor | None:
        """The input at this place; None if the node leaves it out."""
        return self.inputs[place] if place < len(self.inputs) else None

    def attribute(self, name: str, default: Any = None) -> Any:
        """The attribute of this name, or the default."""
        return self.node.attributes.get(name, default)

    def integers(self, name: str, place: int) -> list[int] | None:
        """Integers that are an attribute in older opsets, and the input at this place in later ones."""
        stored = self.given(place)
        if stored is not None:
            return [int(number) for number in stored.reshape(-1).tolist()]
        found = self.attribute(name)
        return None if found is None else list(found)


class UnsupportedError(Exception):
    """The node asks for a form of its operator that is not there; the message says which."""


Operator = Callable[[Call], Any]
OPERATORS: dict[str, Operator] = {}
"""Name of an operator -> the function that computes its output, or a tuple of its outputs."""


def operator(*names: str) -> Callable[[Operator], Operator]:
    """Enter the function below in the table under these names."""

    def _enter(function: Operator) -> Operator:
        for name in names:
            OPERATORS[name] = function
        return function

    return _enter
