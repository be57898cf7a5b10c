"""Removes from a graph what an exporter wrote because it did not know the shapes of tensors.

An `If` whose condition follows from shapes becomes the branch that is taken, and a Squeeze of all axes of length 1
becomes one of these axes, so that it keeps the batch axis when there is one image only. In a graph for one image, a
vector without a batch axis becomes a row.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from featx.backbones.graph.shapes import Inference, begin_inference
from featx.backbones.graph.view import View, assign, attributes, captured, opset, subgraphs

_AXES_ARE_INPUTS = 13
"""The opset from which on Squeeze takes its axes as an input."""


_FLATTENING = {"Squeeze", "Reshape", "Gather"}
"""Operators that may drop the batch axis and keep all values, if there is one image."""

_ROW_BY_ROW = {
    *("MatMul", "Gemm", "Add", "Sub", "Mul", "Div", "Relu", "Tanh", "Sigmoid", "Erf", "Clip"),
    *("Identity", "Cast", "Dropout"),
}
"""Operators that do the same with a row as with a vector."""


def simplify(model: ModelProto, image: str, *, shape: Sequence[int | None]) -> None:
    """Simplify the graph in place, for this shape of its image input; most graphs stay as they are."""
    if shape[0] == 1 or any(node.op_type == "If" or _squeezes_all(node) for node in model.graph.node):
        readers = View(model.graph, {}, image).consumers
        _Simplification(model, begin_inference(model, image, shape=shape), {image}, readers=readers).run()


def _squeezes_all(node: NodeProto) -> bool:
    return node.op_type == "Squeeze" and not any(node.input[1:]) and "axes" not in attributes(node)


@dataclass
class _Simplification:
    """Simplifies one graph, node by node."""

    model: ModelProto
    inference: Inference
    varying: set[str]
    """Tensors that depend on the image."""
    changed: set[str] = field(default_factory=set)
    """Tensors whose shape may be another one than before."""
    readers: Mapping[str, Sequence[NodeProto]] = field(default_factory=dict)
    """Tensor -> the nodes that read it, before anything is simplified."""

    def run(self) -> None:
        """Simplify the nodes of the graph, in order."""
        graph = self.model.graph
        taken = _names_in(graph)
        waiting = deque(graph.node)
        kept = list[NodeProto]()
        while waiting:
            node = waiting.popleft()
            branch = self._branch_taken(node)
            if branch is not None and (inside := _inlined(node, branch, taken)) is not None:
                self._store(inside.weights)
                self.changed.update(node.output)
                waiting.extendleft(reversed(inside.nodes))
                continue
            kept.append(self._add(self._with_axes(node)))
        assign(graph.node, kept)
        self._forget_declared()

    def _forget_declared(self) -> None:
        """Remove the shapes that the exporter declared for tensors which have another one now."""
        graph = self.model.graph
        assign(graph.value_info, [value for value in graph.value_info if value.name not in self.changed])
        for value in graph.output:
            if value.name in self.changed and value.type.HasField("tensor_type"):
                value.type.tensor_type.ClearField("shape")

    def _add(self, node: NodeProto) -> NodeProto:
        """The node, or one that keeps the batch axis, after the shapes that it computes were inferred.

        They are inferred anew if the node reads tensors whose shape has changed.
        """
        read = {*node.input, *captured(node)}
        if not self.varying.isdisjoint(read) and node.op_type not in ("Shape", "Size"):
            self.varying.update(node.output)
        if not self.changed.isdisjoint(read) or not self.changed.isdisjoint(node.output):
            self.changed.update(node.output)
            for name in node.output:
                self.inference.values.pop(name, None)
        self.inference.add(node)
        return self._add(self._as_row(node)) if self._loses_batch(node) else node

    def _loses_batch(self, node: NodeProto) -> bool:
        """Whether the node turns what the graph computes for its only image into a vector without a batch axis."""
        if node.op_type not in _FLATTENING or node.input[0] not in self.varying:
            return False
        if not {reader.op_type for reader in self.readers.get(node.output[0], ())} <= _ROW_BY_ROW:
            return False
        before = self.inference.shape(node.input[0])
        after = self.inference.shape(node.output[0])
        if not before or not after or None in before:
            return False
        return before[0] == 1 and len(after) == 1 and after[0] == prod(side or 0 for side in before) > 1

    def _as_row(self, node: NodeProto) -> NodeProto:
        """A node with the same values in one row."""
        stored = numpy_helper.from_array(np.array([1, -1], np.int64), f"featx_row_{node.output[0]}")
        self._store([stored])
        self.changed.update(node.output)
        return helper.make_node("Reshape", [node.input[0], stored.name], node.output, name=node.name)

    def _branch_taken(self, node: NodeProto) -> GraphProto | None:
        """The branch that an If takes whatever the image is; None if that is not known."""
        condition = self.inference.known.get(node.input[0]) if node.op_type == "If" and node.input else None
        if condition is None:
            return None
        taken = "then_branch" if numpy_helper.to_array(condition).any() else "else_branch"
        return next((attribute.g for attribute in node.attribute if attribute.name == taken), None)

    def _store(self, weights: Sequence[TensorProto]) -> None:
        self.model.graph.initializer.extend(weights)
        self.inference.know(weights)

    def _with_axes(self, node: NodeProto) -> NodeProto:
        """The node; if it squeezes whatever has length 1, with the axes that it squeezes, never the first one."""
        shape = self.inference.shape(node.input[0]) if _squeezes_all(node) and node.input else None
        if shape is None or len(shape) < 2 or None in shape[1:] or node.input[0] not in self.varying:
            return node
        axes = [place for place, side in enumerate(shape) if place and side == 1]
        if shape[0] == 1:
            self.changed.update(node.output)
        if not axes:
            return helper.make_node("Identity", node.input[:1], node.output, name=node.name)
        if opset(self.model) < _AXES_ARE_INPUTS:
            return helper.make_node("Squeeze", node.input[:1], node.output, name=node.name, axes=axes)
        stored = numpy_helper.from_array(np.array(axes, np.int64), f"featx_axes_{node.output[0]}")
        self._store([stored])
        return helper.make_node("Squeeze", [node.input[0], stored.name], node.output, name=node.name)


@dataclass(frozen=True)
class _Inlined:
    """A branch as nodes of the graph around it."""

    nodes: list[NodeProto]
    weights: list[TensorProto]


def _inlined(node: NodeProto, branch: GraphProto, taken: set[str]) -> _Inlined | None:
    """The branch in place of the node; None if it has what only a branch can have. `taken` gets the new names."""
    if branch.input or branch.sparse_initializer or len(branch.output) != len(node.output):
        return None
    names = dict[str, str]()
    passed = list[NodeProto]()
    made = {name for inner in branch.node for name in inner.output if name}
    for inside, outside in zip((value.name for value in branch.output), node.output, strict=True):
        if inside in made and inside not in names:
            names[inside] = outside
        else:
            passed.append(helper.make_node("Identity", [inside], [outside]))
    own = made | {tensor.name for tensor in branch.initializer}
    for name in sorted(own - names.keys()):
        names[name] = _free_name(name, taken)
    nodes = [_renamed(inner, names) for inner in (*branch.node, *passed)]
    return _Inlined(nodes, [_renamed_weight(tensor, names[tensor.name]) for tensor in branch.initializer])


def _free_name(name: str, taken: set[str]) -> str:
    """The name if no tensor of the graph has it, else a longer one; it counts as taken from now on."""
    found = name
    count = 0
    while found in taken:
        count += 1
        found = f"{name}_in_branch_{len(taken)}_{count}"
    taken.add(found)
    return found


def _renamed(node: NodeProto, names: Mapping[str, str]) -> NodeProto:
    """A copy of the node in which tensors have these names, also inside its own branches."""
    copy = NodeProto()
    copy.CopyFrom(node)
    _rename(copy, names)
    return copy


def _rename(node: NodeProto, names: Mapping[str, str]) -> None:
    assign(node.input, [names.get(name, name) for name in node.input])
    assign(node.output, [names.get(name, name) for name in node.output])
    for inner in subgraphs(node):
        for value in inner.output:
            value.name = names.get(value.name, value.name)
        for child in inner.node:
            _rename(child, names)


def _renamed_weight(tensor: TensorProto, name: str) -> TensorProto:
    copy = TensorProto()
    copy.CopyFrom(tensor)
    copy.name = name
    return copy


def _names_in(graph: GraphProto) -> set[str]:
    """The names of all tensors outside branches."""
    stored = {tensor.name for tensor in graph.initializer} | {value.name for value in graph.input}
    return stored | {name for node in graph.node for name in (*node.input, *node.output)}
