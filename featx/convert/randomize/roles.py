"""Finds what each stored tensor of a graph is to its layers, and how such a tensor is drawn before any training.

Weights of layers have mean 0 and variance 2 / fan-in before a rectifier (He et al. 2015, equation 10) and 1 / fan-in
elsewhere; biases are 0; normalisations have scale 1, shift 0, mean 0 and variance 1; embeddings of places and class
tokens have deviation 0.02 (Dosovitskiy et al. 2021, as in their code). What a network was trained to is used nowhere:
weights with the mean and deviation of the trained ones would explode or fade, because exporters fold batch norms, with
the variances that they saw, into weights and biases.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod, sqrt

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.external_data_helper import uses_external_data

from featx.backbones import View
from featx.errors import BackboneError

DRAWN_TYPES = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE}
EMBEDDING_DEVIATION = 0.02

_LAYERS = {"Conv": 1, "FusedConv": 1, "ConvTranspose": 1, "Gemm": 1, "FusedGemm": 1, "MatMul": 1, "FusedMatMul": 1}
"""Linear layers -> the input that contains their weights; those that multiply matrices may have them on either side."""
_OTHER_LAYERS = {
    *("MatMulNBits", "Einsum", "LSTM", "GRU", "RNN", "Attention", "MultiHeadAttention", "PackedAttention"),
    *("LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier", "TreeEnsemble", "DeformConv"),
    *("SkipLayerNormalization", "EmbedLayerNormalization", "BiasGelu", "FastGelu", "QAttention"),
}
"""Operators with weights of their own kinds, which are not drawn anew."""
_SCALES_AND_SHIFTS = {
    "BatchNormalization": (1.0, 0.0, 0.0, 1.0),
    "LayerNormalization": (1.0, 0.0),
    "SimplifiedLayerNormalization": (1.0,),
    "RMSNormalization": (1.0,),
    "GroupNormalization": (1.0, 0.0),
    "InstanceNormalization": (1.0, 0.0),
    "PRelu": (0.25,),
}
"""Operator -> what its second and further inputs are before training."""
_RECTIFIERS = {
    *("Relu", "Clip", "LeakyRelu", "PRelu", "ThresholdedRelu", "Elu", "Selu", "Celu", "Softplus"),
    *("HardSwish", "Gelu", "QuickGelu", "Mish", "Swish"),
}
_SAME_TENSOR = {
    *("Identity", "Cast", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten"),
    *("Expand", "Tile", "Slice", "Split", "Gather"),
}
"""Operators that keep the values of a tensor, or some of them."""
_OF_FIRST = _SAME_TENSOR | {"Resize", "Upsample", "Clip", "Pad"}
"""Operators whose further inputs only say what is done with the first one."""
_ARITHMETIC = {"Add", "Sub", "Mul", "Div"}
_JOINING = _ARITHMETIC | {"Concat"}
_KEEPING_CONSTANTS = {
    *_ARITHMETIC,
    *("Concat", "Where", "Pow", "Max", "Min", "Resize", "Pad", "Clip", "Equal", "Greater", "Less", "Mod"),
}
"""Operators that may read a stored table that is no weight, such as a mask."""
_FARTHEST = 6
"""Number of nodes after a layer among which its rectifier is looked for."""


@dataclass(frozen=True)
class Distribution:
    """A normal distribution; with deviation 0, the constant `mean`."""

    mean: float
    deviation: float = 0.0


def find_distributions(view: View) -> dict[str, Distribution]:
    """Name of each stored tensor that training changes -> how it is drawn before training, in the graph's order.

    Constants before the first layer, such as the normalisation of pixels, single numbers, and tables of at most two
    values, such as masks, are not among them. Raises BackboneError if the graph has no layers with stored weights, or a
    layer whose weights cannot be drawn.
    """
    return _Graph(view).distributions()


def stored_tensors(graph: GraphProto) -> dict[str, TensorProto]:
    """Name -> the stored tensor: initializers and Constant nodes, also of graphs inside nodes."""
    found = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                found[node.output[0]] = attribute.t
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                found |= stored_tensors(inner)
    return found


@dataclass(frozen=True)
class _Graph:
    """A graph whose stored tensors have the role of what reads them."""

    view: View

    @cached_property
    def nodes(self) -> list[NodeProto]:
        """All nodes in an order in which each follows those that it reads; those inside a node come before it."""
        return list(_all_nodes(self.view.graph))

    @cached_property
    def stored(self) -> dict[str, TensorProto]:
        """Name -> the stored tensor that can be drawn."""
        tensors = stored_tensors(self.view.graph)
        return {name: tensor for name, tensor in tensors.items() if tensor.data_type in DRAWN_TYPES}

    @cached_property
    def consumers(self) -> dict[str, list[NodeProto]]:
        """Tensor -> the nodes that read it."""
        found: dict[str, list[NodeProto]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.input):
                found.setdefault(name, []).append(node)
        return found

    @cached_property
    def moving(self) -> set[str]:
        """Tensors whose values depend on the image."""
        return self._reached_from([self.view.image])

    @cached_property
    def learnt(self) -> set[str]:
        """Tensors that follow a layer, and depend on the image."""
        layers = [node for node in self.nodes if node.op_type in _LAYERS and self.moving & {*node.input}]
        return self._reached_from([name for node in layers for name in node.output])

    @cached_property
    def origins(self) -> dict[str, frozenset[str]]:
        """Tensor that does not depend on the image -> the stored tensors that it is, or is computed from."""
        found = {name: frozenset([name]) for name in self.stored}
        for node in self.nodes:
            read = node.input[:1] if node.op_type in _OF_FIRST else node.input
            known = [found[name] for name in read if name in found]
            if known and node.op_type in _OF_FIRST | _JOINING and not self.moving & {*node.input}:
                found |= dict.fromkeys(node.output, frozenset().union(*known))
        return found

    def _main_origin(self, name: str) -> str:
        """The largest of the stored tensors that this tensor is computed from."""
        return max(self.origins[name], key=lambda origin: prod(self.stored[origin].dims))

    def _reached_from(self, names: Iterable[str]) -> set[str]:
        reached = set(names)
        for node in self.nodes:
            inner = {value.name for graph in _graphs_in(node) for value in graph.output}
            if node.op_type not in ("Shape", "Size") and reached & {*node.input, *inner}:
                reached.update(filter(None, node.output))
        return reached

    def distributions(self) -> dict[str, Distribution]:
        """How each tensor that training changes is drawn; what a layer multiplies by goes before what is added."""
        found: dict[str, Distribution] = {}
        for kind in (self._weights, self._scales_and_shifts, self._added_or_joined):
            for node in self.nodes:
                if self.moving & {*node.input}:
                    found = dict(kind(node)) | found
        if not any(one.deviation for one in found.values()):
            raise BackboneError("its graph has no layers with stored weights, so there is nothing to draw")
        self._check_rest(found)
        return {name: found[name] for name in self.stored if name in found}

    def _weights(self, node: NodeProto) -> Iterator[tuple[str, Distribution]]:
        """The weights and the bias of a layer."""
        if node.op_type in _OTHER_LAYERS:
            raise BackboneError(
                f"its weights in {_named(node)} cannot be drawn anew; use a backbone without such layers"
            )
        if node.op_type not in _LAYERS:
            return
        places = (1,) if "Conv" in node.op_type else (1, 0)
        place = next((place for place in places if node.input[place] not in self.moving), None)
        if place is None:
            return  # a product of two tensors that both depend on the image, as in attention
        name = node.input[place]
        if name not in self.origins:
            raise BackboneError(
                f"the weights of {_named(node)} are not stored as such; export it with constants folded"
            )
        fan_in = _fan_in(node, place, self._shape(name))
        yield self._main_origin(name), Distribution(0.0, sqrt(self._gain(node.output[0]) / max(1.0, fan_in)))
        if len(node.input) > 2 and node.input[2] in self.origins:
            yield self._main_origin(node.input[2]), Distribution(0.0)

    def _scales_and_shifts(self, node: NodeProto) -> Iterator[tuple[str, Distribution]]:
        """The parameters of a normalisation or of a rectifier."""
        if node.input[0] not in self.learnt:
            return
        for name, value in zip(node.input[1:], _SCALES_AND_SHIFTS.get(node.op_type, ()), strict=False):
            if name in self.origins:
                yield self._main_origin(name), Distribution(value)

    def _added_or_joined(self, node: NodeProto) -> Iterator[tuple[str, Distribution]]:
        """Biases, scales, embeddings and tokens: what arithmetic or Concat joins to what follows a layer."""
        if not self.learnt & {*node.input}:
            return
        for name in node.input:
            found = self._joined_by(node, vector=_is_vector(self._shape(name))) if name in self.origins else None
            if found is None:
                continue
            for origin in sorted(self.origins[name]):
                if prod(self.stored[origin].dims) > 1 and not _is_mask(self.stored[origin]):
                    yield origin, found

    def _joined_by(self, node: NodeProto, *, vector: bool) -> Distribution | None:
        if node.op_type in ("Mul", "Div"):
            return Distribution(1.0) if vector else None
        if node.op_type == "Concat" or (node.op_type in ("Add", "Sub") and not vector):
            return Distribution(0.0, EMBEDDING_DEVIATION)
        return Distribution(0.0) if node.op_type in ("Add", "Sub") else None

    def _gain(self, name: str, steps: int = _FARTHEST) -> float:
        """2 if a rectifier follows, which loses half of the squares that it reads; else 1."""
        readers = self.consumers.get(name, ())
        if any(self._rectifies(node, readers) for node in readers):
            return 2.0
        further = [node for node in readers if self._keeps_sign(node)] if steps else []
        return max((self._gain(node.output[0], steps - 1) for node in further), default=1.0)

    def _rectifies(self, node: NodeProto, readers: Sequence[NodeProto]) -> bool:
        """Whether the node is a rectifier, or the product of a tensor with a function of it, as Swish and GELU are."""
        gated = node.op_type == "Mul" and {*node.input} <= self.moving and len(readers) > 1
        return node.op_type in _RECTIFIERS or gated

    def _keeps_sign(self, node: NodeProto) -> bool:
        """Whether the node adds a constant, normalises, or keeps all values."""
        adds_constant = node.op_type == "Add" and not {*node.input} <= self.moving
        return adds_constant or node.op_type in _SAME_TENSOR or node.op_type in _SCALES_AND_SHIFTS

    def _check_rest(self, found: Mapping[str, Distribution]) -> None:
        """Refuse a graph of which a table of numbers would stay, unless it is no weight."""
        for node in self.nodes:
            for name in node.input if self.learnt & {*node.input} else ():
                if name not in self.origins or node.op_type in _KEEPING_CONSTANTS | _SAME_TENSOR:
                    continue
                origin = self._main_origin(name)
                tensor = self.stored[origin]
                if origin not in found and not _is_vector(tensor.dims) and not _is_mask(tensor):
                    raise BackboneError(f"featx does not know how {_named(node)} uses {origin!r}; use another backbone")

    def _shape(self, name: str) -> Sequence[int | None]:
        return self.view.shape(name) or tuple(self.stored[self._main_origin(name)].dims)


def _all_nodes(graph: GraphProto) -> Iterator[NodeProto]:
    for node in graph.node:
        for inner in _graphs_in(node):
            yield from _all_nodes(inner)
        yield node


def _graphs_in(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _named(node: NodeProto) -> str:
    return f"{node.name or node.output[0]!r} ({node.op_type})"


def _is_vector(shape: Sequence[int | None]) -> bool:
    return sum(side != 1 for side in shape) < 2


def _is_mask(tensor: TensorProto) -> bool:
    """Whether the tensor is a table of at most two different values, as masks and padding are."""
    few = not uses_external_data(tensor) and len(np.unique(numpy_helper.to_array(tensor))) < 3
    return few and not _is_vector(tensor.dims)


def _fan_in(node: NodeProto, place: int, shape: Sequence[int | None]) -> float:
    """Number of values that the layer sums up for each of its outputs."""
    sides = [side or 1 for side in shape]
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if node.op_type == "ConvTranspose":
        return prod(sides) / sides[1] / float(given.get("group", 1))
    if "Conv" in node.op_type:
        return float(prod(sides[1:]))
    last = place == 0
    if given.get("transA" if last else "transB", 0):
        last = not last
    return float(sides[-1] if last or len(sides) < 2 else sides[-2])
