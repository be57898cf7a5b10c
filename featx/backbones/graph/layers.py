"""Recognises what nodes do: last layers, pools, class tokens, and operators that keep values."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto

from featx.backbones.graph.view import View, attributes

SAME_VALUES = {"Identity", "Dropout", "Cast", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}
SAME_NUMBERS = SAME_VALUES | {"Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose"}
"""Operators that keep all values, except for their precision, their shape or their order."""
SCORE_OPERATORS = {"Softmax", "LogSoftmax", "Sigmoid", "HardSigmoid", "ArgMax", "TopK", "Hardmax"}
"""Operators that are only applied to class scores."""
SELECTING = {"ArgMax", "TopK", "Hardmax"}
"""Operators on class scores that keep only which of them is the highest."""

WEIGHT_INPUT = {
    "Gemm": 1,
    "MatMul": 1,
    "Conv": 1,
    "FusedMatMul": 1,
    "FusedGemm": 1,
    "FusedConv": 1,
    "MatMulNBits": 1,
    "MatMulInteger": 1,
    "MatMulIntegerToFloat": 1,
    "DynamicQuantizeMatMul": 1,
    "ConvInteger": 1,
    "Einsum": 1,
    "QGemm": 3,
    "QLinearMatMul": 3,
    "QLinearConv": 3,
}
"""Layers that are linear in their data input -> index of the input that contains their weights."""
CONVOLUTIONS = {"Conv", "FusedConv", "ConvInteger", "QLinearConv"}
POOL_OPERATORS = {
    "GlobalAveragePool": "mean",
    "GlobalMaxPool": "max",
    "GlobalLpPool": "mean",
    "ReduceMean": "mean",
    "ReduceMax": "max",
    "AveragePool": "mean",
    "MaxPool": "max",
    "LpPool": "mean",
    "QLinearGlobalAveragePool": "mean",
    "QLinearAveragePool": "mean",
    "ReduceSum": "mean",
}
ON_SCORES = {"Clip", "Slice", "Gather", "BatchNormalization"}
"""Operators that may follow class scores, to bound, select or scale them."""
STEPS = 60
"""Largest number of nodes that a search visits on its way back from a tensor."""


@dataclass(frozen=True)
class LastLayers:
    """The last layer of one output, or several layers whose scores are combined."""

    reads: tuple[str, ...]
    """The tensor that each of them reads."""
    width: int | None
    """Number of values that the first of them reads per image; None if unknown."""
    classes: int | None
    """Number of values that the first of them computes per image; None if unknown."""
    scored: bool
    """Whether a softmax or another operator on class scores follows them."""
    only_best: bool
    """Whether the output says only which class is the best."""
    normed: bool
    """Whether a batch norm follows them, as it often follows embeddings."""
    pool: str
    """The pooling that turns what the layer reads into a vector; empty if it reads vectors."""
    following: tuple[str, ...]
    """The tensors from the last layer to the output."""


@dataclass(frozen=True)
class _Walk:
    """What was met on the way back from an output to its last layer."""

    scored: bool = False
    only_best: bool = False
    normed: bool = False
    pool: str = ""
    following: tuple[str, ...] = ()


def find_last_layers(view: View, output: str) -> LastLayers | None:
    """The last layers of this output, found past softmax, dropout and the like; None if it has none."""
    layers = _last_layers(view, output, _Walk())
    if not layers:
        return None
    nodes, walks = zip(*layers, strict=True)
    reads = tuple(dict.fromkeys(_read_by(view, node) for node in nodes))
    several = _is_map(view, reads[0]) or view.rank(reads[0]) == 3
    return LastLayers(
        reads=reads,
        width=_width_read(view, nodes[0]),
        classes=_width(view, nodes[0]),
        scored=any(walk.scored for walk in walks),
        only_best=any(walk.only_best for walk in walks),
        normed=any(walk.normed for walk in walks),
        pool=(walks[0].pool or "mean") if several else "",
        following=tuple(name for walk in walks for name in walk.following),
    )


def _read_by(view: View, node: NodeProto) -> str:
    """The tensor that a layer reads, before it is transposed for the layer."""
    name = view.data_inputs(node)[0]
    before = view.producers.get(name)
    transposed = before is not None and before.op_type == "Transpose" and view.rank(name) == 2
    return before.input[0] if before is not None and transposed else name


def _last_layers(view: View, name: str, walk: _Walk) -> list[tuple[NodeProto, _Walk]]:
    """Every last layer before this tensor, with the walk that reached it; empty if a path reaches none."""
    node = view.producers.get(name)
    if node is None or name not in view.image_dependent or len(walk.following) > STEPS:
        return []
    walk = _Walk(
        scored=walk.scored or node.op_type in SCORE_OPERATORS,
        only_best=walk.only_best or node.op_type in SELECTING,
        normed=walk.normed or node.op_type == "BatchNormalization",
        pool=walk.pool,
        following=(*walk.following, name),
    )
    if _is_last_layer(view, node, walk):
        return [(node, walk)]
    data = view.data_inputs(node)
    if is_global_pool(view, node) and not walk.pool and not _averages_stacked(view, node):
        found = _last_layers(view, data[0], replace(walk, pool=POOL_OPERATORS[node.op_type]))
        return [layer for layer in found if _applies_to_places(view, layer[0])]
    if data and _is_seen_through(view, node, walk):
        return _last_layers(view, _scaled(view, data), walk)
    return _combined(view, node, data, walk)


def _applies_to_places(view: View, node: NodeProto) -> bool:
    """Whether the layer scores every place of a map or every token, so that a pool may follow it."""
    return node.op_type in CONVOLUTIONS or view.rank(node.input[0]) == 3


def _is_seen_through(view: View, node: NodeProto, walk: _Walk) -> bool:
    """Whether the node keeps class scores as they are, or only scales, shifts, bounds or selects them."""
    if node.op_type in SAME_NUMBERS | SCORE_OPERATORS or (walk.pool and node.op_type == "Relu"):
        return True
    on_scores = view.rank(node.input[0]) == 2 and not walk.pool
    return _only_scales(view, node) or _averages_stacked(view, node) or (on_scores and node.op_type in ON_SCORES)


def _averages_stacked(view: View, node: NodeProto) -> bool:
    """Whether the node sums or averages what the node before it stacked."""
    before = view.producers.get(node.input[0])
    return node.op_type in ("ReduceMean", "ReduceSum") and before is not None and before.op_type == "Concat"


def _combined(view: View, node: NodeProto, data: list[str], walk: _Walk) -> list[tuple[NodeProto, _Walk]]:
    """The last layers whose scores this node adds, averages or concatenates; empty if it does none of these."""
    if node.op_type not in ("Add", "Sum", "Mean", "Concat") or len(data) < 2:
        return []
    found = [_last_layers(view, name, walk) for name in data]
    layers = [layer for part in found for layer in part]
    same = node.op_type == "Concat" or len({_width(view, node) for node, _ in layers}) == 1
    return layers if all(found) and same else []


def _is_last_layer(view: View, node: NodeProto, walk: _Walk) -> bool:
    """Whether the node applies stored weights, and its output is one vector per image, if need be after a pool."""
    if node.op_type not in WEIGHT_INPUT or len(node.input) <= WEIGHT_INPUT[node.op_type]:
        return False
    place = WEIGHT_INPUT[node.op_type]
    data = node.input[0]
    weight = node.input[place]
    if node.op_type in ("MatMul", "Gemm") and weight in view.image_dependent:
        data, weight = weight, data
    if data not in view.image_dependent or weight in view.image_dependent or weight in view.other_dependent:
        return False
    if node.op_type not in CONVOLUTIONS:
        return view.rank(node.output[0]) in (2, None) or bool(walk.pool) or _is_single(view, node.output[0])
    return _is_single(view, node.output[0]) or (bool(walk.pool) and _is_pointwise(view, weight))


def is_vector(view: View, name: str) -> bool:
    """Whether the tensor is (batch, dim), or a map of 1 x 1."""
    shape = view.shape(name)
    return shape is not None and (len(shape) == 2 or (len(shape) == 4 and set(shape[2:]) == {1}))


def _is_single(view: View, name: str) -> bool:
    """Whether the tensor has one place only: all axes but the batch and one other have length 1."""
    shape = view.shape(name)
    return shape is not None and len(shape) > 2 and sum(side != 1 for side in shape[1:]) <= 1


def _is_pointwise(view: View, weight: str) -> bool:
    shape = view.shape(weight)
    return shape is not None and set(shape[2:]) == {1}


def _is_map(view: View, name: str) -> bool:
    shape = view.shape(name)
    return shape is not None and len(shape) == 4 and not _is_single(view, name)


def _width(view: View, node: NodeProto) -> int | None:
    """Number of values that a layer computes per image, or per place of it; None if unknown."""
    shape = view.shape(node.output[0])
    if shape is None:
        return None
    return shape[1] if node.op_type in CONVOLUTIONS else shape[-1]


def _width_read(view: View, node: NodeProto) -> int | None:
    """Number of values that a layer reads per image, according to its weights; None if unknown."""
    shape = view.shape(node.input[WEIGHT_INPUT[node.op_type]])
    if shape is None or len(shape) not in (2, 4) or node.op_type == "MatMulNBits":
        return None
    outputs_first = node.op_type in CONVOLUTIONS or attributes(node).get("transB", 0)
    return shape[1] if outputs_first else shape[0]


def _only_scales(view: View, node: NodeProto) -> bool:
    """Whether the node adds constants (a bias) or multiplies by constants (a temperature) or a quantiser's scale."""
    if node.op_type not in ("Add", "Sub", "Mul", "Div"):
        return False
    data = view.data_inputs(node)
    if len(data) == 1:
        return True
    return node.op_type == "Mul" and _from_integers(view, _scaled(view, data))


def _scaled(view: View, data: list[str]) -> str:
    """The factor of a product that carries the scores; the other may be the scale of a dynamic quantiser."""
    return next((name for name in data if _from_integers(view, name)), data[0])


def _from_integers(view: View, name: str) -> bool:
    node = view.producers.get(name)
    while node is not None and node.op_type in ("Cast", "Reshape"):
        node = view.producers.get(node.input[0])
    return node is not None and node.op_type in ("MatMulInteger", "ConvInteger")


def is_global_pool(view: View, node: NodeProto) -> bool:
    """Whether the node takes the mean, sum or maximum over all places of a map, or over all tokens."""
    if node.op_type.startswith("Global") or node.op_type == "QLinearGlobalAveragePool":
        return True
    if node.op_type not in POOL_OPERATORS:
        return False
    before = view.shape(node.input[0])
    after = view.shape(node.output[0])
    if node.op_type.startswith("Reduce"):
        return before is not None and _reduced_axes(view, node, len(before)) in _places(len(before))
    return before is not None and after is not None and len(after) == 4 and set(after[2:]) == {1} != set(before[2:])


def _places(rank: int) -> list[set[int]]:
    """The sets of axes that span all places of a tensor of this rank, one for each layout."""
    return {4: [{2, 3}, {1, 2}], 3: [{1}, {2}]}.get(rank, [])


def _reduced_axes(view: View, node: NodeProto, rank: int) -> set[int]:
    axes: Any = attributes(node).get("axes")
    if axes is None and len(node.input) > 1:
        axes = view.constant(node.input[1])
    return set() if axes is None else {int(axis) % rank for axis in np.atleast_1d(axes)}


def same_values(view: View, name: str) -> str:
    """The earliest tensor with the same values, back through dropout, identity, casts and (de)quantisers."""
    while (node := view.producers.get(name)) and node.op_type in SAME_VALUES and node.input[0] in view.image_dependent:
        name = node.input[0]
    return name


def channel_axis(view: View, name: str) -> int:
    """Index of the channel axis of a map or of tokens."""
    shape = view.shape(name) or ()
    if len(shape) != 4:
        return len(shape) - 1
    if (shape[2] == shape[3]) != (shape[1] == shape[2]):
        return 1 if shape[2] == shape[3] else 3
    return _channel_axis_by_origin(view, name)


def _channel_axis_by_origin(view: View, name: str) -> int:
    for node in _origins(view, name):
        if node.op_type in CONVOLUTIONS | {"BatchNormalization", "MaxPool", "AveragePool"}:
            return 1
        if node.op_type in ("LayerNormalization", "MatMul", "Gemm"):
            return 3
        perm = tuple(attributes(node).get("perm", ())) if node.op_type == "Transpose" else ()
        if perm in ((0, 2, 3, 1), (0, 3, 1, 2)):
            return 3 if perm == (0, 2, 3, 1) else 1
    return 1


def _origins(view: View, name: str) -> Iterator[NodeProto]:
    """The nodes on the way back from a tensor, along the first input of each that depends on the image."""
    for _ in range(STEPS):
        node = view.producers.get(name)
        if node is None:
            return
        yield node
        data = view.data_inputs(node)
        if not data:
            return
        name = data[0]


def kind_of(view: View, name: str) -> str:
    """The kind of feature that the tensor is, decided by the nodes that computed it."""
    if default_pool(view, name):
        return "class token" if default_pool(view, name) == "cls" else "pooled map"
    return next(filter(None, (_kind_from(view, node) for node in _origins(view, name))), "hidden dense layer")


def _kind_from(view: View, node: NodeProto) -> str | None:
    """The kind of feature that the node computes; None if it keeps the kind of its input."""
    if is_global_pool(view, node):
        return "global pool"
    if _selects_token(view, node):
        return "class token"
    if node.op_type in WEIGHT_INPUT:
        return "hidden dense layer"
    if node.op_type in ("Flatten", "Reshape") and default_pool(view, node.input[0]):
        return "flattened map"
    return None


def _selects_token(view: View, node: NodeProto) -> bool:
    """Whether the node selects one token of a sequence."""
    if view.rank(node.input[0]) != 3:
        return False
    if node.op_type == "Gather":
        return attributes(node).get("axis", 0) % 3 in (0, 1)
    return node.op_type == "Slice" and _is_single(view, node.output[0])


def pooled_ranks(pool: str) -> tuple[int, ...]:
    """The numbers of axes of tensors that this pooling can reduce: 3 for tokens, 4 for maps."""
    return (3,) if pool == "cls" else (3, 4)


def default_pool(view: View, name: str) -> str:
    """The pooling if the user names none: mean for maps, the class token if there is one, else mean for tokens."""
    shape = view.shape(name)
    if shape is None or len(shape) == 2 or _is_single(view, name):
        return ""
    if len(shape) == 4:
        return "mean"
    return "cls" if len(shape) == 3 and _has_class_token(view, name) else "mean"


def _has_class_token(view: View, name: str) -> bool:
    """Whether a learnt token precedes the patches of this sequence."""
    for node in _origins(view, name):
        if node.op_type == "Concat" and attributes(node).get("axis", 0) in (1, -2):
            first = node.input[0]
            is_float = view.elem_type(first) in (TensorProto.FLOAT, TensorProto.FLOAT16, 0)
            return is_float and first not in view.image_dependent
    return False


def l2_normalised(view: View, name: str) -> bool:
    """Whether the last step before this tensor divides it by its L2 norm."""
    node = view.producers.get(same_values(view, name))
    if node is None:
        return False
    if node.op_type == "LpNormalization":
        return True
    return node.op_type == "Div" and len(set(view.data_inputs(node))) == 2 and _is_length(view, node.input[1], STEPS)


def _is_length(view: View, name: str, steps: int) -> bool:
    """Whether the tensor is computed from a norm, a root or a power at most `steps` nodes before it."""
    node = view.producers.get(name)
    if node is None or not steps:
        return False
    if node.op_type in ("ReduceL2", "Sqrt", "Pow"):
        return True
    return any(_is_length(view, data, steps - 1) for data in view.data_inputs(node)[:1])
