"""Finds the layers of a graph, and corrects their biases for the mean error of quantisation."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, ValueInfoProto, helper, numpy_helper

from featx.backbones import REDUCE_AXES_ARE_INPUTS, View, assign, opset, view_model
from featx.convert.quantize.ort_quantizer import LAYER_OPERATORS, run_model

_ACTIVATIONS = ("Relu", "Clip", "LeakyRelu", "Sigmoid")


@dataclass(frozen=True)
class Layer:
    """A node with weights."""

    place: int
    """Index among the nodes of the graph."""
    work: int
    """Number of multiplications for one image."""
    bias: str
    """Name of a stored tensor that is added to the channels, and used nowhere else; empty if there is none."""
    node: str
    """Name of the node whose output includes the bias."""
    axes: tuple[int, ...]
    """All axes of that node's output but the channels."""


def find_layers(model: ModelProto, sides: Sequence[int]) -> list[Layer]:
    """The layers in the order of the graph; `sides` is the shape of the input without the batch."""
    image = model.graph.input[0].name
    view = view_model(model, image, shape=(1, *sides))
    nodes = enumerate(model.graph.node)
    return [
        _layer(view, node, place)
        for place, node in nodes
        if node.op_type in LAYER_OPERATORS and node.input[1] in view.weights
    ]


def _layer(view: View, node: NodeProto, place: int) -> Layer:
    weights = view.weights[node.input[1]].dims
    shape = view.shape(node.output[0]) or ()
    convolution = node.op_type == "Conv"
    places = [side or 1 for side in (shape[2:] if convolution else shape[:-1])]
    adding, bias = _bias(view, node)
    channels = 1 if convolution else len(shape) - 1
    axes = tuple(axis for axis in range(len(shape)) if axis != channels)
    fits = (
        shape
        and bias in view.weights
        and view.weights[bias].dims == [shape[channels]]
        and len(view.consumers[bias]) == 1
    )
    return Layer(place, prod(places) * prod(weights), bias if fits else "", adding.name, axes)


def _bias(view: View, node: NodeProto) -> tuple[NodeProto, str]:
    """The node that adds a bias, and the name of the bias; empty if there is none."""
    if node.op_type != "MatMul":
        return node, (node.input[2] if len(node.input) > 2 else "")
    consumers = view.consumers.get(node.output[0], [])
    if len(consumers) != 1 or consumers[0].op_type != "Add":
        return node, ""
    return consumers[0], next((name for name in consumers[0].input if name != node.output[0]), "")


def float_nodes(model: ModelProto, layers: Sequence[Layer], *, first: int) -> list[str]:
    """Names of the nodes that stay in float32.

    These are the nodes before the layer with index `first`, those after the last layer except its activation, and
    those that compute shapes, which a rounding error would change.
    """
    nodes = model.graph.node
    last = layers[-1].place
    image_dependent = View(model.graph, {}, model.graph.input[0].name).image_dependent
    stop = layers[first].place if first else 0
    end = {node.name for node in nodes if node.op_type in _ACTIVATIONS and node.input[0] in nodes[last].output}
    after = [node for node in nodes[last + 1 :] if node.name not in end]
    shapes = [node for node in nodes if not image_dependent & set(node.output)]
    return [node.name for node in (*nodes[:stop], *after, *shapes)]


def correct_biases(
    model: ModelProto, quantised: ModelProto, layers: Sequence[Layer], images: NDArray[np.float32]
) -> ModelProto:
    """The float model with biases that give its quantised form the right mean in every channel of each layer.

    Each layer is corrected after those before it, but in a single pass: the graph itself subtracts each mean error
    where it arises (empirical bias correction, Nagel et al. 2019, section 4.2).
    """
    corrected = [layer for layer in layers if layer.bias]
    if not corrected:
        return model
    wanted = run_model(_with_means(model, corrected), images)
    errors = run_model(_with_errors(quantised, corrected, wanted), images)
    copy = _copy(model)
    biases = {tensor.name: tensor for tensor in copy.graph.initializer}
    for layer, error in zip(corrected, errors, strict=True):
        values = numpy_helper.to_array(biases[layer.bias]) + error.ravel()
        biases[layer.bias].CopyFrom(numpy_helper.from_array(values.astype(np.float32), layer.bias))
    return copy


def _copy(model: ModelProto) -> ModelProto:
    copy = ModelProto()
    copy.CopyFrom(model)
    return copy


def _with_means(model: ModelProto, layers: Sequence[Layer]) -> ModelProto:
    """A copy of the model whose outputs are the means of the layers' channels."""
    copy = _copy(model)
    outputs = {node.name: node.output[0] for node in copy.graph.node}
    means = [_mean(copy, outputs[layer.node], axes=layer.axes, name=f"mean_{layer.node}") for layer in layers]
    copy.graph.node.extend(means)
    assign(copy.graph.output, [ValueInfoProto(name=mean.output[0]) for mean in means])
    return copy


def _with_errors(model: ModelProto, layers: Sequence[Layer], wanted: Sequence[NDArray[np.float32]]) -> ModelProto:
    """A copy of the model that corrects the layers' channels to these means, and returns what it added to each."""
    copy = _copy(model)
    by_name = {layer.node: (layer, mean) for layer, mean in zip(layers, wanted, strict=True)}
    nodes = list[NodeProto]()
    for node in copy.graph.node:
        nodes.append(node)
        if node.name in by_name:
            layer, mean = by_name[node.name]
            raw = f"raw_{node.name}"
            right = f"right_{node.name}"
            error = f"error_{node.name}"
            got = f"got_{node.name}"
            copy.graph.initializer.append(numpy_helper.from_array(mean, right))
            corrected = node.output[0]
            node.output[0] = raw
            nodes += [
                _mean(copy, raw, axes=layer.axes, name=got),
                helper.make_node("Sub", [right, got], [error]),
                helper.make_node("Add", [raw, error], [corrected]),
            ]
    assign(copy.graph.node, nodes)
    assign(copy.graph.output, [ValueInfoProto(name=f"error_{layer.node}") for layer in layers])
    return copy


def _mean(model: ModelProto, tensor: str, *, axes: Sequence[int], name: str) -> NodeProto:
    """A node that computes the mean of the tensor over these axes, which may be stored in the model."""
    if opset(model) < REDUCE_AXES_ARE_INPUTS:
        return helper.make_node("ReduceMean", [tensor], [name], axes=list(axes))
    model.graph.initializer.append(numpy_helper.from_array(np.array(axes, np.int64), f"axes_{name}"))
    return helper.make_node("ReduceMean", [tensor, f"axes_{name}"], [name])
