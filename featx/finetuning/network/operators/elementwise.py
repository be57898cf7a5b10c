"""Operators that compute each number from the numbers at the same place."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from featx.finetuning.network.operators.registry import OPERATORS, Call, Tensor, operator


def _of_one(function: Callable[[Tensor], Tensor]) -> Callable[[Call], Tensor]:
    return lambda call: function(call[0])


def _of_two(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Call], Tensor]:
    return lambda call: function(call[0], call[1])


def _of_all(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Call], Tensor]:
    def _join(call: Call) -> Tensor:
        joined = call[0]
        for other in call.inputs[1:]:
            joined = function(joined, other)
        return joined

    return _join


_UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "Relu": torch.relu,
    "Sigmoid": torch.sigmoid,
    "Tanh": torch.tanh,
    "HardSwish": functional.hardswish,
    "Softplus": functional.softplus,
    "Softsign": functional.softsign,
    "Mish": functional.mish,
    "Erf": torch.erf,
    "Sqrt": torch.sqrt,
    "Reciprocal": torch.reciprocal,
    "Neg": torch.neg,
    "Exp": torch.exp,
    "Log": torch.log,
    "Abs": torch.abs,
    "Sin": torch.sin,
    "Cos": torch.cos,
    "Floor": torch.floor,
    "Ceil": torch.ceil,
    "Sign": torch.sign,
    "Not": torch.logical_not,
}
_BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Add": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "Equal": torch.eq,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "And": torch.logical_and,
    "Or": torch.logical_or,
}
OPERATORS |= {name: _of_one(function) for name, function in _UNARY.items()}
OPERATORS |= {name: _of_two(function) for name, function in _BINARY.items()}
OPERATORS |= {"Sum": _of_all(torch.add), "Max": _of_all(torch.maximum), "Min": _of_all(torch.minimum)}


@operator("Div")
def _divide(call: Call) -> Tensor:
    whole = not (call[0].is_floating_point() or call[1].is_floating_point())
    return torch.div(call[0], call[1], rounding_mode="trunc" if whole else None)


@operator("Mod")
def _modulo(call: Call) -> Tensor:
    return (torch.fmod if call.attribute("fmod", 0) else torch.remainder)(call[0], call[1])


@operator("Pow")
def _power(call: Call) -> Tensor:
    exponent = call[1]
    single = exponent.numel() == 1 and not exponent.requires_grad
    return torch.pow(call[0], float(exponent) if single else exponent).to(call[0].dtype)


@operator("LeakyRelu")
def _leaky(call: Call) -> Tensor:
    return functional.leaky_relu(call[0], call.attribute("alpha", 0.01))


@operator("PRelu")
def _parametric(call: Call) -> Tensor:
    return torch.where(call[0] < 0, call[0] * call[1], call[0])


@operator("ThresholdedRelu")
def _thresholded(call: Call) -> Tensor:
    return torch.where(call[0] > call.attribute("alpha", 1.0), call[0], 0.0)


@operator("Clip")
def _clip(call: Call) -> Tensor:
    lowest, highest = (_limit(call, name, place) for place, name in ((1, "min"), (2, "max")))
    if lowest is None and highest is None:
        return call[0]
    if lowest is None or highest is None or lowest > highest or not call[0].is_floating_point():
        return torch.clamp(call[0], lowest, highest)
    return functional.hardtanh(call[0], lowest, highest)  # the same numbers, and a faster gradient


def _limit(call: Call, name: str, place: int) -> float | None:
    stored = call.given(place)
    found = call.attribute(name) if stored is None else stored.item()
    return None if found is None or math.isinf(found) else found


@operator("Elu")
def _elu(call: Call) -> Tensor:
    return functional.elu(call[0], call.attribute("alpha", 1.0))


@operator("Celu")
def _celu(call: Call) -> Tensor:
    return functional.celu(call[0], call.attribute("alpha", 1.0))


@operator("Selu")
def _selu(call: Call) -> Tensor:
    alpha = call.attribute("alpha", 1.6732632423543772)
    gamma = call.attribute("gamma", 1.0507009873554805)
    return gamma * functional.elu(call[0], alpha)


@operator("HardSigmoid")
def _hard_sigmoid(call: Call) -> Tensor:
    return torch.clamp(call.attribute("alpha", 0.2) * call[0] + call.attribute("beta", 0.5), 0.0, 1.0)


@operator("Gelu", "com.microsoft.Gelu")
def _gelu(call: Call) -> Tensor:
    return functional.gelu(call[0], approximate=call.attribute("approximate", "none"))


@operator("com.microsoft.FastGelu")
def _fast_gelu(call: Call) -> Tensor:
    bias = call.given(1)
    return functional.gelu(call[0] if bias is None else call[0] + bias, approximate="tanh")


@operator("com.microsoft.QuickGelu")
def _quick_gelu(call: Call) -> Tensor:
    return call[0] * torch.sigmoid(call.attribute("alpha", 1.702) * call[0])


@operator("Swish")
def _swish(call: Call) -> Tensor:
    return call[0] * torch.sigmoid(call.attribute("alpha", 1.0) * call[0])


@operator("Where")
def _where(call: Call) -> Tensor:
    return torch.where(call[0].to(_device_of(call.inputs[1:])), call[1], call[2])


def _device_of(tensors: Any) -> Any:
    """Where the first tensor is that has axes."""
    return next((tensor.device for tensor in tensors if tensor.ndim), tensors[0].device)


@operator("Identity", "Dropout")
def _identity(call: Call) -> Tensor:
    return call[0]
