"""Opens a backbone on a device, as a session that maps pixels to features."""

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from featx.backbones.session.diagnosing import choose_devices
from featx.backbones.session.engines import keep_engines
from featx.backbones.session.feature_session import Features, FeatureSession
from featx.backbones.session.lanes import BoundLane, Lane, Lanes, PlainLane
from featx.backbones.session.nvidia import LIBRARIES, CudaMemory, HostMemory, gpus, load_cuda
from featx.backbones.session.placing import warn_of_nodes_on_cpu
from featx.backbones.session.providers import (
    COMPILED,
    TENSORRT_BATCH,
    SessionPlan,
    on_cores,
    provider_options,
    streams_of,
)
from featx.backbones.session.runtime import CPU, new_session
from featx.backbones.store import Backbone
from featx.devices import DeviceSpec
from featx.errors import BackboneError, InferenceError
from featx.hardware import processor, usable_cores
from featx.settings import Device

if TYPE_CHECKING:
    import onnxruntime

    from featx.backbones.graph.surgery import PreparedGraph

logger = logging.getLogger(__name__)

SAME_WITHIN = 1e-4
"""Largest difference, relative to the largest feature, between features that count as equal."""


def open_session(
    backbone: Backbone,
    *,
    device: Device = "auto",
    threads: int | None = None,
    streams: int = 1,
    batch_size: int | None = None,
) -> FeatureSession:
    """Open a backbone on a device; `auto` uses CUDA if a session really gets it, else the CPU.

    Each of `streams` concurrent calls uses `threads` CPU threads. If all calls will have the same number of images,
    give it as `batch_size`: devices that compile the graph do so for this size. A batch axis that the exporter fixed is
    made dynamic if features stay the same; else the model runs at that size, with a warning. Raises DeviceError if the
    device is not available: there is no silent fallback to the CPU.

    >>> import featx, numpy as np
    >>> session = featx.open_session(featx.load_backbone("efficientnet-lite0"), device="cpu")
    >>> session.provider
    'CPUExecutionProvider'
    >>> session(np.zeros((2, 224, 224, 3), np.uint8)).shape
    (2, 1280)
    """
    prepared = prepare_runnable(backbone)
    return open_graph(backbone, prepared, device=device, threads=threads, streams=streams, batch_size=batch_size)


def prepare_runnable(backbone: Backbone) -> "PreparedGraph":
    """The prepared graph, whose batch axis is dynamic if features then stay the same; a warning says if they do not."""
    from featx.backbones.graph.surgery import prepare_graph

    prepared = prepare_graph(backbone)
    if prepared.freed and (problem := _batch_problem(backbone, prepared)):
        prepared = prepare_graph(backbone, keep_batch=True)
        logger.warning(
            "%s: its graph fixes the batch at %d images (%s); it runs that many at a time",
            backbone.path,
            prepared.batch,
            problem,
        )
    return prepared


def open_graph(
    backbone: Backbone,
    prepared: "PreparedGraph",
    *,
    device: Device = "auto",
    threads: int | None = None,
    streams: int = 1,
    batch_size: int | None = None,
) -> FeatureSession:
    """Open the graph that was prepared from this backbone, as open_session does."""
    specs = choose_devices(device)
    streams = max(1, streams)
    fixed = None if prepared.freed else prepared.batch
    batch = fixed or _compiled_batch(specs[0], backbone.card.batch or batch_size)
    with keep_engines(backbone, prepared, batch) if specs[0].kind == "tensorrt" else nullcontext() as engines:
        plan = SessionPlan(threads or max(1, usable_cores() // streams), streams, engines)
        sessions = _open(backbone, prepared, specs, plan, override=batch if batch != fixed else None)
    memory = CudaMemory(load_cuda(), specs[0].index or 0) if specs[0].kind in LIBRARIES else HostMemory()
    per_device = streams_of(specs[0], streams)
    lanes = [_lane(session, spec) for _ in range(per_device) for session, spec in zip(sessions, specs, strict=True)]
    run = Lanes(lanes, name=backbone.name, fixed=backbone.card.batch or batch)
    return FeatureSession(
        provider=specs[0].provider_label,
        name=backbone.name,
        outputs=backbone.card.all_outputs,
        step=backbone.card.batch or batch,
        batch=batch,
        size=backbone.card.input.pixels.size,
        streams=len(lanes),
        run=lambda pixels: _joined(run(pixels), backbone, len(pixels)),
        on_cpu=on_cores(specs[0]),
        device=_hardware(specs),
        zeros=memory.zeros,
    )


def _compiled_batch(spec: DeviceSpec, batch: int | None) -> int | None:
    """The one batch size for which the device compiles the graph; None if it takes any."""
    if spec.kind not in COMPILED:
        return None
    return batch or (TENSORRT_BATCH if spec.kind == "tensorrt" else None)


def _open(
    backbone: Backbone,
    prepared: "PreparedGraph",
    specs: Sequence[DeviceSpec],
    plan: SessionPlan,
    *,
    override: int | None,
) -> "list[onnxruntime.InferenceSession]":
    """A session on each device; warns of nodes that the first one leaves to the CPU."""
    common: dict[str, Any] = {"name": str(backbone.path), "threads": plan.pool_threads, "folder": prepared.folder}
    if specs == (CPU,):
        return [new_session(prepared.model, CPU, **common)]
    from featx.backbones.graph.contents import read_contents

    contents = read_contents(prepared.model)
    sessions = []
    for spec in specs:
        providers = provider_options(spec, plan, contents)
        sessions.append(new_session(prepared.model, spec, providers=providers, batch=override, **common))
    warn_of_nodes_on_cpu(sessions[0], contents, name=backbone.name)
    return sessions


def _lane(session: "onnxruntime.InferenceSession", spec: DeviceSpec) -> Lane:
    if spec.kind not in LIBRARIES:
        return PlainLane(session)
    index = spec.index or 0
    return BoundLane(session, CudaMemory(load_cuda(), index), device="cuda", index=index)


def _hardware(specs: Sequence[DeviceSpec]) -> str:
    """The hardware, in words."""
    if on_cores(specs[0]):
        return processor()
    if specs[0].kind not in LIBRARIES:
        return "; ".join(map(str, specs))
    found = gpus()
    return "; ".join(found[spec.index or 0] for spec in specs)


def _joined(outputs: Sequence[NDArray[Any]], backbone: Backbone, count: int) -> Features:
    """The outputs side by side, after a check of their shapes against the card."""
    for output, features in zip(backbone.card.all_outputs, outputs, strict=True):
        if features.shape != (count, output.dim):
            raise InferenceError(
                f"output {output.name!r} of {backbone.name} has shape {features.shape} but its card says "
                f"{(count, output.dim)}; correct the card"
            )
    return np.asarray(outputs[0] if len(outputs) == 1 else np.concatenate(outputs, axis=1), np.float32)


def _batch_problem(backbone: Backbone, prepared: "PreparedGraph") -> str | None:
    """Why a graph whose batch axis was made dynamic cannot be used, tried with one more image; None if it can."""
    from featx.backbones.graph.surgery import prepare_graph

    size = backbone.card.input.pixels.size
    batch = prepared.batch or 1
    pixels = np.random.default_rng(0).integers(0, 256, (batch + 1, size, size, 3), np.uint8)
    expected = open_graph(backbone, prepare_graph(backbone, keep_batch=True), device="cpu")(pixels)
    try:
        features = open_graph(backbone, prepared, device="cpu")(pixels)
    except (BackboneError, InferenceError) as error:
        logger.debug("%s with a dynamic batch axis: %s", backbone.path, error)
        return "it does not run at another size"
    edges = np.cumsum([output.dim for output in backbone.card.all_outputs])[:-1]
    parts = zip(np.split(features, edges, axis=1), np.split(expected, edges, axis=1), strict=True)
    agree = all(features_agree(found, wanted) for found, wanted in parts)
    return None if agree else "features differ at another size"


def features_agree(found: Features, wanted: Features) -> bool:
    """Whether features are equal except for rounding, on the scale of the largest feature of `wanted`."""
    return np.allclose(found, wanted, rtol=0, atol=SAME_WITHIN * float(np.abs(wanted).max(initial=0)), equal_nan=True)
