"""Products of matrices."""

import torch
from torch.nn import functional

from featx.finetuning.network.operators.registry import Call, Tensor, operator


@operator("Gemm")
def _gemm(call: Call) -> Tensor:
    left = call[0].T if call.attribute("transA", 0) else call[0]
    right = call[1] if call.attribute("transB", 0) else call[1].T
    alpha, beta = call.attribute("alpha", 1.0), call.attribute("beta", 1.0)
    added = call.given(2)
    if alpha == beta == 1.0 and added is not None and added.ndim == 1:
        return functional.linear(left, right, added if added.numel() == len(right) else added.expand(len(right)))
    product = alpha * functional.linear(left, right)
    return product if added is None else product + beta * added


@operator("MatMul")
def _matmul(call: Call) -> Tensor:
    return torch.matmul(call[0], call[1])


@operator("Einsum")
def _einsum(call: Call) -> Tensor:
    return torch.einsum(call.attribute("equation"), *call.inputs)
