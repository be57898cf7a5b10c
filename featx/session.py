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

from featx.backbones import Backbone, Output
from featx.errors import BackboneError, DeviceError, InferenceError
from featx.provenance import installed, runtime_version, usable_cores
from featx.settings import Device

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    import onnxruntime

    from featx.graph import PreparedGraph

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
GPU_EXTRA = "pip uninstall -y onnxruntime; pip install 'featx[gpu]'"
NO_GPU = "there is no GPU with a working driver (libcuda, nvidia-smi); install the NVIDIA driver, or use --device cpu"
DRIVER_LIBRARY = "libcuda.so"
CUDA_LIBRARY = "libonnxruntime_providers_cuda.so"
SAME = 1e-4
"""Difference, relative to the largest feature, up to which freeing the batch axis has changed nothing."""
CPU_EXTRA = "pip install 'featx[cpu]'"


@dataclass(frozen=True)
class FeatureSession:
    """An opened model: called with pixels, it returns features."""

    provider: str
    """The execution provider that the session really got."""
    name: str
    outputs: tuple[Output, ...]
    """The outputs whose columns stand side by side in what is returned."""
    step: int | None
    """The number of images that are run at once where that is not free; None where it is."""
    batch: int | None
    """The number of images that the model takes at once where its graph fixes one; None where it takes any."""
    size: int
    """Height and width of its pixels."""
    streams: int
    """The number of calls at once that are worth it, each from a thread of its own."""
    run: Callable[[NDArray[np.uint8]], NDArray[np.float32]]

    @property
    def on_cpu(self) -> bool:
        """Whether it runs on the cores that decode, too."""
        return self.provider == PROVIDERS["cpu"]

    def new_buffer(self, count: int) -> NDArray[np.uint8]:
        """Zeros (count, size, size, 3): memory from which pixels reach the device without a further copy."""
        return np.zeros((count, self.size, self.size, 3), np.uint8)

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features (batch, sum of dims) float32 of pixels (batch, size, size, 3). Raises InferenceError."""
        if self.step is None:
            return self.run(pixels)
        blocks = [pixels[start : start + self.step] for start in range(0, len(pixels), self.step)]
        blocks = blocks or [pixels]
        return np.concatenate([self.run(_filled(block, self.batch or self.step))[: len(block)] for block in blocks])


def _filled(pixels: NDArray[Any], batch: int) -> NDArray[Any]:
    """The pixels and as many images of zeros as the batch lacks."""
    lacking = batch - len(pixels)
    return np.concatenate([pixels, np.zeros((lacking, *pixels.shape[1:]), pixels.dtype)]) if lacking else pixels


def open_session(
    backbone: Backbone,
    *,
    device: Device = "auto",
    threads: int | None = None,
    streams: int = 1,
) -> FeatureSession:
    """The backbone, ready on the device; `auto` takes CUDA where a session really gets it.

    As many threads as there are `streams` may call it at once; each call takes `threads` threads of the CPU.
    A batch axis that its exporter fixed is freed where features stay the same, else the model runs at that size, with a
    warning. Raises DeviceError where the device that was asked for is not there: nothing moves to the CPU unasked.
    """
    from featx.graph import prepare_graph

    prepared = prepare_graph(backbone)
    if prepared.freed and (problem := _batch_problem(backbone, prepared)):
        prepared = prepare_graph(backbone, keep_batch=True)
        logger.warning(
            "%s: its graph fixes the batch at %d images (%s); it runs so many at a time",
            backbone.path,
            prepared.batch,
            problem,
        )
    return open_graph(backbone, prepared, device=device, threads=threads, streams=streams)


def open_graph(
    backbone: Backbone,
    prepared: "PreparedGraph",
    *,
    device: Device = "auto",
    threads: int | None = None,
    streams: int = 1,
) -> FeatureSession:
    """A graph that was prepared of this backbone, ready on the device."""
    threads = threads or max(1, usable_cores() // streams)
    session, provider = _open(prepared, device, threads, name=str(backbone.path))
    batch = None if prepared.freed else prepared.batch
    step = backbone.card.batch or batch
    card = backbone.card
    return FeatureSession(
        provider, card.name, card.taken, step, batch, card.size, streams, lambda pixels: _run(session, backbone, pixels)
    )


def _batch_problem(backbone: Backbone, prepared: "PreparedGraph") -> str | None:
    """What is wrong with a graph whose batch axis was freed, tried with more images than it was exported for."""
    from featx.graph import prepare_graph

    size, batch = backbone.card.size, prepared.batch or 1
    pixels = np.random.default_rng(0).integers(0, 256, (batch + 1, size, size, 3), np.uint8)
    expected = open_graph(backbone, prepare_graph(backbone, keep_batch=True), device="cpu")(pixels)
    try:
        features = open_graph(backbone, prepared, device="cpu")(pixels)
    except (BackboneError, InferenceError) as error:
        logger.debug("%s with its batch axis freed: %s", backbone.path, error)
        return "it does not run with another one"
    edges = np.cumsum([output.dim for output in backbone.card.taken])[:-1]
    parts = zip(np.split(features, edges, axis=1), np.split(expected, edges, axis=1), strict=True)
    return None if all(_same(found, wanted) for found, wanted in parts) else "features differ with another one"


def _same(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> bool:
    return np.allclose(found, wanted, rtol=0, atol=SAME * float(np.abs(wanted).max(initial=0)), equal_nan=True)


def run_whole(backbone: Backbone, images: NDArray[Any]) -> list[NDArray[np.float32]]:
    """The tensors of the card's outputs, as the model that nothing was done to makes them on the CPU.

    `images` is what the model's own input takes. Raises BackboneError and InferenceError as sessions do.
    """
    from featx.graph import whole_graph

    prepared = whole_graph(backbone)
    session, _ = _open(prepared, "cpu", usable_cores(), name=str(backbone.path))
    step = backbone.card.batch or prepared.batch or len(images)
    parts: list[list[NDArray[Any]]] = [[] for _ in backbone.card.taken]
    for block in (images[start : start + step] for start in range(0, len(images), step)):
        made = _call(session, backbone, {backbone.card.input: _filled(block, prepared.batch or len(block))})
        for part, tensor in zip(parts, made, strict=True):
            part.append(tensor[: len(block)])
    return [np.concatenate(part).astype(np.float32) for part in parts]


def run_features(backbone: Backbone, pixels: NDArray[np.uint8]) -> tuple[int, list[NDArray[np.float32]]]:
    """How many images were run, and every output of the card for them, on the CPU, whatever its shape."""
    from featx.graph import prepare_graph

    prepared = prepare_graph(backbone, keep_batch=True)
    session, _ = _open(prepared, "cpu", usable_cores(), name=str(backbone.path))
    batch = prepared.batch or len(pixels)
    filled = _filled(pixels[:batch], batch)
    made = _call(session, backbone, {session.get_inputs()[0].name: filled})
    return batch, [np.asarray(features, np.float32) for features in made]


def _run(session: "onnxruntime.InferenceSession", backbone: Backbone, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    made = _call(session, backbone, {session.get_inputs()[0].name: pixels})
    for output, features in zip(backbone.card.taken, made, strict=True):
        if features.shape != (len(pixels), output.dim):
            raise InferenceError(
                f"output {output.name!r} of {backbone.name} has shape {features.shape} but its card says "
                f"{(len(pixels), output.dim)}; correct the card"
            )
    return np.asarray(made[0] if len(made) == 1 else np.concatenate(made, axis=1), np.float32)


def _call(
    session: "onnxruntime.InferenceSession", backbone: Backbone, given: dict[str, NDArray[Any]]
) -> list[NDArray[Any]]:
    try:
        return list(session.run(None, given))
    except Exception as error:
        # ONNX Runtime has no public base class for what a run raises
        count = len(next(iter(given.values())))
        raise InferenceError(
            f"backbone {backbone.name!r} failed on {count} images ({_one_line(error)}); try a smaller batch size"
        ) from error


def _open(
    prepared: "PreparedGraph", device: Device, threads: int, *, name: str
) -> "tuple[onnxruntime.InferenceSession, str]":
    if device == "auto":
        device = _choose_device()
    elif device == "cuda" and (problem := cuda_problem()):
        raise DeviceError(f"--device cuda was asked for, but {problem}")
    session = _new_session(prepared.model, device, threads, name=name, folder=prepared.folder)
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


def _new_session(
    model: bytes, device: str, threads: int, *, name: str, folder: Path | None = None
) -> "onnxruntime.InferenceSession":
    ort = _runtime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what goes wrong is told by our own errors
    # Threads that wait must not spin: the decoders need those cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if folder:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
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
