"""What `--device` says in; which devices are meant, by name, out. What of them is there, the session knows."""

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
"""Kind of device -> ONNX Runtime's provider of it."""
NUMBERED = ("cuda", "tensorrt", "openvino", "directml", "migraphx", "rocm")
"""Kinds of which a machine can have several, told apart by an index."""
AUTO = "auto"


@dataclass(frozen=True)
class DeviceSpec:
    """A device that was named."""

    kind: str
    index: int | None
    """Which one of its kind; None where the kind is not numbered, and for the processor as OpenVINO runs it."""

    @property
    def provider(self) -> str:
        """ONNX Runtime's name of what runs on it."""
        return PROVIDERS[self.kind]

    @property
    def provider_label(self) -> str:
        """The same, and that it is a GPU where it could be the processor, too: their features differ."""
        return f"{self.provider} (GPU)" if self.kind == "openvino" and self.index is not None else self.provider

    def __str__(self) -> str:
        return self.kind if self.index is None else f"{self.kind}:{self.index}"


def parse_device(text: str) -> tuple[DeviceSpec, ...]:
    """The devices that `--device` names, in that order; none for `auto`.

    Raises DeviceError where it is no device, or a list with a device twice or of several kinds, whose features differ.
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
    """What makes features on what `--device` names, as sessions say it; None for `auto`. Raises DeviceError."""
    specs = parse_device(text)
    return specs[0].provider_label if specs else None


def _parse_one(part: str) -> DeviceSpec:
    match = re.fullmatch(r"([a-z]+)(?::([0-9]{1,4}))?", part)
    kind = match[1] if match else part.partition(":")[0]
    if kind not in PROVIDERS:
        raise DeviceError(f"no device is called {kind!r}; {_known()}")
    if not match or (match[2] and kind not in NUMBERED):
        raise DeviceError(f"{part!r} is no device; {_known()}")
    return DeviceSpec(kind, int(match[2]) if match[2] else 0 if kind in NUMBERED and kind != "openvino" else None)


def _known() -> str:
    return f"give {AUTO}, one of {', '.join(PROVIDERS)}, cuda:1 for the second GPU, or a list as in cuda:0,cuda:1"
