"""Refuses tensors that no backbone needs, by arithmetic on shapes, before any library computes or stores them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

from featx.backbones.graph.external import tensors_in
from featx.backbones.graph.view import captured, shape_of, subgraphs

INTEGERS = {TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL}
"""Types of tensors that can be a shape, or a part of one."""
MOST_ELEMENTS = 2**31
"""Largest number of elements of a tensor that depends on the image."""
MOST_CONSTANT = 2**27
"""Largest number of elements of a tensor that is computed from constants, unless the model stores more."""
MOST_PROPAGATED = 2**20
"""Largest number of integers that inference of shapes may keep, over all nodes."""
_KEPT_PER_VALUE = 4
"""Largest number of elements that one entry of a stored tensor holds, as where four integers of 2 bits are packed."""
_LONGEST_SHAPE = 16
_PROPAGATING = {
    *("Shape", "Size", "Cast", "Squeeze", "Unsqueeze", "Slice", "Gather", "Concat"),
    *("Add", "Sub", "Mul", "Div", "Identity", "Reshape", "Where", "Expand"),
}
"""Operators whose values inference may compute, in this version of onnx or in another."""


class OversizedError(ValueError):
    """A tensor has more elements than any backbone needs, or other ones than are stored."""


def check_stored(model: ModelProto) -> None:
    """Raise OversizedError if a stored tensor claims more elements than it has, as damaged and hostile files do."""
    for tensor in tensors_in(model.graph):
        if tensor.data_location != TensorProto.EXTERNAL and _claimed(tensor) > _stored(tensor):
            raise OversizedError(
                f"weight {tensor.name!r} has shape {list(tensor.dims)} but only {_stored(tensor)} stored values"
            )
    for tensor, dims in _sparse(model.graph):
        _check(tensor.name, dims, most=max(MOST_CONSTANT, prod(tensor.dims)))


def _claimed(tensor: TensorProto) -> int:
    return prod(max(0, side) for side in tensor.dims)


def _stored(tensor: TensorProto) -> int:
    """Largest number of elements that the stored bytes or values can hold."""
    typed = (tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data, tensor.uint64_data)
    return _KEPT_PER_VALUE * max(len(tensor.raw_data), len(tensor.string_data), *map(len, typed))


def _sparse(graph: GraphProto) -> Iterator[tuple[TensorProto, Sequence[int]]]:
    """The values of each sparse tensor, and its shape."""
    yield from ((sparse.values, sparse.dims) for sparse in graph.sparse_initializer)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("sparse_tensor"):
                yield attribute.sparse_tensor.values, attribute.sparse_tensor.dims
            yield from ((sparse.values, sparse.dims) for sparse in attribute.sparse_tensors)
        for inner in subgraphs(node):
            yield from _sparse(inner)


def may_propagate(graph: GraphProto, values: Mapping[str, ValueInfoProto]) -> bool:
    """Whether ONNX's inference may compute the values of shapes: not if these add up to more than any model needs.

    It keeps a number for each element of every vector that one of a few operators reads or makes, whatever it is.
    """
    return _propagated(graph, dict(_lengths(graph.initializer)), values, 0) <= MOST_PROPAGATED


def _lengths(tensors: Iterable[TensorProto]) -> Iterator[tuple[str, int]]:
    """Name and number of elements of each tensor that can be a shape."""
    return ((tensor.name, prod(tensor.dims)) for tensor in tensors if len(tensor.dims) < 2)


def _propagated(graph: GraphProto, lengths: dict[str, int], values: Mapping[str, ValueInfoProto], total: int) -> int:
    """`total`, and the number of integers that inference keeps for the nodes of this graph and those inside them."""
    for node in graph.node:
        if node.op_type in _PROPAGATING:
            length = min(_length(node, lengths, values), MOST_PROPAGATED + 1)
            lengths.update(dict.fromkeys(node.output, length))
            total += length
        elif node.op_type == "Constant":
            length = max((length for _, length in _lengths(one.t for one in node.attribute)), default=0)
            lengths.update(dict.fromkeys(node.output, length))
        for inner in subgraphs(node):
            lengths.update(_lengths(inner.initializer))
            total = _propagated(inner, lengths, {value.name: value for value in inner.value_info}, total)
    return min(total, MOST_PROPAGATED + 1)


def _length(node: NodeProto, lengths: Mapping[str, int], values: Mapping[str, ValueInfoProto]) -> int:
    """Number of integers that inference keeps for a node that computes a part of a shape."""
    shapes = [shape_of(values[name]) if name in values else None for name in (*node.input, *node.output)]
    known = [shape[0] or 0 for shape in shapes if shape and len(shape) == 1]
    given = [lengths.get(name, 0) for name in node.input]
    return max(sum(given) if node.op_type == "Concat" else max(given, default=0), *known, _LONGEST_SHAPE)


def check_computed(
    inferred: GraphProto, values: Mapping[str, ValueInfoProto], *, inputs: Iterable[str], stored: int
) -> None:
    """Raise OversizedError if a node computes a tensor that is too large, also inside branches, loops and scans.

    `inferred` has the shapes inside its nodes, `values` those of its own tensors; the tensors that depend on `inputs`
    are computed for each image, all others when the model is loaded. `stored` is the number of elements of all weights.
    """
    _check_nodes(inferred, values, set(inputs), max(MOST_CONSTANT, stored))


def _check_nodes(graph: GraphProto, values: Mapping[str, ValueInfoProto], varying: set[str], most: int) -> None:
    for node in graph.node:
        varies = node.op_type not in ("Shape", "Size") and not varying.isdisjoint({*node.input, *captured(node)})
        if varies:
            varying.update(node.output)
        for name in node.output:
            shape = shape_of(values[name]) if name in values else None
            _check(name, shape or (), most=MOST_ELEMENTS if varies else most)
        for inner in subgraphs(node):
            varying.update(value.name for value in inner.input)
            own = {value.name: value for value in (*inner.value_info, *inner.output)}
            _check_nodes(inner, own, varying, most)


def _check(name: str, shape: Sequence[int | None], *, most: int) -> None:
    if prod(side or 1 for side in shape) > most:
        raise OversizedError(f"tensor {name!r} has shape {list(shape)}, too large for featx")
