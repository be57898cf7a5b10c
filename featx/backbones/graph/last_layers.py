"""Finds the last layers of a model: those whose scores, or their best, are an output."""

from dataclasses import dataclass, field, replace

from onnx import NodeProto

from featx.backbones.graph.layers import (
    CLASSIFIERS,
    CONVOLUTIONS,
    ON_SCORES,
    POOL_OPERATORS,
    SAME_NUMBERS,
    SCORE_OPERATORS,
    SELECTING,
    STEPS,
    WEIGHT_INPUT,
    is_global_pool,
    is_map,
    is_pointwise,
    is_single,
)
from featx.backbones.graph.view import View, attributes


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
    """The tensors from the last layers to the output."""


@dataclass(frozen=True)
class _Walk:
    """What was met on the way back from an output to its last layer."""

    scored: bool = False
    only_best: bool = False
    normed: bool = False
    pool: str = ""
    nodes: int = 0
    """Number of nodes that were passed."""


_Layer = tuple[NodeProto, _Walk]
"""A last layer, and the walk that reached it."""


def find_last_layers(view: View, output: str) -> LastLayers | None:
    """The last layers of this output, found past softmax, dropout and the like; None if it has none."""
    search = _Search(view)
    layers = search.layers_before(output, _Walk())
    if not layers:
        return None
    nodes, walks = zip(*layers, strict=True)
    reads = tuple(dict.fromkeys(_read_by(view, node) for node in nodes))
    several = is_map(view, reads[0]) or view.rank(reads[0]) == 3
    return LastLayers(
        reads=reads,
        width=_width_read(view, nodes[0]),
        classes=_width(view, nodes[0]),
        scored=any(walk.scored for walk in walks),
        only_best=any(walk.only_best for walk in walks),
        normed=any(walk.normed for walk in walks),
        pool=(walks[0].pool or "mean") if several else "",
        following=tuple(search.following),
    )


@dataclass(frozen=True)
class _Search:
    """The search for the last layers of one output, which visits a tensor once, however many paths lead to it."""

    view: View
    following: dict[str, None] = field(default_factory=dict)
    """The tensors that were visited, in order."""
    _found: dict[tuple[str, _Walk], list[_Layer]] = field(default_factory=dict)

    def layers_before(self, name: str, walk: _Walk) -> list[_Layer]:
        """Every last layer before this tensor; empty if a path reaches none."""
        visit = name, replace(walk, nodes=0)
        if visit not in self._found:
            self._found[visit] = self._find(name, walk)
        return self._found[visit]

    def _find(self, name: str, walk: _Walk) -> list[_Layer]:
        view = self.view
        node = view.producers.get(name)
        if node is None or name not in view.image_dependent or walk.nodes > STEPS:
            return []
        self.following[name] = None
        walk = replace(
            walk,
            scored=walk.scored or node.op_type in SCORE_OPERATORS,
            only_best=walk.only_best or node.op_type in SELECTING,
            normed=walk.normed or node.op_type == "BatchNormalization",
            nodes=walk.nodes + 1,
        )
        if _is_last_layer(view, node, walk):
            return [(node, walk)]
        data = view.data_inputs(node)
        if is_global_pool(view, node) and not walk.pool and not _averages_stacked(view, node):
            found = self.layers_before(data[0], replace(walk, pool=POOL_OPERATORS[node.op_type]))
            return [layer for layer in found if _applies_to_places(view, layer[0])]
        if data and _is_seen_through(view, node, walk):
            return self.layers_before(_scaled(view, data), walk)
        return self._combined(node, data, walk)

    def _combined(self, node: NodeProto, data: list[str], walk: _Walk) -> list[_Layer]:
        """The last layers whose scores this node adds, averages or concatenates; empty if it does none of these."""
        joins = node.op_type in ("Concat", "SequenceConstruct")
        if not joins and (node.op_type not in ("Add", "Sum", "Mean") or len(data) < 2):
            return []
        found = [self.layers_before(name, walk) for name in dict.fromkeys(data)]
        layers = list({id(layer): (layer, walk) for part in found for layer, walk in part}.values())
        same = joins or len({_width(self.view, layer) for layer, _ in layers}) == 1
        return layers if all(found) and same else []


def _read_by(view: View, node: NodeProto) -> str:
    """The tensor that a layer reads, before it is transposed for the layer."""
    name = view.data_inputs(node)[0]
    before = view.producers.get(name)
    transposed = before is not None and before.op_type == "Transpose" and view.rank(name) == 2
    return before.input[0] if before is not None and transposed else name


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


def _is_last_layer(view: View, node: NodeProto, walk: _Walk) -> bool:
    """Whether the node applies stored weights, and its output is one vector per image, if need be after a pool."""
    if node.op_type in CLASSIFIERS:
        return node.input[0] in view.image_dependent
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
        return view.rank(node.output[0]) in (2, None) or bool(walk.pool) or is_single(view, node.output[0])
    return is_single(view, node.output[0]) or (bool(walk.pool) and is_pointwise(view, weight))


def _width(view: View, node: NodeProto) -> int | None:
    """Number of values that a layer computes per image, or per place of it; None if unknown."""
    shape = view.shape(node.output[0])
    if shape is None:
        return None
    return shape[1] if node.op_type in CONVOLUTIONS else shape[-1]


def _width_read(view: View, node: NodeProto) -> int | None:
    """Number of values that a layer reads per image, according to its weights; None if unknown."""
    if node.op_type in CLASSIFIERS:
        return (view.shape(node.input[0]) or (None,))[-1]
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
    for _ in range(STEPS):
        node = view.producers.get(name)
        if node is None or node.op_type not in ("Cast", "Reshape"):
            return node is not None and node.op_type in ("MatMulInteger", "ConvInteger")
        name = node.input[0]
    return False
