"""Makes a fixed batch axis dynamic by rewriting the shapes in which the exporter stored the batch size."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import GraphProto, NodeProto, helper, numpy_helper

from featx.backbones.graph.view import Shape, View, attributes

SHRINKING = {
    "Squeeze",
    "ReduceMean",
    "ReduceMax",
    "ReduceSum",
    "ReduceL2",
    "ReduceMin",
    "ReduceProd",
    "ReduceSumSquare",
}
BROADCASTING = {"Add", "Sub", "Mul", "Div", "Pow", "Where", "Max", "Min", "Sum", "Equal", "Less", "Greater", "MatMul"}


def free_batch(graph: GraphProto, view: View, *, batch: int, pixels: str) -> None:
    """Make the batch axis of the graph, which is fixed at `batch` images, dynamic; the graph is changed in place.

    `view` has the shapes at that batch size; `pixels` names the input whose first axis is the batch. The result is a
    best effort: compare its features with those of the original graph before using it.
    """
    _BatchRewriter(graph, view, batch, pixels).run()


@dataclass
class _BatchRewriter:
    """Follows the batch axis through the nodes of a graph, and rewrites the nodes that fix its size."""

    graph: GraphProto
    view: View
    batch: int
    pixels: str
    axes: dict[str, int] = field(default_factory=dict)
    """Tensor -> index of its axis that contains the batch, possibly merged with other axes."""
    outer: dict[str, int] = field(default_factory=dict)
    """Tensor -> number of elements that are merged in front of the batch in that axis, if there are any."""
    nodes: list[NodeProto] = field(default_factory=list)

    def run(self) -> None:
        """Rewrite the nodes of the graph, in order."""
        self.axes[self.view.image] = 0
        for node in list(self.graph.node):
            if any(name in self.axes for name in node.input):
                self._follow(node)
            self.nodes.append(node)
        del self.graph.node[:]
        self.graph.node.extend(self.nodes)

    def _follow(self, node: NodeProto) -> None:
        """Rewrite the node if it fixes the batch, and record where the batch axis is in its outputs."""
        name = next(name for name in node.input if name in self.axes)
        before = self.view.shape(name)
        after = self.view.shape(node.output[0])
        axis = self.axes[name]
        if before is None or after is None or axis >= len(before):
            return
        outer = self.outer.get(name, 1)
        if node.op_type == "Reshape":
            found, outer = self._reshape(node, axis=axis, outer=outer, before=before, after=after)
        else:
            found = _axis_after(
                self.view, node, axis=axis, before=len(before), after=len(after), place=list(node.input).index(name)
            )
        if found is None or not 0 <= found < max(len(after), 1):
            return
        if node.op_type == "Expand":
            self._expand(node, found)
        elif node.op_type == "Resize":
            self._resize(node, found)
        elif node.op_type == "Concat" or node.op_type in BROADCASTING:
            self._widen_constants(node, found, after)
        self.axes.update(dict.fromkeys(filter(None, node.output), found))
        self.outer.update(dict.fromkeys(filter(None, node.output), outer))

    def _reshape(
        self, node: NodeProto, *, axis: int, outer: int, before: Shape, after: Shape
    ) -> tuple[int | None, int]:
        """The axis that contains the batch after reshaping, and the number of elements merged in front of it there."""
        if None in before or None in after:
            return None, 1
        ahead = math.prod(side or 0 for side in before[:axis]) * outer
        found = self._place(ahead, [side or 0 for side in after])
        if found is None:
            return None, 1
        node.input[1] = self._store([-1 if place == found else side or 0 for place, side in enumerate(after)])
        return found, ahead // math.prod(side or 0 for side in after[:found])

    def _place(self, ahead: int, after: list[int]) -> int | None:
        """The axis with `ahead` elements in front of the batch; the last axis, for channels, only if no other fits."""
        starts = [math.prod(after[:place]) for place in range(len(after))]
        fits = [
            place
            for place, start in enumerate(starts)
            if start and ahead % start == 0 and after[place] % (ahead // start * self.batch) == 0
        ]
        exact = [place for place in fits if starts[place] == ahead]
        inner = [place for place in exact if place < len(after) - 1]
        merged = [place for place in fits if place < len(after) - 1]
        return next(iter([*inner, *merged[::-1], *exact]), None)

    def _expand(self, node: NodeProto, axis: int) -> None:
        """Set the batch side of the target shape to 1, which keeps that of the tensor."""
        target = self.view.constant(node.input[1])
        if target is not None:
            node.input[1] = self._store([1 if place == axis else int(side) for place, side in enumerate(target)])

    def _resize(self, node: NodeProto, axis: int) -> None:
        """Replace the fixed batch size among the target sizes by the actual number of images."""
        sizes = self.view.constant(node.input[3]) if len(node.input) > 3 else None
        if sizes is not None and len(sizes) > axis and sizes[axis] == self.batch:
            node.input[3] = self._with_count(
                [int(side) for side in sizes[:axis]], [int(side) for side in sizes[axis + 1 :]]
            )

    def _widen_constants(self, node: NodeProto, axis: int, after: Shape) -> None:
        """Repeat constants that are equal for every image, such as a class token, once per image."""
        joins = node.op_type == "Concat"
        for place, name in enumerate(node.input):
            shape = self.view.shape(name)
            own = axis - (len(after) - len(shape or ()))
            if not name or name in self.axes or not shape or own < 0:
                continue
            rows = shape[own] or 0
            if rows % self.batch or rows != (self.batch if joins else after[axis]):
                continue
            node.input[place] = self._repeated(name, own, len(shape), rows // self.batch, always=joins)

    def _repeated(self, name: str, axis: int, rank: int, rows: int, *, always: bool) -> str:
        """The rows of one image, repeated for every image unless broadcasting does so."""
        if self.batch > 1:
            name = self._add("Gather", [name, self._store(range(rows))], axis=axis)
        if rows == 1 and not always:
            return name
        return self._add("Tile", [name, self._with_count([1] * axis, [1] * (rank - axis - 1))])

    def _with_count(self, before: list[int], after: list[int]) -> str:
        """A shape: the sides `before`, the number of images, the sides `after`."""
        count = self._add("Gather", [self._add("Shape", [self.pixels]), self._store([0])], axis=0)
        parts = [*([self._store(before)] if before else []), count, *([self._store(after)] if after else [])]
        return self._add("Concat", parts, axis=0)

    def _add(self, operator: str, inputs: list[str], **settings: Any) -> str:
        name = f"featx_batch_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **settings))
        return name

    def _store(self, values: Iterable[int]) -> str:
        name = f"featx_shape_{len(self.graph.initializer)}"
        self.graph.initializer.append(numpy_helper.from_array(np.array(list(values), np.int64), name))
        return name


def _axis_after(view: View, node: NodeProto, *, axis: int, before: int, after: int, place: int) -> int | None:
    """Index of the batch axis in the node's output of `after` axes, if it is `axis` in an input of `before` axes."""
    settings = attributes(node)
    special: dict[str, Callable[[], int | None]] = {
        "Transpose": lambda: list(settings.get("perm", range(before)[::-1])).index(axis),
        "Flatten": lambda: 0 if axis < settings.get("axis", 1) else 1,
        "Gather": lambda: _after_gather(settings.get("axis", 0) % before, axis, after - before + 1, place),
        "Einsum": lambda: _after_einsum(settings["equation"].decode(), axis, place),
        "Gemm": lambda: 0,
        "QGemm": lambda: 0,
    }
    special |= dict.fromkeys(
        {*SHRINKING, "Unsqueeze"}, lambda: _after_axes(view, node, axis=axis, before=before, after=after)
    )
    return special.get(node.op_type, lambda: axis + after - before)()


def _after_gather(taken: int, axis: int, rank: int, place: int) -> int | None:
    """Index of the batch axis after a Gather along the axis `taken` with indices of this rank; None if it is lost."""
    return None if place or taken == axis else axis + (rank - 1 if taken < axis else 0)


def _after_einsum(equation: str, axis: int, place: int) -> int | None:
    """Index of the batch axis after an Einsum, negative if it is summed; None if the equation does not name it."""
    terms, _, result = equation.replace(" ", "").partition("->")
    letters = terms.split(",")[place]
    return result.find(letters[axis]) if "." not in equation and axis < len(letters) else None


def _after_axes(view: View, node: NodeProto, *, axis: int, before: int, after: int) -> int | None:
    """Index of the batch axis after other axes were inserted or removed."""
    if before == after:
        return axis
    given = view.axes(node)
    if given is None:
        return axis if axis == 0 and node.op_type != "Unsqueeze" else None
    if node.op_type == "Unsqueeze":
        inserted = {number % after for number in given}
        return [place for place in range(after) if place not in inserted][axis]
    return axis - sum(number % before < axis for number in given)
