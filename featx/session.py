"""A backbone and a device in; a callable from pixels to features out. The only place that knows ONNX Runtime."""

import ctypes
import logging
import subprocess
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from featx.backbones import Backbone
from featx.errors import BackboneError, DeviceError, InferenceError
from featx.provenance import installed, runtime_version, usable_cores
from featx.settings import Device

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    import onnxruntime

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
GPU_EXTRA = "pip uninstall -y onnxruntime; pip install 'featx[gpu]'"
NO_GPU = "there is no GPU with a working driver (libcuda, nvidia-smi); install the NVIDIA driver, or use --device cpu"
DRIVER_LIBRARY = "libcuda.so"
CUDA_LIBRARY = "libonnxruntime_providers_cuda.so"
CPU_EXTRA = "pip install 'featx[cpu]'"


@dataclass(frozen=True)
class FeatureSession:
    """An opened model: called with pixels, it returns features."""

    provider: str
    """The execution provider that the session really got."""
    name: str
    dim: int
    run: Callable[[NDArray[np.uint8]], NDArray[np.float32]]

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features (batch, dim) float32 of pixels (batch, size, size, 3). Raises InferenceError."""
        features = self.run(pixels)
        if features.shape != (len(pixels), self.dim):
            raise InferenceError(
                f"the feature of {self.name} has shape {features.shape} but its card says {(len(pixels), self.dim)}; "
                "correct the card"
            )
        return features


def open_session(backbone: Backbone, *, device: Device = "auto", threads: int | None = None) -> FeatureSession:
    """The backbone, ready on the device; `auto` takes CUDA where a session really gets it.

    Raises DeviceError where the device that was asked for is not there: nothing moves to the CPU unasked.
    """
    from featx.graph import prepare_graph

    model = prepare_graph(backbone)
    session, provider = _open(model, device, threads or usable_cores(), name=str(backbone.path))
    return FeatureSession(provider, backbone.name, backbone.card.dim, lambda pixels: _run(session, backbone, pixels))


def _run(session: "onnxruntime.InferenceSession", backbone: Backbone, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    try:
        features = session.run(None, {session.get_inputs()[0].name: pixels})[0]
    except Exception as error:
        # ONNX Runtime has no public base class for what a run raises
        raise InferenceError(
            f"backbone {backbone.name!r} failed on {len(pixels)} images ({_one_line(error)}); try a smaller batch size"
        ) from error
    return np.asarray(features, np.float32)


def _open(model: bytes, device: Device, threads: int, *, name: str) -> "tuple[onnxruntime.InferenceSession, str]":
    if device == "auto":
        device = _choose_device()
    elif device == "cuda" and (problem := cuda_problem()):
        raise DeviceError(f"--device cuda was asked for, but {problem}")
    session = _new_session(model, device, threads, name=name)
    provider = str(session.get_providers()[0])
    if provider != PROVIDERS[device]:
        raise DeviceError(
            f"the session was to run on {device} but got {provider}; `featx doctor` tells what is missing"
        )
    return session, provider


def _choose_device() -> Device:
    """CUDA where there is a GPU that a session can get; what keeps it from one that is there is told."""
    if not gpus():
        return "cpu"
    if problem := cuda_problem():
        logger.warning("running on the CPU although there is a GPU: %s", problem)
        return "cpu"
    return "cuda"


def _new_session(model: bytes, device: str, threads: int, *, name: str) -> "onnxruntime.InferenceSession":
    ort = _runtime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what goes wrong is told by our own errors
    # Threads that wait must not spin: the decoders need those cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(model, options, providers=[PROVIDERS[device]])
    except Exception as error:
        if device == "cpu":
            raise BackboneError(
                f"{name}: ONNX Runtime refuses the model ({_one_line(error)}); export it again"
            ) from error
        raise DeviceError(
            f"no session on {device}: {_one_line(error)}; `featx doctor` tells what is missing"
        ) from error


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise DeviceError(
            f"ONNX Runtime cannot be imported ({error}); {CPU_EXTRA}, or on an NVIDIA GPU {GPU_EXTRA}"
        ) from error
    return onnxruntime


def cuda_problem() -> str | None:
    """What keeps a session from CUDA and what to do about it, or None where nothing does."""
    ort = _runtime()
    if PROVIDERS["cuda"] not in ort.get_available_providers():
        return f"CUDA needs onnxruntime-gpu and onnxruntime {runtime_version()} is the build without it; {GPU_EXTRA}"
    with redirect_stdout(None), redirect_stderr(None):
        ort.preload_dlls()  # finds the libraries of the nvidia packages; what it prints, the next lines tell better
    folder = Path(ort.__file__).parent / "capi"
    missing = _unloadable(folder / "libonnxruntime_providers_shared.so") or _unloadable(folder / CUDA_LIBRARY)
    if missing and DRIVER_LIBRARY not in missing:
        return f"{missing}; the extra brings it: pip install --upgrade 'featx[gpu]'" + (
            "" if gpus() else f"; and {NO_GPU}"
        )
    return None if gpus() and not missing else NO_GPU


def _unloadable(library: Path) -> str | None:
    """Which library is missing for this one to load, or None."""
    try:
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        return (
            _one_line(error)
            .replace("cannot open shared object file: No such file or directory", "is missing")
            .replace(":", "")
        )
    return None


def gpus() -> list[str]:
    """Name, memory and driver of every NVIDIA GPU, as nvidia-smi tells; empty where there is none."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line for line in answer.stdout.splitlines() if line.strip()]


@dataclass(frozen=True)
class Diagnosis:
    """What featx can run on here."""

    providers: tuple[str, ...]
    """Execution providers that a real session got."""
    devices: tuple[str, ...]
    problems: tuple[str, ...]
    """What is missing, each with the next step."""


def diagnose() -> Diagnosis:
    """Which providers a real session gets on this machine, and what is missing."""
    from featx.graph import identity_graph

    try:
        ort = _runtime()
    except DeviceError as error:
        return Diagnosis((), tuple(gpus()), (str(error),))
    problems = []
    if installed("onnxruntime") and installed("onnxruntime-gpu"):
        problems.append(f"onnxruntime and onnxruntime-gpu overwrite each other's files; keep one: {GPU_EXTRA}")
    problem = cuda_problem()
    if problem and (gpus() or PROVIDERS["cuda"] in ort.get_available_providers()):
        problems.append(problem)
    model = identity_graph()
    gets = [
        PROVIDERS[device] for device in ("cuda", "cpu") if (device == "cpu" or not problem) and _works(model, device)
    ]
    return Diagnosis(tuple(gets), ("cpu", *gpus()), tuple(problems))


def _works(model: bytes, device: str) -> bool:
    try:
        return bool(_new_session(model, device, 1, name="a model of one node").get_providers()[0] == PROVIDERS[device])
    except DeviceError:
        return False


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
