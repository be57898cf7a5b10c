"""Serialised graphs in; sessions of ONNX Runtime, on the device that was asked for or not at all, out."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featx.backbones.session.providers import Options
from featx.devices import PROVIDERS, DeviceSpec
from featx.errors import BackboneError, DeviceError
from featx.provenance import RUNTIMES, installed_version, runtime_version

if TYPE_CHECKING:
    import onnxruntime

CPU = DeviceSpec("cpu", None)
CPU_EXTRA = "pip install 'featx[cpu]'"
GPU_EXTRA = "pip install 'featx[gpu]'"
BUILDS = {
    "cuda": ("CUDA", "onnxruntime-gpu", GPU_EXTRA),
    "tensorrt": ("TensorRT", "onnxruntime-gpu", GPU_EXTRA),
    "openvino": ("OpenVINO", "onnxruntime-openvino", "pip install 'featx[openvino]'"),
    "directml": ("DirectML", "onnxruntime-directml", "pip install onnxruntime-directml"),
    "migraphx": ("MIGraphX", "onnxruntime-migraphx", "pip install onnxruntime-migraphx"),
}
"""Kind of device -> its name, the build of ONNX Runtime that has it, and how that is had."""
BATCH_AXIS = "batch"
"""Name of the free axis of a prepared graph."""


def load_runtime() -> Any:
    """ONNX Runtime. Raises DeviceError where it is not installed."""
    try:
        import onnxruntime
    except ImportError as error:
        raise DeviceError(
            f"ONNX Runtime cannot be imported ({error}); {CPU_EXTRA}, or on an NVIDIA GPU {GPU_EXTRA}"
        ) from error
    return onnxruntime


def missing_provider(kind: str) -> str | None:
    """What is to be done where this ONNX Runtime was built without the kind of device; None where it has it."""
    if PROVIDERS[kind] in load_runtime().get_available_providers():
        return None
    if kind not in BUILDS:
        return f"onnxruntime {runtime_version()} is a build without {PROVIDERS[kind]}; `featx doctor` tells what it has"
    title, build, step = BUILDS[kind]
    there = " ".join(package for package in RUNTIMES if installed_version(package))
    return (
        f"{title} needs {build} and onnxruntime {runtime_version()} is the build without it; "
        f"pip uninstall -y {there}; {step}"
    )


def new_session(
    model: bytes,
    spec: DeviceSpec,
    *,
    name: str,
    threads: int,
    providers: Sequence[tuple[str, Options]] = (),
    folder: Path | None = None,
    batch: int | None = None,
) -> "onnxruntime.InferenceSession":
    """A session on the device, the batch axis fixed at `batch` where that is given.

    Raises BackboneError where the CPU refuses the model, DeviceError where the device is not what the session got.
    """
    ort = load_runtime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what goes wrong is told by our own errors
    options.enable_mem_pattern = spec.kind != "directml"  # DirectML demands it
    # Threads that wait must not spin: the decoders need those cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if spec != CPU:
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if folder:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    if batch:
        options.add_free_dimension_override_by_name(BATCH_AXIS, batch)
    try:
        with _silent(ort):
            wanted = [*(providers or [(spec.provider, {})])]
            session = ort.InferenceSession(model, options, providers=wanted, enable_fallback=0)
    except Exception as error:
        if spec == CPU:
            raise BackboneError(
                f"{name}: ONNX Runtime refuses the model ({one_line(error)}); export it again"
            ) from error
        raise DeviceError(f"no session on {spec}: {one_line(error)}; `featx doctor` tells what is missing") from error
    session.disable_fallback()
    if (got := session.get_providers()[0]) != spec.provider:
        raise DeviceError(f"no session on {spec}: it got {got}; `featx doctor` tells what is missing")
    return session


@contextmanager
def _silent(ort: Any) -> Iterator[None]:
    """Nothing is printed or logged by providers that are tried: what a session got, our own errors tell."""
    ort.set_default_logger_severity(4)
    try:
        with redirect_stdout(None):
            yield
    finally:
        ort.set_default_logger_severity(2)


def one_line(error: object) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split())
