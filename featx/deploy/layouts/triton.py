"""A model of a repository for NVIDIA's Triton Inference Server: `config.pbtxt` and version 1 of the model."""

import json
from collections.abc import Mapping

from featx.deploy.deployed import MARK, Deployed, DeployedTensor
from featx.deploy.layouts.folders import Layout
from featx.heads import Head

MOST_AT_ONCE = 64
"""Number of images that Triton may join to one batch."""
TYPES = {
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(float)": "TYPE_FP32",
    "tensor(float16)": "TYPE_FP16",
    "tensor(double)": "TYPE_FP64",
    "tensor(int8)": "TYPE_INT8",
    "tensor(int16)": "TYPE_INT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(uint16)": "TYPE_UINT16",
    "tensor(uint32)": "TYPE_UINT32",
    "tensor(bool)": "TYPE_BOOL",
    "tensor(string)": "TYPE_STRING",
}
"""Type as ONNX Runtime names it -> as Triton does."""


def write_config(name: str, head: Head, deployed: Deployed, about: Mapping[str, str]) -> dict[str, str]:
    """The text of `config.pbtxt`."""
    free = deployed.inputs[0].shape[0] is None
    lines = [
        f"# Written by {MARK} {about['featx.version']}",
        f"name: {json.dumps(name, ensure_ascii=False)}",
        'backend: "onnxruntime"',
        f"max_batch_size: {MOST_AT_ONCE if free else 0}",
        *(f"input [ {_describe(tensor, batched=free)} ]" for tensor in deployed.inputs),
        *(f"output [ {_describe(tensor, batched=free)} ]" for tensor in deployed.outputs),
        *(["dynamic_batching { }"] if free else []),
    ]
    return {"config.pbtxt": "\n".join(lines) + "\n"}


def _describe(tensor: DeployedTensor, *, batched: bool) -> str:
    """A tensor as Triton wants it: without the number of images if Triton joins them, and with a side at least."""
    sides = tensor.shape[1:] if batched else tensor.shape
    dims = ", ".join(str(side) for side in sides) or "1"
    reshaped = "" if sides else " reshape { shape: [ ] }"
    return f'{{ name: "{tensor.name}" data_type: {TYPES[tensor.dtype]} dims: [ {dims} ]{reshaped} }}'


TRITON = Layout(model="1/model.onnx", files=("config.pbtxt",), write=write_config)
