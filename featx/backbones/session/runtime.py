"""Opens sessions of ONNX Runtime on the requested device, or raises an error: there is no fallback."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featx.backbones.session.providers import Options
from featx.devices import PROVIDERS, DeviceSpec
from featx.errors import BackboneError, DeviceError, one_line
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
"""Kind of device -> its name, the package of ONNX Runtime that supports it, and how to install that package."""
BATCH_AXIS = "batch"
"""Name of the dynamic axis of a prepared graph."""


def load_runtime() -> Any:
    """The imported ONNX Runtime. Raises DeviceError if it is not installed."""
    try:
        import onnxruntime
    except ImportError as error:
        raise DeviceError(
            f"ONNX Runtime cannot be imported ({error}); {CPU_EXTRA}, or on an NVIDIA GPU {GPU_EXTRA}"
        ) from error
    return onnxruntime


def missing_provider(kind: str) -> str | None:
    """A message if this ONNX Runtime was built without this kind of device, with the next step; else None."""
    if PROVIDERS[kind] in load_runtime().get_available_providers():
        return None
    if kind not in BUILDS:
        return f"onnxruntime {runtime_version()} was built without {PROVIDERS[kind]}; `featx doctor` lists what it has"
    title, build, step = BUILDS[kind]
    installed = " ".join(package for package in RUNTIMES if installed_version(package))
    return (
        f"{title} needs {build}, but the installed onnxruntime {runtime_version()} was built without it; "
        f"pip uninstall -y {installed}; {step}"
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
    """Open a session on the device, with the batch axis fixed at `batch` if that is given.

    Raises BackboneError if the CPU refuses the model, and DeviceError if the session did not get the device.
    """
    ort = load_runtime()
    options = _session_options(ort, spec, threads=threads, folder=folder, batch=batch)
    try:
        with _silent(ort):
            wanted = list(providers) or [(spec.provider, {})]
            session = ort.InferenceSession(model, options, providers=wanted, enable_fallback=0)
    except Exception as error:  # ONNX Runtime has no public base class for what it raises
        if spec == CPU:
            raise BackboneError(f"{name}: {_refusal(one_line(error))}") from error
        raise DeviceError(f"no session on {spec}: {one_line(error)}; `featx doctor` shows what is missing") from error
    session.disable_fallback()
    if (got := session.get_providers()[0]) != spec.provider:
        raise DeviceError(f"no session on {spec}: it got {got}; `featx doctor` shows what is missing")
    return session


_TOO_NEW = (
    (r"Opset (\d+) is under development.* domain (\S+) is till opset (\d+)", "opset {0} of {1} is above {2}"),
    (r"Unsupported model IR version: (\d+), max supported IR version: (\d+)", "version {0} of the format is above {1}"),
)
"""What ONNX Runtime says of a model that is newer than itself -> the same in short."""


def _refusal(reason: str) -> str:
    """Why the runtime refuses a model, and the next step."""
    for pattern, words in _TOO_NEW:
        if found := re.search(pattern, reason):
            return (
                f"is too new for ONNX Runtime {runtime_version()}: {words.format(*found.groups())}; install a newer "
                "ONNX Runtime (pip install --upgrade onnxruntime), or export the model to an older opset"
            )
    return f"ONNX Runtime refuses the model ({reason}); export it again"


def _session_options(ort: Any, spec: DeviceSpec, *, threads: int, folder: Path | None, batch: int | None) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # featx reports what goes wrong in its own errors
    options.enable_mem_pattern = spec.kind != "directml"  # DirectML requires it off
    # Threads that wait must not spin: the decoders need those cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if spec != CPU:
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if folder:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    if batch:
        options.add_free_dimension_override_by_name(BATCH_AXIS, batch)
    return options


@contextmanager
def _silent(ort: Any) -> Iterator[None]:
    """Keep providers from printing and logging: featx reports in its own errors what a session got."""
    ort.set_default_logger_severity(4)
    try:
        with redirect_stdout(None):
            yield
    finally:
        ort.set_default_logger_severity(2)
