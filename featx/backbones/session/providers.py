"""A device in; what ONNX Runtime is told about it, out. Pure: the hardware need not be there."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from featx.devices import PROVIDERS, DeviceSpec

if TYPE_CHECKING:
    from featx.backbones.graph.contents import GraphContents

Options = dict[str, str]

COMPILED = ("tensorrt", "openvino", "coreml", "migraphx")
"""Kinds that compile the graph: for one size of a batch, where that is known, they do it once and better."""
ONE_AT_A_TIME = ("directml", "coreml")
"""Kinds of which one call runs at a time."""
ON_CORES = ("cpu", "openvino", "dnnl", "xnnpack")
"""Kinds that run on the processor, unless an index says otherwise."""
GPU_STREAMS = 2
"""Calls at once that a GPU is worth: one batch is copied while another runs."""
TENSORRT_BATCH = 64
"""Where nobody says how many images are run at once: an engine takes minutes to build, so there is one size."""


@dataclass(frozen=True)
class SessionPlan:
    """How sessions are going to be used."""

    threads: int
    """Threads of the processor for each stream."""
    streams: int
    """Calls at once that were asked for."""
    engines: Path | None
    """TensorRT's folder for this graph in these versions; None for other devices."""

    @property
    def pool_threads(self) -> int:
        """Threads of ONNX Runtime's one pool, so that every stream has its own: that which calls is one of them."""
        return 1 + self.streams * (self.threads - 1)


def streams_of(spec: DeviceSpec, asked: int) -> int:
    """How many calls at once are worth it on the device."""
    if on_cores(spec):
        return asked
    return 1 if spec.kind in ONE_AT_A_TIME else GPU_STREAMS


def on_cores(spec: DeviceSpec) -> bool:
    """Whether the device is the processor, on whose cores images are decoded, too."""
    return spec.kind in ON_CORES and spec.index is None


def provider_options(spec: DeviceSpec, plan: SessionPlan, contents: "GraphContents") -> list[tuple[str, Options]]:
    """Providers with their options, in the order in which they may take nodes; the CPU's stands behind all of them."""
    own = _OPTIONS.get(spec.kind, _numbered)(spec, plan, contents)
    behind = [(PROVIDERS["cuda"], cuda_options(spec))] if spec.kind == "tensorrt" else []
    return [(spec.provider, own), *behind]


def cuda_options(spec: DeviceSpec) -> Options:
    """The options of CUDA.

    The search for convolutions is HEURISTIC: EXHAUSTIVE times them and may choose others the next time, and then a run
    that was killed and resumed would not equal one that was not. TF32 is off: its ten bits are not float32.
    Copies stay in the stream that computes: ONNX Runtime warns of races else; other batches overlap anyway.
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
    """The options of TensorRT: engines and timings are kept; precision is the graph's, never below."""
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
    """The options of OpenVINO: as many streams as calls, sharing the threads; never below float32."""
    where = {"device_type": "CPU" if spec.index is None else f"GPU.{spec.index}", "precision": "FP32"}
    if spec.index is not None:
        return where | {"num_streams": str(GPU_STREAMS)}
    return where | {"num_streams": str(plan.streams), "num_of_threads": str(plan.streams * plan.threads)}


def coreml_options(spec: DeviceSpec, plan: SessionPlan, contents: "GraphContents") -> Options:
    """The options of CoreML: the newer of its formats, on whichever of Apple's units takes a node."""
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
