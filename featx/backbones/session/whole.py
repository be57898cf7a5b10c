"""Runs a backbone on the CPU without checks of its outputs: as exported, or as prepared by featx."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from featx.backbones.session.feature_session import Features, Pixels, padded
from featx.backbones.session.lanes import Lanes, PlainLane
from featx.backbones.session.runtime import CPU, new_session
from featx.backbones.store import Backbone
from featx.hardware import usable_cores

if TYPE_CHECKING:
    from featx.backbones.graph.surgery import PreparedGraph


def run_whole(backbone: Backbone, images: NDArray[Any]) -> list[Features]:
    """The tensors of the card's outputs, computed on the CPU by the model as exported.

    `images` is the value of the model's own input. Raises BackboneError and InferenceError as sessions do.
    """
    from featx.backbones.graph.surgery import whole_graph

    prepared = whole_graph(backbone)
    run = _open(backbone, prepared)
    step = backbone.card.batch or prepared.batch or len(images)
    parts: list[list[NDArray[Any]]] = [[] for _ in backbone.card.all_outputs]
    for block in (images[start : start + step] for start in range(0, len(images), step)):
        for part, tensor in zip(parts, run(padded(block, prepared.batch or len(block))), strict=True):
            part.append(tensor[: len(block)])
    return [np.concatenate(part).astype(np.float32) for part in parts]


def run_features(backbone: Backbone, pixels: Pixels) -> tuple[int, list[Features]]:
    """Number of images that were run on the CPU, and their values of every output of the card, in whatever shape."""
    from featx.backbones.graph.surgery import prepare_graph

    prepared = prepare_graph(backbone, keep_batch=True)
    batch = prepared.batch or len(pixels)
    outputs = _open(backbone, prepared)(padded(pixels[:batch], batch))
    return batch, [np.asarray(features, np.float32) for features in outputs]


def _open(backbone: Backbone, prepared: "PreparedGraph") -> Callable[[NDArray[Any]], list[NDArray[Any]]]:
    session = new_session(prepared.model, CPU, name=str(backbone.path), threads=usable_cores(), folder=prepared.folder)
    return Lanes([PlainLane(session)], name=backbone.name, fixed=prepared.batch)
