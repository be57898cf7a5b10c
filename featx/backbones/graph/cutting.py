"""Finds where a network can be cut: tensors after which nothing else that depends on the image is needed."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from math import prod
from typing import Any

from onnx import NodeProto, TensorProto

from featx.backbones.graph.bottlenecks import FEATURE_TYPES, bottlenecks, nodes_to
from featx.backbones.graph.view import View

_JOINS = {"Add", "Sum", "Concat"}
"""Operators with which blocks of a network end: they join the branches of the block."""
_STATISTICS = {"BatchNormalization": (3, 4)}
"""Operators -> the places of their inputs that are running statistics, which no gradient changes."""
BYTES_OF_FLOAT16 = 2


@dataclass(frozen=True)
class Cut:
    """A tensor that every path from the image to the feature passes: what is before it can be frozen.

    >>> import featx
    >>> cut = featx.list_cuts(featx.load_backbone("efficientnet-lite0"))[-2]
    >>> cut.name, cut.shape, cut.map_bytes
    ('/_blocks.14/Add_output_0', (192, 7, 7), 18816)
    """

    name: str
    shape: tuple[int, ...]
    """The sides of one image's map, without the batch."""
    parameters: int
    """About how many numbers can be trained between this tensor and the feature.

    Masks count too, and weights that are read through another node, such as a Transpose, do not.
    """
    nodes: int
    """Nodes between this tensor and the feature."""

    @property
    def dim(self) -> int:
        """Numbers in the map of one image."""
        return prod(self.shape)

    @property
    def map_bytes(self) -> int:
        """Bytes of the map of one image in float16; twice as many in float32."""
        return BYTES_OF_FLOAT16 * self.dim

    def to_dict(self) -> dict[str, Any]:
        """The cut as plain JSON values, with the bytes of a map."""
        return asdict(self) | {"bytes": self.map_bytes}


def all_cuts(view: View, feature: str) -> tuple[Cut, ...]:
    """Every tensor of floats that all paths from the image to the feature pass, in order; the image comes first.

    Tensors of unknown shape are left out, and those without the batch as their first axis.
    """
    nodes = nodes_to(view, feature)
    places = {name: place for place, node in enumerate(nodes) for name in node.output}
    names = [view.image, *(found.name for found in bottlenecks(view, feature))]
    parameters = _parameters_from(view, nodes)
    cuts = []
    for name in dict.fromkeys(names):
        shape = _map_shape(view, name)
        if shape is not None:
            after = places.get(name, -1) + 1
            cuts.append(Cut(name, shape, parameters[after], len(nodes) - after))
    return tuple(cuts)


def sensible_cuts(view: View, feature: str) -> tuple[Cut, ...]:
    """Those cuts that are worth choosing from: the image, the end of every block, and the feature, in order.

    If cuts have no parameters between them, only the last is listed. A block ends where its branches are joined, where
    a map is pooled, and where a map is smaller than before and not larger than after. If no block ends before the
    feature, every cut is listed; if the size of the image is free, none.
    """
    cuts = all_cuts(view, feature)
    if not cuts or cuts[0].name != view.image:  # no map has a known size, since that of the image is free
        return ()
    image, *others = cuts
    runs = [tuple(run) for _, run in groupby(others, key=lambda one: one.parameters)]
    ends = _ends_of_branches(view, feature, runs) | _pooled(runs) | _smallest([image, *(run[-1] for run in runs)])
    shown = [run[-1] for run in runs[:-1] if run[-1].name in ends] or [run[-1] for run in runs[:-1]]
    return (image, *shown, *(run[-1] for run in runs[-1:]))


def _ends_of_branches(view: View, feature: str, runs: Sequence[Sequence[Cut]]) -> set[str]:
    """The last cuts of runs in which branches are joined."""
    joins = {
        name
        for node in nodes_to(view, feature)
        if node.op_type in _JOINS and len(set(view.data_inputs(node))) > 1
        for name in node.output
    }
    return {run[-1].name for run in runs if any(one.name in joins for one in run)}


def _pooled(runs: Sequence[Sequence[Cut]]) -> set[str]:
    """The last cuts of runs in which a map became smaller without any parameters."""
    return {run[-1].name for run in runs if run[-1].dim < run[0].dim}


def _smallest(cuts: Sequence[Cut]) -> set[str]:
    """The cuts whose maps are smaller than the one before and not larger than the one after."""
    return {
        one.name
        for before, one, after in zip(cuts, cuts[1:], cuts[2:], strict=False)
        if before.dim > one.dim <= after.dim
    }


def _map_shape(view: View, name: str) -> tuple[int, ...] | None:
    """The sides after the batch; None if one is unknown, if the batch is not first, or if these are not floats."""
    shape = view.shape(name)
    image = view.shape(view.image)
    if not shape or not image or len(shape) < 2 or shape[0] != image[0]:
        return None
    if view.elem_type(name) not in FEATURE_TYPES and name != view.image:
        return None
    sides = [side for side in shape[1:] if side is not None]
    return tuple(sides) if len(sides) == len(shape) - 1 else None


def _parameters_from(view: View, nodes: Sequence[NodeProto]) -> list[int]:
    """For each place in the nodes, and for their end, how many numbers that can be trained are read from there on.

    Numbers that two nodes share count once.
    """
    counts = [0]
    seen = set[str]()
    for node in reversed(nodes):
        new = set(_trainable(view, node)) - seen
        seen |= new
        counts.append(counts[-1] + sum(prod(view.weights[name].dims) for name in new))
    return counts[::-1]


def _trainable(view: View, node: NodeProto) -> Iterator[str]:
    """The stored tensors of floats that the node reads, without running statistics and without single numbers."""
    statistics = _STATISTICS.get(node.op_type, ())
    for place, name in enumerate(node.input):
        tensor = view.weights.get(name)
        if tensor is None or place in statistics or not prod(tensor.dims) or not tensor.dims:
            continue
        if tensor.data_type in FEATURE_TYPES - {TensorProto.UNDEFINED}:
            yield name


def crossing(view: View, feature: str, *, beside: str) -> list[str]:
    """The tensors, other than this one, that are needed for the feature once this one is known."""
    nodes = [node for node in nodes_to(view, feature) if node.op_type not in ("Shape", "Size")]
    place = next(place for place, node in enumerate(nodes) if beside in node.output)
    known = {view.image, *(name for node in nodes[: place + 1] for name in node.output)}
    later = [name for node in nodes[place + 1 :] for name in view.data_inputs(node)]
    return [name for name in dict.fromkeys(later) if name in known - {beside}]
