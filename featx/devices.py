"""Parses the value of `--device`; whether a device exists on this machine is checked when a session is opened."""

import re
from dataclasses import dataclass

from featx.errors import DeviceError

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "dnnl": "DnnlExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
}
"""Kind of device -> the execution provider of ONNX Runtime that runs on it."""
NUMBERED = ("cuda", "tensorrt", "openvino", "directml", "migraphx", "rocm")
"""Kinds of which a machine can have several, numbered from 0."""
AUTO = "auto"


@dataclass(frozen=True)
class DeviceSpec:
    """One device that `--device` names, such as `cuda:1`."""

    kind: str
    index: int | None
    """Number within its kind; None if the kind is not numbered, or if OpenVINO runs on the processor."""

    @property
    def provider(self) -> str:
        """Name of the execution provider of ONNX Runtime."""
        return PROVIDERS[self.kind]

    @property
    def provider_label(self) -> str:
        """The provider as caches record it; OpenVINO on a GPU is marked, because its features differ from the CPU's."""
        on_gpu = self.kind == "openvino" and self.index is not None
        return f"{self.provider} (GPU)" if on_gpu else self.provider

    def __str__(self) -> str:
        return self.kind if self.index is None else f"{self.kind}:{self.index}"


def parse_device(text: str) -> tuple[DeviceSpec, ...]:
    """The devices that `--device` names, in that order; empty for `auto`.

    Raises DeviceError if a name is not a device, if one is named twice, or if their kinds differ.
    """
    if text == AUTO:
        return ()
    specs = tuple(_parse_one(part) for part in text.split(","))
    if len(set(specs)) < len(specs):
        raise DeviceError(f"{text!r} names a device twice; name each one once")
    if len({spec.provider_label for spec in specs}) > 1:
        raise DeviceError(
            f"{text!r} names devices of several kinds, whose features differ in the last "
            "digits; name devices of one kind"
        )
    return specs


def provider_of(text: str) -> str | None:
    """The provider that caches record for these devices; None for `auto`. Raises DeviceError."""
    specs = parse_device(text)
    return specs[0].provider_label if specs else None


def _parse_one(part: str) -> DeviceSpec:
    match = re.fullmatch(r"([a-z]+)(?::([0-9]{1,4}))?", part)
    kind = match[1] if match else part.partition(":")[0]
    if kind not in PROVIDERS:
        raise DeviceError(f"unknown device {kind!r}; {_choices()}")
    if not match or (match[2] and kind not in NUMBERED):
        raise DeviceError(f"{part!r} is not a device; {_choices()}")
    if match[2]:
        return DeviceSpec(kind, int(match[2]))
    first_of_several = kind in NUMBERED and kind != "openvino"  # plain `openvino` is the processor
    return DeviceSpec(kind, 0 if first_of_several else None)


def _choices() -> str:
    return f"give {AUTO}, one of {', '.join(PROVIDERS)}, cuda:1 for the second GPU, or a list as in cuda:0,cuda:1"
