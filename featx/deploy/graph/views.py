"""Views of images inside a graph: it makes them, or is given them, and averages over them again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from featx.backbones import REDUCE_AXES_ARE_INPUTS
from featx.deploy.graph.nodes import Nodes
from featx.inputs import SYMMETRIES
from featx.settings import CENTER

_BEGINNING = np.iinfo(np.int64).min
"""What a Slice that runs backwards ends at, whatever the length of an axis."""


@dataclass(frozen=True)
class Axes:
    """Where the height and the width of images are in a tensor."""

    height: int
    width: int


def can_make(views: Sequence[str]) -> bool:
    """Whether a graph can make all these views from the pixels of view 0: mirrors and turns, but no other crops."""
    return all(view == CENTER or view in SYMMETRIES for view in views)


def stack_views(nodes: Nodes, images: str, *, sides: Sequence[int]) -> str:
    """The views (views x n, *sides) of images (n, views, *sides), all images of the first view first."""
    by_view = nodes.add("Transpose", images, perm=[1, 0, 2, 3, 4])
    return nodes.add("Reshape", by_view, nodes.integers(-1, *sides))


def add_views(nodes: Nodes, images: str, views: Sequence[str], *, axes: Axes) -> str:
    """The views (views x n, ...) of images (n, ...), all images of the first view first."""
    parts = [images if view == CENTER else _MAKING[view](nodes, images, axes) for view in views]
    return nodes.add("Concat", *parts, axis=0)


def mean_over_views(nodes: Nodes, rows: str, *, count: int, columns: int) -> str:
    """The mean (n, columns) over the views of rows (count x n, columns), in the order of `add_views`."""
    return _over_views(nodes, "ReduceMean", rows, count=count, columns=columns)


def pool_scores(nodes: Nodes, scores: str, *, count: int, classes: int, multilabel: bool) -> str:
    """The class scores (n, classes) of images from those of their views, as `featx.measures.pool_views` gives them.

    They are logarithms in float64: in float32 a probability far below that of another class would be 0, and lost to the
    temperature by which scores are divided afterwards.
    """
    wide = nodes.wide(scores)
    if multilabel:
        present, absent = (
            _over_views(nodes, "ReduceLogSumExp", _log_sigmoid(nodes, one), count=count, columns=classes)
            for one in (wide, nodes.add("Neg", wide))
        )
        return nodes.narrow(nodes.add("Sub", present, absent))
    logarithms = nodes.add("LogSoftmax", wide, axis=1)
    total = _over_views(nodes, "ReduceLogSumExp", logarithms, count=count, columns=classes)
    return nodes.narrow(nodes.add("Sub", total, nodes.store(np.array([np.log(count)]))))


def _over_views(nodes: Nodes, operator: str, rows: str, *, count: int, columns: int) -> str:
    """What a reduction gives over the views of each image, (n, columns)."""
    stacked = nodes.add("Reshape", rows, nodes.integers(count, -1, columns))
    if nodes.opset >= REDUCE_AXES_ARE_INPUTS:
        return nodes.add(operator, stacked, nodes.integers(0), keepdims=0)
    return nodes.add(operator, stacked, axes=[0], keepdims=0)


def _log_sigmoid(nodes: Nodes, scores: str) -> str:
    """log(1 / (1 + exp(-scores))) of numbers in float64, exact for large ones too."""
    negative = nodes.add("Relu", nodes.add("Neg", scores))
    small = nodes.add("Exp", nodes.add("Neg", nodes.add("Abs", scores)))
    rest = nodes.add("Log", nodes.add("Add", small, nodes.store(np.array([1.0]))))
    return nodes.add("Neg", nodes.add("Add", negative, rest))


def _backwards(nodes: Nodes, images: str, *axes: int) -> str:
    """The images with these axes in the opposite order."""
    count = len(axes)
    starts = nodes.integers(*[-1] * count)
    ends = nodes.integers(*[_BEGINNING] * count)
    return nodes.add("Slice", images, starts, ends, nodes.integers(*axes), nodes.integers(*[-1] * count))


def _transposed(nodes: Nodes, images: str, axes: Axes) -> str:
    """The images with height and width exchanged."""
    order = [*range(4)]
    order[axes.height], order[axes.width] = axes.width, axes.height
    return nodes.add("Transpose", images, perm=order)


_MAKING: Mapping[str, Callable[[Nodes, str, Axes], str]] = {
    "hflip": lambda nodes, images, axes: _backwards(nodes, images, axes.width),
    "vflip": lambda nodes, images, axes: _backwards(nodes, images, axes.height),
    "rot90": lambda nodes, images, axes: _backwards(nodes, _transposed(nodes, images, axes), axes.height),
    "rot180": lambda nodes, images, axes: _backwards(nodes, images, axes.height, axes.width),
    "rot270": lambda nodes, images, axes: _backwards(nodes, _transposed(nodes, images, axes), axes.width),
    "transpose": _transposed,
    "transverse": lambda nodes, images, axes: _transposed(
        nodes, _backwards(nodes, images, axes.height, axes.width), axes
    ),
}
"""Mirror or turn -> what adds its nodes, as `featx.inputs.SYMMETRIES` does it with pixels."""
