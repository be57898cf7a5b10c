"""Infers the shapes of all tensors from the image's shape: by ONNX's inference, completed by arithmetic on shapes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto, helper, numpy_helper
from onnx.external_data_helper import uses_external_data
from onnx.reference import ReferenceEvaluator

from featx.backbones.graph.external import SMALL, tensor_bytes, tensors_in
from featx.backbones.graph.sizes import INTEGERS, check_computed, may_propagate
from featx.backbones.graph.view import Shape, View, image_inputs, opset, shape_of

ANY_BATCH = 2
"""The batch size for which shapes are inferred if the model leaves it free."""
SHORT = 64
"""Largest number of integers in a tensor that is treated as a shape or a part of one."""
FOLDED = {
    *("Add", "Sub", "Mul", "Div", "Mod", "Neg", "Max", "Min", "ReduceProd", "ReduceSum"),
    *("Equal", "Greater", "Less", "Not", "And", "Where", "Cast", "Identity", "Shape", "Size"),
    *("Concat", "Gather", "Slice", "Squeeze", "Unsqueeze", "Reshape", "Flatten", "Transpose"),
    *("Expand", "Tile", "ConstantOfShape", "Range"),
}
"""Operators that models use for arithmetic on shapes."""


def view_model(model: ModelProto, image: str, *, shape: Sequence[int | None]) -> View:
    """A view of the model's graph, with the shapes that follow from this shape of its image input.

    Raises OversizedError if a tensor is larger than any backbone needs.
    """
    return View(model.graph, _infer_all(model, _skeleton(model, image, shape)), image)


def begin_inference(model: ModelProto, image: str, *, shape: Sequence[int | None]) -> "Inference":
    """An inference that knows the shapes that ONNX infers from this shape of the image input, but computed nothing."""
    skeleton = _skeleton(model, image, shape)
    values = _values(_infer_by_onnx(skeleton, propagate=False))
    return Inference(model, values, {tensor.name: tensor for tensor in skeleton.graph.initializer})


def _infer_all(model: ModelProto, skeleton: ModelProto) -> dict[str, ValueInfoProto]:
    """Tensor -> its type and shape, of all tensors outside branches and loops.

    ONNX computes the values of shapes only if all that can be computed here is small, and only if shapes still lack.
    """
    values = dict[str, ValueInfoProto]()
    weights = {tensor.name: tensor for tensor in skeleton.graph.initializer}
    inference = Inference(model, values, weights)
    stored = sum(prod(tensor.dims) for tensor in tensors_in(model.graph))
    inputs = [value.name for value in image_inputs(model.graph)]
    for propagate in (False, True):
        inferred = _infer_by_onnx(skeleton, propagate=propagate)
        values |= {name: value for name, value in _values(inferred).items() if not inference.is_known(name)}
        for node in skeleton.graph.node:
            inference.add(node)
        check_computed(inferred, values, inputs=inputs, stored=stored)
        if inference.is_complete(skeleton.graph.node) or not may_propagate(skeleton.graph, values):
            break
    return values


def _infer_by_onnx(skeleton: ModelProto, *, propagate: bool) -> GraphProto:
    """The graph with the shapes that ONNX infers; with `propagate` it computes the values of shapes, too."""
    try:
        return onnx.shape_inference.infer_shapes(skeleton, data_prop=propagate).graph
    except Exception:  # noqa: BLE001 - a graph that onnx cannot infer may still run; its declared shapes remain
        return skeleton.graph


def _values(graph: GraphProto) -> dict[str, ValueInfoProto]:
    return {value.name: value for value in [*graph.value_info, *graph.output, *graph.input]}


def _skeleton(model: ModelProto, image: str, shape: Sequence[int | None]) -> ModelProto:
    """The model without its large weights, which become inputs, as only their shapes matter here."""
    skeleton = ModelProto()
    skeleton.ir_version = max(model.ir_version, 4)
    skeleton.opset_import.extend(model.opset_import)
    graph = skeleton.graph
    graph.name = model.graph.name or "graph"
    graph.node.extend(model.graph.node)
    graph.output.extend(model.graph.output)
    graph.value_info.extend(model.graph.value_info)
    graph.input.extend(image_inputs(model.graph))
    value = next(value for value in graph.input if value.name == image)
    sides = [f"free_{place}" if side is None else side for place, side in enumerate(shape)]
    value.CopyFrom(helper.make_tensor_value_info(image, value.type.tensor_type.elem_type, sides))
    for tensor in model.graph.initializer:
        if tensor.data_type in INTEGERS and tensor_bytes(tensor) <= SMALL:
            graph.initializer.append(tensor)
        else:
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    return skeleton


@dataclass
class Inference:
    """Walks through the nodes and completes the shapes that ONNX's inference could not find."""

    model: ModelProto
    values: dict[str, ValueInfoProto]
    weights: Mapping[str, TensorProto]
    known: dict[str, TensorProto] = field(default_factory=dict)
    """Tensor -> its values, for short tensors of integers that are known."""

    def __post_init__(self) -> None:
        """Know the stored tensors."""
        self.known |= {name: tensor for name, tensor in self.weights.items() if _is_short(tensor)}

    def know(self, weights: Iterable[TensorProto]) -> None:
        """Know further stored tensors."""
        for tensor in weights:
            self._set(tensor.name, helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims)))
            if _is_short(tensor):
                self.known[tensor.name] = tensor

    def add(self, node: NodeProto) -> None:
        """Complete `values` and `known` by the outputs of a node, whose inputs were completed before."""
        self.known |= {name: tensor for name, tensor in _constant(node) if _is_short(tensor)}
        folded = self._fold(node)
        if folded is not None:
            self.known[node.output[0]] = folded
            self._set(node.output[0], helper.make_tensor_type_proto(folded.data_type, list(folded.dims)))
        elif any(not self.is_known(name) for name in node.output if name):
            self._infer(node)

    def is_complete(self, nodes: Sequence[NodeProto]) -> bool:
        """Whether the shapes of all outputs of these nodes are known."""
        return all(self.is_known(name) for node in nodes for name in node.output if name)

    def is_known(self, name: str) -> bool:
        """Whether the shape of the tensor is known, all its sides included."""
        shape = self.shape(name)
        return shape is not None and None not in shape

    def shape(self, name: str) -> Shape | None:
        """The shape of the tensor, as far as it is known."""
        return shape_of(self.values[name]) if name in self.values else None

    def _set(self, name: str, kind: TypeProto) -> None:
        self.values[name] = helper.make_value_info(name, kind)

    def _type(self, name: str) -> TypeProto | None:
        if name in self.values:
            return self.values[name].type
        tensor = self.known.get(name) or self.weights.get(name)
        return tensor and helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))

    def _fold(self, node: NodeProto) -> TensorProto | None:
        """The output of a node that reads only constants and shapes, if it is a short tensor of integers; else None."""
        if node.op_type == "Shape" and not node.attribute and (shape := self.shape(node.input[0])) is not None:
            return None if None in shape else numpy_helper.from_array(np.array(shape, np.int64), node.output[0])
        if node.op_type not in FOLDED or not all(name in self.known for name in node.input if name):
            return None
        return self._evaluate(node)

    def _evaluate(self, node: NodeProto) -> TensorProto | None:
        given = {name: numpy_helper.to_array(self.known[name]) for name in node.input if name}
        if _output_is_long(node, [given[name] for name in node.input if name]):
            return None
        try:
            return self._run_alone(node, given)
        except Exception:  # noqa: BLE001 - the reference raises anything; what cannot be evaluated stays unknown
            return None

    def _run_alone(self, node: NodeProto, given: dict[str, Any]) -> TensorProto | None:
        inputs = [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in given]
        outputs = [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in node.output]
        graph = helper.make_graph([node], "one", inputs, outputs)
        alone = helper.make_model(graph, opset_imports=self.model.opset_import, ir_version=self.model.ir_version)
        outcome: Any = ReferenceEvaluator(alone).run(None, given)
        tensor = numpy_helper.from_array(np.asarray(outcome[0]), node.output[0])
        return tensor if _is_short(tensor) and len(outcome) == 1 else None

    def _infer(self, node: NodeProto) -> None:
        """Set the shapes of the node's outputs by ONNX's rule for its operator."""
        if node.domain not in ("", "ai.onnx"):
            return
        types = {name: kind for name in node.input if (kind := self._type(name)) is not None}
        data = {name: self.known[name] for name in node.input if name in self.known}
        version = opset(self.model)
        try:
            schema = onnx.defs.get_schema(node.op_type, min(version, onnx.defs.onnx_opset_version()), "")
            inferred = onnx.shape_inference.infer_node_outputs(
                schema, node, types, data, opset_imports=list(self.model.opset_import), ir_version=self.model.ir_version
            )
        except Exception:  # noqa: BLE001 - a rule that fails leaves the shape unknown
            return
        for name, kind in inferred.items():
            self._set(name, kind)


def _is_short(tensor: TensorProto) -> bool:
    return tensor.data_type in INTEGERS and prod(tensor.dims) <= SHORT and not uses_external_data(tensor)


def _output_is_long(node: NodeProto, given: list[NDArray[Any]]) -> bool:
    """Whether a node that makes long tensors of short ones would make one here."""
    if node.op_type == "Range":
        start, end, step = (int(number.ravel()[0]) for number in given)
        return not step or abs((end - start) // step) > SHORT
    if node.op_type not in ("ConstantOfShape", "Expand", "Tile"):
        return False
    sides = given[-1] if node.op_type != "Tile" else np.multiply(given[1], given[0].shape)
    return prod(int(side) for side in sides) > SHORT


def _constant(node: NodeProto) -> Iterator[tuple[str, TensorProto]]:
    """Name and value of the tensor that a Constant node stores."""
    if node.op_type == "Constant":
        yield from ((node.output[0], attribute.t) for attribute in node.attribute if attribute.name == "value")
