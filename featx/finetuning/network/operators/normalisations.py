"""Normalisations, and what makes probabilities of scores."""

import torch
from torch.nn import functional

from featx.finetuning.network.operators.registry import Call, Tensor, UnsupportedError, operator

_SOFTMAX_OF_ONE_AXIS = 13
"""The opset from which on a Softmax is over one axis, and not over all from that one on."""
_GROUPS_OF_CHANNELS = 21
"""The opset from which on GroupNormalization has a scale and a shift for each channel, and not for each group."""


@operator("BatchNormalization")
def _batch(call: Call) -> Tensor:
    scale, shift, mean, variance = call.inputs[1:5]
    epsilon = call.attribute("epsilon", 1e-5)
    if call.attribute("training_mode", 0):  # of weights: a backbone whose images are normalised together is refused
        return functional.batch_norm(call[0], None, None, scale, shift, training=True, eps=epsilon)
    return functional.batch_norm(call[0], mean, variance, scale, shift, eps=epsilon)


@operator("LayerNormalization")
def _layer(call: Call) -> Tensor:
    if any(call.node.outputs[1:]):
        raise UnsupportedError("mean and deviation as further outputs")
    shape = call[0].shape[call.attribute("axis", -1) :]
    scale, shift = (None if (one := call.given(place)) is None else one.expand(shape) for place in (1, 2))
    return functional.layer_norm(call[0], shape, scale, shift, eps=call.attribute("epsilon", 1e-5))


@operator("RMSNormalization", "SimplifiedLayerNormalization")
def _root_mean_square(call: Call) -> Tensor:
    axes = tuple(range(call.attribute("axis", -1) % call[0].ndim, call[0].ndim))
    mean = call[0].square().mean(dim=axes, keepdim=True)
    return call[0] * torch.rsqrt(mean + call.attribute("epsilon", 1e-5)) * call[1]


@operator("InstanceNormalization")
def _instance(call: Call) -> Tensor:
    channels = call[0].shape[1]
    return functional.group_norm(call[0], channels, call[1], call[2], eps=call.attribute("epsilon", 1e-5))


@operator("GroupNormalization")
def _group(call: Call) -> Tensor:
    groups = call.attribute("num_groups")
    scale, shift = call[1], call[2]
    if call.opset < _GROUPS_OF_CHANNELS:
        each = call[0].shape[1] // groups
        scale, shift = scale.repeat_interleave(each), shift.repeat_interleave(each)
    return functional.group_norm(call[0], groups, scale, shift, eps=call.attribute("epsilon", 1e-5))


@operator("LRN")
def _local_response(call: Call) -> Tensor:
    size = call.attribute("size")
    before, after = (size - 1) // 2, size - 1 - (size - 1) // 2
    channels = call[0].shape[1]
    squares = functional.pad(call[0].square().transpose(1, -1), (before, after)).transpose(1, -1)
    total = sum(squares[:, start : start + channels] for start in range(size))
    scaled = call.attribute("bias", 1.0) + call.attribute("alpha", 1e-4) / size * total
    return call[0] / scaled ** call.attribute("beta", 0.75)


@operator("LpNormalization")
def _length(call: Call) -> Tensor:
    length = call[0].norm(p=call.attribute("p", 2), dim=call.attribute("axis", -1), keepdim=True)
    return call[0] / torch.where(length == 0, 1.0, length)


@operator("Softmax")
def _softmax(call: Call) -> Tensor:
    return _over_scores(call, torch.softmax)


@operator("LogSoftmax")
def _log_softmax(call: Call) -> Tensor:
    return _over_scores(call, torch.log_softmax)


def _over_scores(call: Call, function: Tensor) -> Tensor:
    data = call[0]
    if call.opset >= _SOFTMAX_OF_ONE_AXIS:
        return function(data, dim=call.attribute("axis", -1))
    return function(data.flatten(call.attribute("axis", 1)), dim=-1).reshape(data.shape)
