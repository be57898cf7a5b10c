"""Finds out whether a graph normalises pixels itself before its first layer, and which range of pixels it takes.

Nodes that do the same with every pixel, apart from its channel, are composed: scale times pixel plus shift.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto

from featx.backbones.graph.constants import Constants
from featx.backbones.graph.view import View, attributes

Range = Literal["0 to 255", "0 to 1", "-1 to 1", "unknown"]
Vector = NDArray[np.float64]

_SAME_PIXELS = {"Cast", "Identity", "Dropout", "Resize", "Upsample", "QuantizeLinear", "DequantizeLinear"}
"""Operators that change neither the scale of pixels nor their axes; integers stand for the numbers they are of."""
_SHAPES_ONLY = {"Shape", "Size"}
_MOST = 64
"""Largest number of channels, and of operators after each other."""
_NEAR = 0.25
"""A scale this near to 1 with a shift this near to 0 does not count as a normalisation."""
_LARGEST = 5.0
"""Largest absolute value of normalised pixels."""
_NARROWEST = 0.9
"""Smallest width of the range of normalised pixels, which is 1 if they are divided by 255 only."""
_USUAL_MEANS = np.array([123.7, 116.6, 103.7])
"""Means of red, green and blue over ImageNet, from which those of all libraries differ by less than 1."""
_IMAGENET_ENDS = np.array([[-2.118, -2.036, -1.804], [2.249, 2.429, 2.640]])
"""The least and the largest pixel of each channel after normalisation by ImageNet's mean and standard deviation."""


@dataclass(frozen=True)
class Normalisation:
    """The normalisation of pixels that a graph does itself."""

    operators: tuple[str, ...]
    """The operators that change pixels, in their order."""
    takes: Range
    """The range of the pixels that the graph takes."""
    scale: tuple[float, ...]
    """What each channel is multiplied by, in total."""
    shift: tuple[float, ...]
    """What is then added to each channel."""
    channels: Literal["", "RGB", "BGR"] = ""
    """The order of the channels, if the means are those of ImageNet or Caffe; else empty."""

    def __str__(self) -> str:
        """What the graph does and takes, in words."""
        taken = "in a range that featx does not know" if self.takes == "unknown" else f"from {self.takes}"
        order = ", in the order blue, green, red, as its means say" if self.channels == "BGR" else ""
        return f"the model normalises them itself ({', '.join(self.operators)}) and takes them {taken}{order}"


@dataclass(frozen=True)
class _Pixels:
    """A tensor each of whose values is scale times the pixel of the image plus shift."""

    scale: Vector
    shift: Vector
    axis: int | None
    """The axis of the channels; None if one channel was taken without its axis."""
    source: NDArray[np.int64]
    """The channel of the image from which each channel is."""
    operators: tuple[str, ...] = ()

    def then(self, operator: str, scale: Vector | float, shift: Vector | float) -> "_Pixels":
        """The pixels after a further scale and shift."""
        return replace(
            self,
            scale=self.scale * scale,
            shift=self.shift * scale + shift,
            operators=(*self.operators, operator),
        )

    def is_long(self) -> bool:
        """Whether it has more channels or operators than any normalisation; their number could double at each node."""
        return len(self.scale) > _MOST or len(self.operators) > _MOST

    def is_like(self, other: "_Pixels") -> bool:
        """Whether another tensor has the same channels in the same scale."""
        mine, others = (np.stack([one.scale, one.shift, one.source]) for one in (self, other))
        return mine.shape == others.shape and bool(np.allclose(mine, others))

    def choose(self, chosen: Any) -> "_Pixels":
        """Some of the channels, or all in another order."""
        return replace(self, scale=self.scale[chosen], shift=self.shift[chosen], source=self.source[chosen])


def find_normalisation(view: View, *, channels: int, axis: int) -> Normalisation | None:
    """The normalisation between the image and the first layer; None if there is none.

    `axis` is that of the channels of the image input.
    """
    with np.errstate(all="ignore"):
        ends = _Walk(view, channels, axis).ends()
        if not ends or not all(ends[0].is_like(one) for one in ends[1:]):
            return None
        pixels = ends[0]
        takes = _range_of(pixels.scale, pixels.shift) if np.isfinite([pixels.scale, pixels.shift]).all() else None
        if takes is None:
            return None
        order = _order_of(pixels, takes)
    scale, shift = (tuple(values.tolist()) for values in (pixels.scale, pixels.shift))
    return Normalisation(pixels.operators, takes, scale, shift, order)


def _range_of(scale: Vector, shift: Vector) -> Range | None:
    """The range of pixels for which this is a usual normalisation; None if it is none."""
    if (_all_near(scale, 1) and _all_near(shift, 0)) or _takes_imagenet(scale, shift):
        return None
    least, largest = _ends(scale, shift, 0, 1)
    only_mean = _between(scale, 0.5, 2) and _between(shift, -220, -30)
    usual: dict[Range, bool] = {
        "0 to 255": only_mean or _is_normalised(*_ends(scale, shift, 0, 255)),
        "0 to 1": _between(scale, 200, 300) or (_is_normalised(least, largest) and bool(least.max() < 0)),
        "-1 to 1": _between(scale, 110, 140) and _between(shift, 100, 140),
    }
    return next((one for one, fits in usual.items() if fits), "unknown")


def _order_of(pixels: _Pixels, takes: Range) -> Literal["", "RGB", "BGR"]:
    """The order of the image's channels, if the means that are subtracted are those of red, green and blue."""
    means = -pixels.shift / pixels.scale * (255 if takes == "0 to 1" else 1)
    by_channel = means[np.argsort(pixels.source)]
    if by_channel.shape != _USUAL_MEANS.shape or takes not in ("0 to 255", "0 to 1"):
        return ""
    if np.allclose(by_channel, _USUAL_MEANS, atol=1.5, rtol=0):
        return "RGB"
    return "BGR" if np.allclose(by_channel, _USUAL_MEANS[::-1], atol=1.5, rtol=0) else ""


def _ends(scale: Vector, shift: Vector, low: float, high: float) -> tuple[Vector, Vector]:
    """The least and the largest value of each channel for pixels between low and high."""
    both = np.stack([scale * low + shift, scale * high + shift])
    return both.min(axis=0), both.max(axis=0)


def _is_normalised(least: Vector, largest: Vector) -> bool:
    wide = (largest - least).min() >= _NARROWEST
    return bool(wide and least.min() >= -_LARGEST and largest.max() <= _LARGEST)


def _all_near(values: Vector, wanted: float) -> bool:
    return bool(np.abs(values - wanted).max() < _NEAR)


def _between(values: Vector, low: float, high: float) -> bool:
    return bool(values.min() >= low and values.max() <= high)


def _takes_imagenet(scale: Vector, shift: Vector) -> bool:
    """Whether the graph turns pixels that are normalised as for ImageNet into -1 to 1, as torchvision's Inception."""
    if len(scale) != _IMAGENET_ENDS.shape[1]:
        return False
    return bool(np.allclose(_IMAGENET_ENDS * scale + shift, [[-1] * 3, [1] * 3], atol=0.1))


class _Walk:
    """Follows the image through the graph as long as each node does the same with every pixel."""

    def __init__(self, view: View, channels: int, axis: int) -> None:
        self.graph = view.graph
        self.constants = Constants(view)
        self.pixels = {view.image: _Pixels(np.ones(channels), np.zeros(channels), axis, np.arange(channels))}
        self.rules: dict[str, Callable[[NodeProto], Sequence[_Pixels] | None]] = {
            **dict.fromkeys(_SAME_PIXELS, lambda node: [self.pixels[node.input[0]]]),
            **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Sum"), self._arithmetic),
            "Neg": lambda node: [self.pixels[node.input[0]].then("Neg", -1, 0)],
            "BatchNormalization": self._batch_normalization,
            "Conv": self._conv,
            "Transpose": self._transpose,
            "Gather": self._gather,
            "Slice": self._slice,
            "Split": self._split,
            "Concat": self._concat,
            "Squeeze": self._squeeze,
            "Unsqueeze": self._unsqueeze,
        }

    def ends(self) -> list[_Pixels]:
        """The tensors that the first layers read."""
        return list(self._ends())

    def _ends(self) -> Iterator[_Pixels]:
        for node in self.graph.node:
            read = [name for name in node.input if name in self.pixels]
            if not read or node.op_type in _SHAPES_ONLY:
                continue
            made = self._apply(node)
            if made is None:
                yield from (self.pixels[name] for name in read)
            else:
                self.pixels.update(zip(node.output, made, strict=False))

    def _apply(self, node: NodeProto) -> Sequence[_Pixels] | None:
        """What the node makes of the pixels; None if it is not the same for every pixel."""
        rule = self.rules.get(node.op_type)
        try:
            made = rule(node) if rule and node.domain in ("", "ai.onnx") else None
            return None if made is None or any(one.is_long() for one in made) else made
        except (IndexError, KeyError, ValueError, TypeError):
            return None  # a node that its operator does not allow, which ONNX Runtime will refuse

    def _arithmetic(self, node: NodeProto) -> list[_Pixels] | None:
        left, right = node.input
        if left in self.pixels and right in self.pixels:
            return None
        pixels = self.pixels[left if left in self.pixels else right]
        values = self._per_channel(right if left in self.pixels else left, pixels)
        if values is None:
            return None
        if node.op_type == "Mul":
            return [pixels.then("Mul", values, 0)]
        if node.op_type == "Div":
            return [pixels.then("Div", 1 / values, 0)] if left in self.pixels else None
        if node.op_type == "Sub":
            return [pixels.then("Sub", 1, -values) if left in self.pixels else pixels.then("Sub", -1, values)]
        return [pixels.then("Add", 1, values)]

    def _per_channel(self, name: str, pixels: _Pixels) -> Vector | None:
        """A constant as one number for each channel, the mean if it differs between pixels; None if it is none."""
        values = self.constants.get(name)
        if values is None or values.ndim > 4 or values.dtype.kind not in "fiu" or not values.size:
            return None
        if pixels.axis is None:
            return np.full(1, values.mean())
        spread = values.astype(np.float64).reshape((1,) * (4 - values.ndim) + values.shape)
        others = tuple(place for place in range(4) if place != pixels.axis)
        return np.asarray(np.broadcast_to(spread.mean(axis=others), pixels.scale.shape))

    def _batch_normalization(self, node: NodeProto) -> list[_Pixels] | None:
        pixels = self.pixels[node.input[0]]
        read = [self.constants.get(name) for name in node.input[1:5]]
        said = attributes(node)
        if pixels.axis != 1 or said.get("training_mode") or any(one is None for one in read):
            return None
        scale, bias, mean, variance = (np.asarray(one, np.float64).reshape(pixels.scale.shape) for one in read)
        factor = scale / np.sqrt(variance + said.get("epsilon", 1e-5))
        return [pixels.then("BatchNormalization", factor, bias - mean * factor)]

    def _conv(self, node: NodeProto) -> list[_Pixels] | None:
        """A convolution of 1 x 1 that makes each channel from a single one."""
        pixels = self.pixels[node.input[0]]
        weights = self.constants.get(node.input[1])
        count = len(pixels.scale)
        groups = attributes(node).get("group", 1)
        if pixels.axis != 1 or weights is None or weights.shape != (count, count // groups, 1, 1):
            return None
        matrix = weights.reshape(count, -1).astype(np.float64)
        if groups == count:
            matrix = np.diag(matrix[:, 0])
        if groups not in (1, count) or (np.count_nonzero(matrix, axis=1) != 1).any():
            return None
        chosen = np.abs(matrix).argmax(axis=1)
        bias = self._per_row(node.input[2:3], count)
        return None if bias is None else [pixels.choose(chosen).then("Conv", matrix[np.arange(count), chosen], bias)]

    def _per_row(self, names: Sequence[str], count: int) -> Vector | None:
        """The bias of a convolution, zeros if it has none; None if it is no constant."""
        if not any(names):
            return np.zeros(count)
        bias = self.constants.get(names[0])
        return None if bias is None else bias.astype(np.float64).reshape(count)

    def _transpose(self, node: NodeProto) -> list[_Pixels] | None:
        pixels = self.pixels[node.input[0]]
        order = list(attributes(node).get("perm", range(3, -1, -1)))
        return None if pixels.axis is None else [replace(pixels, axis=order.index(pixels.axis))]

    def _gather(self, node: NodeProto) -> list[_Pixels] | None:
        pixels = self.pixels[node.input[0]]
        chosen = self.constants.get(node.input[1])
        if chosen is None or pixels.axis is None or attributes(node).get("axis", 0) % 4 != pixels.axis:
            return None
        if chosen.ndim == 0:
            return [replace(pixels.choose(chosen.reshape(1)), axis=None)]
        return [pixels.choose(chosen)] if chosen.ndim == 1 else None

    def _slice(self, node: NodeProto) -> list[_Pixels] | None:
        """Some channels, or all in reverse; a crop of the image changes nothing here."""
        pixels = self.pixels[node.input[0]]
        starts, ends, axes, steps = self._slice_settings(node)
        if starts is None or ends is None or pixels.axis is None:
            return None
        places = range(len(starts)) if axes is None else axes.tolist()
        strides = [1] * len(starts) if steps is None else steps.tolist()
        for place, start, end, step in zip(places, starts.tolist(), ends.tolist(), strides, strict=True):
            if place % 4 == pixels.axis:
                pixels = pixels.choose(_stretch(start, end, step, len(pixels.scale)))
        return [pixels]

    def _slice_settings(self, node: NodeProto) -> list[NDArray[Any] | None]:
        """Starts, ends, axes and steps of a Slice, which had attributes before opset 10."""
        said = attributes(node)
        if "starts" in said:
            return [np.array(said[key]) if key in said else None for key in ("starts", "ends", "axes", "steps")]
        names = [*node.input[1:], "", "", "", ""][:4]
        found = [self.constants.get(name) if name else None for name in names]
        computed = any(name and one is None for name, one in zip(names, found, strict=True))
        return [None] * 4 if computed else found

    def _split(self, node: NodeProto) -> list[_Pixels] | None:
        pixels = self.pixels[node.input[0]]
        said = attributes(node)
        if pixels.axis is None or said.get("axis", 0) % 4 != pixels.axis:
            return None
        sizes = self.constants.get(node.input[1]) if len(node.input) > 1 else said.get("split")
        if sizes is None:
            sizes = [len(pixels.scale) // len(node.output)] * len(node.output)
        edges = [0, *np.cumsum(sizes).tolist()]
        return [pixels.choose(slice(start, end)) for start, end in pairwise(edges)]

    def _concat(self, node: NodeProto) -> list[_Pixels] | None:
        parts = [self.pixels[name] for name in node.input]
        axis = attributes(node)["axis"] % 4
        if any(part.axis != axis for part in parts):
            return None
        return [
            _Pixels(
                np.concatenate([part.scale for part in parts]),
                np.concatenate([part.shift for part in parts]),
                axis,
                np.concatenate([part.source for part in parts]),
                max((part.operators for part in parts), key=len),
            )
        ]

    def _squeeze(self, node: NodeProto) -> list[_Pixels] | None:
        pixels = self.pixels[node.input[0]]
        axes = self._axes(node)
        return [replace(pixels, axis=None)] if len(pixels.scale) == 1 and axes == [pixels.axis] else None

    def _unsqueeze(self, node: NodeProto) -> list[_Pixels] | None:
        pixels = self.pixels[node.input[0]]
        axes = self._axes(node)
        return [replace(pixels, axis=axes[0])] if pixels.axis is None and len(axes) == 1 else None

    def _axes(self, node: NodeProto) -> list[int]:
        """The axes of a Squeeze or Unsqueeze of four axes, which were attributes before opset 13."""
        axes = self.constants.get(node.input[1]) if len(node.input) > 1 else attributes(node).get("axes")
        return [] if axes is None else [int(axis) % 4 for axis in np.asarray(axes).ravel()]


def _stretch(start: int, end: int, step: int, count: int) -> NDArray[np.int64]:
    """The places that a Slice takes of `count`; its ends may lie far outside."""
    return np.arange(count)[start : None if step < 0 and end < -count else end : step]
