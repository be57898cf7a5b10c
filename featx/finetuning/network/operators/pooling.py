"""Pooling over windows, and over whole maps."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from featx.finetuning.network.operators.convolutions import pad_sides, padding, windows
from featx.finetuning.network.operators.registry import Call, Tensor, UnsupportedError, operator

_MAXIMA = {3: functional.max_pool1d, 4: functional.max_pool2d, 5: functional.max_pool3d}
_MEANS = {3: functional.avg_pool1d, 4: functional.avg_pool2d, 5: functional.avg_pool3d}


@operator("GlobalAveragePool")
def _global_mean(call: Call) -> Tensor:
    return call[0].mean(dim=tuple(range(2, call[0].ndim)), keepdim=True)


@operator("GlobalMaxPool")
def _global_max(call: Call) -> Tensor:
    return call[0].amax(dim=tuple(range(2, call[0].ndim)), keepdim=True)


@operator("MaxPool")
def _max_pool(call: Call) -> Tensor:
    if len(call.node.outputs) > 1 and call.node.outputs[1]:
        raise UnsupportedError("the places of the maxima")
    data = call[0]
    kernel, strides, dilations, pads = _window(call)
    ceil = bool(call.attribute("ceil_mode", 0))
    data, inner = _padded(data, pads, kernel=kernel, value=-torch.inf)
    return _MAXIMA[data.ndim](data, kernel, stride=strides, padding=inner, dilation=dilations, ceil_mode=ceil)


@operator("AveragePool")
def _average_pool(call: Call) -> Tensor:
    data = call[0]
    kernel, strides, dilations, pads = _window(call)
    if set(dilations) != {1}:
        raise UnsupportedError("dilations of a mean")
    ceil = bool(call.attribute("ceil_mode", 0))
    counted = bool(call.attribute("count_include_pad", 0))
    pool = _MEANS[data.ndim]
    settings: dict[str, Any] = {"stride": strides, "ceil_mode": ceil}
    padded, inner = _padded(data, pads, kernel=kernel, value=0.0)
    if padded is data or counted:
        return pool(padded, kernel, padding=inner, count_include_pad=counted, **settings)
    inside, _ = _padded(torch.ones_like(data[:1, :1]), pads, kernel=kernel, value=0.0)
    return pool(padded, kernel, **settings) / pool(inside, kernel, **settings)


def _window(call: Call) -> tuple[list[int], list[int], list[int], list[int]]:
    """Kernel, strides, dilations and pads of the node's windows."""
    data = call[0]
    kernel = list(call.attribute("kernel_shape"))
    strides, dilations = windows(call, len(kernel))
    pads = padding(call, data.shape[2:], kernel=kernel, strides=strides, dilations=dilations)
    if call.attribute("ceil_mode", 0) and not _pads_inside(pads, kernel):
        reaches = [dilation * (length - 1) + 1 for length, dilation in zip(kernel, dilations, strict=True)]
        pads = _without_windows_in_padding(pads, data.shape[2:], reaches=reaches, strides=strides)
    return kernel, strides, dilations, pads


def _without_windows_in_padding(
    pads: Sequence[int], sides: Sequence[int], *, reaches: Sequence[int], strides: Sequence[int]
) -> list[int]:
    """The pads, less after an axis where a window of `ceil_mode` would begin in them: ONNX has no such window."""
    rank = len(sides)
    after = []
    for place, (side, reach, stride) in enumerate(zip(sides, reaches, strides, strict=True)):
        before, more = pads[place], pads[rank + place]
        count = max(0, -(-(side + before + more - reach) // stride)) + 1
        count -= (count - 1) * stride >= side + before
        after.append(min(more, max((count - 1) * stride + reach - side - before, 0)))
    return [*pads[:rank], *after]


def _pads_inside(pads: Sequence[int], kernel: Sequence[int]) -> bool:
    """Whether torch can pad so inside its pooling."""
    rank = len(kernel)
    fits = all(2 * pad <= length for pad, length in zip(pads, kernel, strict=False))
    return list(pads[:rank]) == list(pads[rank:]) and fits


def _padded(data: Tensor, pads: list[int], *, kernel: list[int], value: float) -> tuple[Tensor, list[int]]:
    """The map, padded if torch cannot do that inside its pooling; and what torch shall pad."""
    rank = len(kernel)
    if _pads_inside(pads, kernel):
        return data, pads[:rank]
    return pad_sides(data, pads, value=value), [0] * rank
