"""Opens a model file that is complete, such as one that `featx deploy` wrote, on the devices that are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from featx.backbones.session.diagnosing import choose_devices
from featx.backbones.session.providers import SessionPlan, provider_options, streams_of
from featx.backbones.session.runtime import CPU, new_session
from featx.devices import DeviceSpec
from featx.errors import BackboneError, DeviceError, InferenceError, one_line
from featx.hardware import usable_cores
from featx.settings import Device

if TYPE_CHECKING:
    import onnxruntime


@dataclass(frozen=True)
class Tensor:
    """What the model file says of one of its inputs or outputs."""

    name: str
    dtype: str
    """As ONNX Runtime names it: `tensor(uint8)`, `tensor(float)`, `tensor(string)`, ..."""
    shape: tuple[int | None, ...]
    """None stands for any length."""


@dataclass(frozen=True)
class OpenedModel:
    """A model file with a session on each of its devices; sessions may run at the same time."""

    path: Path
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    metadata: dict[str, str]
    devices: tuple[str, ...]
    """Name of the device of each session."""
    sessions: tuple["onnxruntime.InferenceSession", ...]
    at_once: int = 1
    """Number of runs at the same time that keep a device busy: one begins or ends while another one computes."""

    def run(self, values: Sequence[NDArray[Any]], *, outputs: Sequence[str], session: int = 0) -> list[NDArray[Any]]:
        """These outputs for one value of each input, computed by one of the sessions. Raises InferenceError."""
        fed = {tensor.name: value for tensor, value in zip(self.inputs, values, strict=True)}
        try:
            return list(self.sessions[session].run(list(outputs), fed))
        except Exception as error:  # ONNX Runtime has no public base class for what a run raises
            count = len(values[0]) if values else 0
            raise InferenceError(f"{self.path} failed on {count} images ({one_line(error)})") from error


def open_model(path: Path | str, *, device: Device = "auto", at_once: int = 1) -> OpenedModel:
    """The model file with a session on each device that `device` names, for this number of runs at the same time.

    Raises BackboneError if the file cannot be read or is refused, and DeviceError if a device is not available.
    """
    path = Path(path)
    specs = choose_devices(device)
    if specs[0].kind == "tensorrt":
        raise DeviceError(f"{path}: TensorRT runs backbones only, not model files; use --device cuda")
    try:
        model = path.read_bytes()
    except OSError as error:
        raise BackboneError(f"{path}: {error.strerror or one_line(error)}; name a model that is there") from error
    at_once = streams_of(specs[0], at_once)
    sessions = tuple(_open(model, spec, path, at_once=at_once) for spec in specs)
    first = sessions[0]
    return OpenedModel(
        path,
        inputs=tuple(map(_describe, first.get_inputs())),
        outputs=tuple(map(_describe, first.get_outputs())),
        metadata=dict(first.get_modelmeta().custom_metadata_map),
        devices=tuple(map(str, specs)),
        sessions=sessions,
        at_once=at_once,
    )


def _open(model: bytes, spec: DeviceSpec, path: Path, *, at_once: int) -> "onnxruntime.InferenceSession":
    # runs at the same time share the session's threads, and each also computes in the thread that called it
    threads = max(1, usable_cores() - at_once + 1)
    if spec == CPU:
        return new_session(model, spec, name=str(path), threads=threads, folder=path.parent)
    from featx.backbones.graph.contents import read_contents

    plan = SessionPlan(threads, 1, None)
    providers = provider_options(spec, plan, read_contents(model))
    return new_session(model, spec, name=str(path), threads=threads, providers=providers, folder=path.parent)


def _describe(tensor: Any) -> Tensor:
    return Tensor(tensor.name, tensor.type, tuple(side if isinstance(side, int) else None for side in tensor.shape))
