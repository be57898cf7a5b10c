"""Convolutions, and how windows are padded."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from featx.finetuning.network.operators.registry import Call, Tensor, UnsupportedError, operator

_CONVOLUTIONS = {3: functional.conv1d, 4: functional.conv2d, 5: functional.conv3d}


@operator("Conv")
def _conv(call: Call) -> Tensor:
    data, weight = call[0], call[1]
    rank = data.ndim - 2
    strides, dilations = windows(call, rank)
    pads = padding(call, data.shape[2:], kernel=weight.shape[2:], strides=strides, dilations=dilations)
    symmetric = pads[:rank] == pads[rank:]
    if not symmetric:
        data = pad_sides(data, pads)
    return _CONVOLUTIONS[data.ndim](
        data,
        weight,
        call.given(2),
        stride=strides,
        padding=pads[:rank] if symmetric else 0,
        dilation=dilations,
        groups=call.attribute("group", 1),
    )


def windows(call: Call, rank: int) -> tuple[list[int], list[int]]:
    """The strides and dilations of the node's windows, one for each axis."""
    ones = (1,) * rank
    return list(call.attribute("strides", ones)), list(call.attribute("dilations", ones))


def padding(
    call: Call, sides: Sequence[int], *, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[int]:
    """What is added before each axis, then what is added after each, as `pads` or `auto_pad` say."""
    rank = len(sides)
    way = call.attribute("auto_pad", "NOTSET")
    if way == "NOTSET":
        return list(call.attribute("pads", (0,) * 2 * rank))
    if way == "VALID":
        return [0] * 2 * rank
    if way not in ("SAME_UPPER", "SAME_LOWER"):
        raise UnsupportedError(f"auto_pad {way!r}")
    totals = [
        max(((side + stride - 1) // stride - 1) * stride + dilation * (length - 1) + 1 - side, 0)
        for side, length, stride, dilation in zip(sides, kernel, strides, dilations, strict=True)
    ]
    less, more = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return [*less, *more] if way == "SAME_UPPER" else [*more, *less]


def pad_sides(data: Tensor, pads: Sequence[int], *, value: float = 0.0) -> Tensor:
    """The map with these numbers of places added before and after its last axes."""
    rank = len(pads) // 2
    pairs: list[Any] = []
    for place in reversed(range(rank)):
        pairs += [pads[place], pads[rank + place]]
    return functional.pad(data, pairs, value=value)


@operator("Pad")
def _pad(call: Call) -> Tensor:
    data = call[0]
    pads = call.integers("pads", 1) or [0] * 2 * data.ndim
    stored = call.given(2)
    value = float(call.attribute("value", 0.0) if stored is None else stored)
    axes = call.integers("axes", 3) or list(range(data.ndim))
    count = len(axes)
    whole = [0] * 2 * data.ndim
    for place, axis in enumerate(axes):
        whole[axis % data.ndim] = pads[place]
        whole[data.ndim + axis % data.ndim] = pads[count + place]
    mode = call.attribute("mode", "constant")
    if not any(whole):
        return data
    if mode == "constant":
        return pad_sides(data, whole, value=value)
    return _repeat_edges(data, whole, mode=mode)


def _repeat_edges(data: Tensor, pads: Sequence[int], *, mode: str) -> Tensor:
    """The map with places added that repeat or mirror those inside."""
    rank = data.ndim
    for axis in range(rank):
        before, after, side = pads[axis], pads[rank + axis], data.shape[axis]
        if not (before or after):
            continue
        if mode == "wrap" and min(before, after) < 0:  # it repeats what is left
            data = data.narrow(axis, max(-before, 0), side - max(-before, 0) - max(-after, 0))
            before, after, side = max(before, 0), max(after, 0), data.shape[axis]
        places = torch.arange(-before, side + after, device=data.device)
        if mode == "edge":
            places = places.clamp(0, side - 1)
        elif mode == "wrap":
            places = places % side
        else:
            period = max(2 * (side - 1), 1)
            places = places.abs() % period
            places = torch.where(places < side, places, period - places)
        data = data.index_select(axis, places)
    return data
