"""Class scores as what a user reads: probabilities, and the label or the labels."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from onnx import TensorProto, ValueInfoProto, helper

from featx.deploy.graph.nodes import Nodes
from featx.measures import THRESHOLD

OutputKind: TypeAlias = tuple[int, tuple[int, ...]]
"""The type of an output as a number of TensorProto, and its sides after the number of images."""

LABEL = "label"
LABELS = "labels"
PROBABILITIES = "probabilities"


def add_ending(
    nodes: Nodes, scores: str, classes: Sequence[str], *, temperature: float, multilabel: bool
) -> dict[str, OutputKind]:
    """Add the outputs of a graph; returns the name of each and what it is.

    They are `probabilities`, and `label`: the name of the most probable class of each image. If an image can have
    several labels, it is `labels` instead: whether the probability of each class is above 0.5.
    """
    divided = nodes.add("Div", scores, nodes.numbers(temperature, what="the temperature"))
    found: dict[str, OutputKind] = {PROBABILITIES: (TensorProto.FLOAT, (len(classes),))}
    if multilabel:
        probabilities = nodes.add("Sigmoid", divided, into=PROBABILITIES)
        nodes.add("Greater", probabilities, nodes.numbers(THRESHOLD), into=LABELS)
        return {LABELS: (TensorProto.BOOL, (len(classes),))} | found
    nodes.add("Softmax", divided, into=PROBABILITIES, axis=1)
    names = nodes.store(np.array([name.encode() for name in classes], object))
    nodes.add("Gather", names, nodes.add("ArgMax", scores, axis=1, keepdims=0), into=LABEL, axis=0)
    return {LABEL: (TensorProto.STRING, ())} | found


def describe_outputs(outputs: dict[str, OutputKind], batch: int | str) -> list[ValueInfoProto]:
    """The outputs as a graph lists them, for this number of images."""
    return [helper.make_tensor_value_info(name, kind, [batch, *sides]) for name, (kind, sides) in outputs.items()]
