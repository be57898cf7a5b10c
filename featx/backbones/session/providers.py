"""Chooses the options of ONNX Runtime's execution providers for a device; the hardware need not exist."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from featx.devices import PROVIDERS, DeviceSpec

if TYPE_CHECKING:
    from featx.backbones.graph.contents import GraphContents

Options = dict[str, str]

COMPILED = ("tensorrt", "openvino", "coreml", "migraphx")
"""Kinds that compile the graph: if the batch size is known, they do it once and better."""
ONE_AT_A_TIME = ("directml", "coreml")
"""Kinds that run one call at a time."""
ON_CORES = ("cpu", "openvino", "dnnl", "xnnpack")
"""Kinds that run on the processor, unless they have an index."""
GPU_STREAMS = 2
"""Number of concurrent calls on a GPU: one batch is copied while another one runs."""
TENSORRT_BATCH = 64
"""Batch size if the user gives none: an engine takes minutes to build, so there is one size."""


@dataclass(frozen=True)
class SessionPlan:
    """How the sessions of a backbone will be used."""

    threads: int
    """Number of CPU threads for each stream."""
    streams: int
    """Number of concurrent calls that the user asked for."""
    engines: Path | None
    """Folder of TensorRT's engines for this graph and these versions; None for other devices."""

    @property
    def pool_threads(self) -> int:
        """Size of ONNX Runtime's one thread pool; each stream also uses the thread that calls."""
        return 1 + self.streams * (self.threads - 1)


def streams_of(spec: DeviceSpec, asked: int) -> int:
    """Number of concurrent calls that keep the device busy."""
    if on_cores(spec):
        return asked
    return 1 if spec.kind in ONE_AT_A_TIME else GPU_STREAMS


def on_cores(spec: DeviceSpec) -> bool:
    """Whether the device is the processor, whose cores also decode images."""
    return spec.kind in ON_CORES and spec.index is None


def provider_options(spec: DeviceSpec, plan: SessionPlan, contents: "GraphContents") -> list[tuple[str, Options]]:
    """Providers with their options, in the order in which they take nodes; the CPU's always comes last."""
    own = _OPTIONS.get(spec.kind, _numbered)(spec, plan, contents)
    fallback = [(PROVIDERS["cuda"], cuda_options(spec))] if spec.kind == "tensorrt" else []
    return [(spec.provider, own), *fallback]


def cuda_options(spec: DeviceSpec) -> Options:
    """Options of CUDA, with which features do not change from run to run.

    The search for convolutions is HEURISTIC: EXHAUSTIVE times them, so it may choose others when a run is resumed, and
    features would then differ from those of an uninterrupted run. TF32 is off: its ten bits are not float32. Copies
    stay in the stream that computes: ONNX Runtime warns of races otherwise, and batches still overlap.
    """
    return {
        "device_id": str(spec.index),
        "cudnn_conv_algo_search": "HEURISTIC",
        "cudnn_conv_use_max_workspace": "1",
        "arena_extend_strategy": "kSameAsRequested",
        "do_copy_in_default_stream": "1",
        "use_tf32": "0",
    }


def tensorrt_options(spec: DeviceSpec, plan: SessionPlan, contents: "GraphContents") -> Options:
    """Options of TensorRT: engines and timings are stored; it computes in the precision of the graph, never below."""
    return {
        "device_id": str(spec.index),
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(plan.engines),
        "trt_timing_cache_enable": "True",
        "trt_timing_cache_path": str(plan.engines),
        "trt_fp16_enable": str(contents.float16),
        "trt_int8_enable": str(contents.quantised),
    }


def openvino_options(spec: DeviceSpec, plan: SessionPlan, contents: "GraphContents") -> Options:
    """Options of OpenVINO: a stream for each concurrent call, sharing all threads; never below float32."""
    where = {"device_type": "CPU" if spec.index is None else f"GPU.{spec.index}", "precision": "FP32"}
    if spec.index is not None:
        return where | {"num_streams": str(GPU_STREAMS)}
    return where | {"num_streams": str(plan.streams), "num_of_threads": str(plan.streams * plan.threads)}


def coreml_options(spec: DeviceSpec, plan: SessionPlan, contents: "GraphContents") -> Options:
    """Options of CoreML: the newer of its formats, on any of Apple's compute units."""
    return {"ModelFormat": "MLProgram", "MLComputeUnits": "ALL"}


def _cuda(spec: DeviceSpec, plan: SessionPlan, contents: "GraphContents") -> Options:
    return cuda_options(spec)


def _numbered(spec: DeviceSpec, plan: SessionPlan, contents: "GraphContents") -> Options:
    return {} if spec.index is None else {"device_id": str(spec.index)}


_OPTIONS: dict[str, Callable[[DeviceSpec, SessionPlan, "GraphContents"], Options]] = {
    "cuda": _cuda,
    "tensorrt": tensorrt_options,
    "openvino": openvino_options,
    "coreml": coreml_options,
}
