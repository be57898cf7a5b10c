"""Operators that move, join or select numbers, and arithmetic on shapes."""

from math import prod
from typing import Any

import numpy as np
import torch

from featx.finetuning.network.operators.registry import Call, Tensor, UnsupportedError, operator

_FLOATS = {1, 10, 11, 16}
"""Numbers of the types float, float16, double and bfloat16 in ONNX: all are the one type in which torch computes."""
_TYPES = {2: torch.uint8, 3: torch.int8, 5: torch.int16, 6: torch.int32, 7: torch.int64, 9: torch.bool}


@operator("Constant")
def _constant(call: Call) -> Tensor:
    (values,) = call.node.attributes.values()
    if isinstance(values, str):
        raise UnsupportedError("text")
    return torch.tensor(np.asarray(values, np.float32 if isinstance(values, float) else None))


@operator("ConstantOfShape")
def _filled(call: Call) -> Tensor:
    value = torch.tensor(call.attribute("value", np.zeros(1, np.float32)))
    return value.reshape(-1)[0].expand(call[0].tolist())


@operator("Range")
def _range(call: Call) -> Tensor:
    start, end, step = (one.item() for one in call.inputs if one is not None)
    return torch.arange(start, end, step, dtype=call[0].dtype)


@operator("Cast")
def _cast(call: Call) -> Tensor:
    kind = call.attribute("to")
    if kind in _FLOATS:
        return call[0] if call[0].is_floating_point() else call[0].to(torch.get_default_dtype())
    if kind not in _TYPES:
        raise UnsupportedError(f"type {kind}")
    return call[0].to(_TYPES[kind])


@operator("CastLike")
def _cast_like(call: Call) -> Tensor:
    return call[0].to(call[1].dtype)


@operator("Shape")
def _shape(call: Call) -> Tensor:
    sides = call[0].shape[call.attribute("start", 0) : call.attribute("end")]
    return torch.tensor(list(sides), dtype=torch.int64)


@operator("Size")
def _size(call: Call) -> Tensor:
    return torch.tensor(call[0].numel(), dtype=torch.int64)


@operator("Reshape")
def _reshape(call: Call) -> Tensor:
    data = call[0]
    wanted = call.integers("shape", 1) or []
    if not call.attribute("allowzero", 0):
        wanted = [data.shape[place] if side == 0 else side for place, side in enumerate(wanted)]
    return data.reshape(wanted)


@operator("Flatten")
def _flatten(call: Call) -> Tensor:
    axis = call.attribute("axis", 1)
    ahead = prod(call[0].shape[:axis])
    return call[0].reshape(ahead, -1)


@operator("Squeeze")
def _squeeze(call: Call) -> Tensor:
    axes = call.integers("axes", 1)
    return call[0].squeeze(tuple(axes)) if axes else call[0].squeeze()


@operator("Unsqueeze")
def _unsqueeze(call: Call) -> Tensor:
    axes = call.integers("axes", 1) or []
    data = call[0]
    rank = data.ndim + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        data = data.unsqueeze(axis)
    return data


@operator("Transpose")
def _transpose(call: Call) -> Tensor:
    return call[0].permute(call.attribute("perm", tuple(range(call[0].ndim))[::-1]))


@operator("Concat")
def _concat(call: Call) -> Tensor:
    return torch.cat(list(call.inputs), dim=call.attribute("axis", 1))


@operator("Split")
def _split(call: Call) -> tuple[Tensor, ...]:
    axis = call.attribute("axis", 0)
    sizes = call.integers("split", 1)
    side = call[0].shape[axis]
    if sizes is None:
        count = call.attribute("num_outputs", len(call.node.outputs))
        each = -(-side // count)
        sizes = [min(each, side - start) for start in range(0, side, each)]
    return tuple(torch.split(call[0], sizes, dim=axis))


@operator("Slice")
def _slice(call: Call) -> Tensor:
    data = call[0]
    starts, ends = call.integers("starts", 1) or [], call.integers("ends", 2) or []
    axes = call.integers("axes", 3) or list(range(len(starts)))
    steps = call.integers("steps", 4) or [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        data = _sliced(data, axis, slice(start, end, step))
    return data


def _sliced(data: Tensor, axis: int, wanted: slice) -> Tensor:
    """The places of an axis that the slice selects, in its order."""
    side = data.shape[axis]
    places: Any = range(side)[wanted.start : _end(wanted, side) : wanted.step]
    if wanted.step == 1:
        return data.narrow(axis, places.start, len(places)) if len(places) < side else data
    return data.index_select(axis, torch.tensor(list(places), dtype=torch.int64, device=data.device))


def _end(wanted: slice, side: int) -> int | None:
    """The end as Python means it: counting backwards, an end before the first place is None."""
    return None if wanted.step < 0 and wanted.stop < -side else wanted.stop


@operator("Gather")
def _gather(call: Call) -> Tensor:
    axis = call.attribute("axis", 0) % call[0].ndim
    places = call[1]
    side = call[0].shape[axis]
    if not places.ndim:
        return call[0].select(axis, int(places))
    flat = torch.where(places < 0, places + side, places).reshape(-1).to(call[0].device)
    found = call[0].index_select(axis, flat)
    return found.reshape(*call[0].shape[:axis], *places.shape, *call[0].shape[axis + 1 :])


@operator("Expand")
def _expand(call: Call) -> Tensor:
    return call[0].expand(torch.broadcast_shapes(tuple(call[0].shape), tuple(call.integers("shape", 1) or ())))


@operator("Tile")
def _tile(call: Call) -> Tensor:
    return call[0].tile(call.integers("repeats", 1) or [])


@operator("DepthToSpace")
def _depth_to_space(call: Call) -> Tensor:
    batch, channels, height, width = call[0].shape
    block = call.attribute("blocksize")
    left = channels // block**2
    if call.attribute("mode", "DCR") == "DCR":
        parts = call[0].reshape(batch, block, block, left, height, width).permute(0, 3, 4, 1, 5, 2)
    else:
        parts = call[0].reshape(batch, left, block, block, height, width).permute(0, 1, 4, 2, 5, 3)
    return parts.reshape(batch, left, height * block, width * block)


@operator("SpaceToDepth")
def _space_to_depth(call: Call) -> Tensor:
    batch, channels, height, width = call[0].shape
    block = call.attribute("blocksize")
    parts = call[0].reshape(batch, channels, height // block, block, width // block, block)
    return parts.permute(0, 3, 5, 1, 2, 4).reshape(batch, channels * block**2, height // block, width // block)
