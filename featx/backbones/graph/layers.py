"""Recognises what nodes do: layers, pools, class tokens, and operators that keep values."""

from collections.abc import Iterator

from onnx import NodeProto, TensorProto

from featx.backbones.graph.view import View, attributes

SAME_VALUES = {"Identity", "Dropout", "Cast", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}
SAME_NUMBERS = SAME_VALUES | {"Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose"}
"""Operators that keep all values, except for their precision, their shape or their order."""
SELECTING = {"ArgMax", "TopK", "Hardmax", "LabelEncoder", "CategoryMapper", "ArrayFeatureExtractor"}
"""Operators on class scores that keep only which of them is the highest, or turn that into the name of a class."""
SCORE_OPERATORS = SELECTING | {"Softmax", "LogSoftmax", "Sigmoid", "HardSigmoid", "Normalizer", "ZipMap"}
"""Operators that are only applied to class scores; some of ai.onnx.ml make texts, or maps from classes to scores."""
CLASSIFIERS = {"LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier", "TreeEnsemble"}
"""Layers of ai.onnx.ml that compute class scores from a vector, and have their weights as attributes."""

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


def is_vector(view: View, name: str) -> bool:
    """Whether the tensor is (batch, dim), or a map of 1 x 1."""
    shape = view.shape(name)
    return shape is not None and (len(shape) == 2 or (len(shape) == 4 and set(shape[2:]) == {1}))


def is_single(view: View, name: str) -> bool:
    """Whether the tensor has one place only: all axes but the batch and one other have length 1."""
    shape = view.shape(name)
    return shape is not None and len(shape) > 2 and sum(side != 1 for side in shape[1:]) <= 1


def is_pointwise(view: View, weight: str) -> bool:
    """Whether the weight is a kernel of 1 x 1."""
    shape = view.shape(weight)
    return shape is not None and set(shape[2:]) == {1}


def is_map(view: View, name: str) -> bool:
    """Whether the tensor is a map of more than one place."""
    shape = view.shape(name)
    return shape is not None and len(shape) == 4 and not is_single(view, name)


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
    return {axis % rank for axis in view.axes(node) or ()}


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
    return node.op_type == "Slice" and is_single(view, node.output[0])


def pooled_ranks(pool: str) -> tuple[int, ...]:
    """The numbers of axes of tensors that this pooling can reduce: 3 for tokens, 4 for maps."""
    return (3,) if pool == "cls" else (3, 4)


def default_pool(view: View, name: str) -> str:
    """The pooling if the user names none: mean for maps, the class token if there is one, else mean for tokens."""
    shape = view.shape(name)
    if shape is None or len(shape) == 2 or is_single(view, name):
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
