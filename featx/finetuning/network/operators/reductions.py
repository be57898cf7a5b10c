"""Sums, means and extremes along axes."""

from collections.abc import Callable

import torch

from featx.finetuning.network.operators.registry import OPERATORS, Call, Tensor


def _product(data: Tensor, *, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    for axis in sorted((axis % data.ndim for axis in dim), reverse=True):
        data = data.prod(dim=axis, keepdim=keepdim)
    return data


def _length(data: Tensor, *, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    return torch.linalg.vector_norm(data, dim=dim, keepdim=keepdim)


def _total(data: Tensor, *, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    return torch.linalg.vector_norm(data, ord=1, dim=dim, keepdim=keepdim)


def _squares(data: Tensor, *, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    return data.square().sum(dim=dim, keepdim=keepdim)


def _reduction(function: Callable[..., Tensor]) -> Callable[[Call], Tensor]:
    def _reduce(call: Call) -> Tensor:
        axes = call.integers("axes", 1)
        if not axes:
            if call.attribute("noop_with_empty_axes", 0):
                return function(call[0][None], dim=(0,), keepdim=False)
            axes = list(range(call[0].ndim))
        return function(call[0], dim=tuple(axes), keepdim=bool(call.attribute("keepdims", 1)))

    return _reduce


OPERATORS |= {
    "ReduceMean": _reduction(torch.mean),
    "ReduceSum": _reduction(torch.sum),
    "ReduceMax": _reduction(torch.amax),
    "ReduceMin": _reduction(torch.amin),
    "ReduceProd": _reduction(_product),
    "ReduceL1": _reduction(_total),
    "ReduceL2": _reduction(_length),
    "ReduceSumSquare": _reduction(_squares),
    "ReduceLogSumExp": _reduction(torch.logsumexp),
}
