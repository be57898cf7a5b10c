"""A folded float32 model and images in; int8 models that were tried, the best of them by measured agreement, out."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from featx.backbones import Card
from featx.convert.quantize.layers import (
    Layer,
    correct_biases,
    find_layers,
    float_nodes,
)
from featx.convert.quantize.ort_quantizer import (
    Ranges,
    fold,
    measure_ranges,
    spread,
    to_integers,
)
from featx.convert.quantize.tries import Agreement, Try
from featx.errors import BackboneError

logger = logging.getLogger(__name__)

CORRECTING = 32
"""Images over which biases are corrected, all at once; more changed nothing in the fourth digit."""
FLOAT_LAYERS = 3
"""First layers that may stay in float32: few channels, but whatever they lose is lost to all that follows."""
FLOAT_WORK = 1 / 16
"""Share of all multiplications up to which they may: int8 stays fast, and the choice does not depend on a clock."""
TRANSFORMING = "Softmax"
"""Models with attention have residual sums that eight bits do not hold: there only layers are quantised, too."""


@dataclass(frozen=True)
class _Candidate:
    model: ModelProto
    ranges: Ranges
    told: Try


def best_integers(
    model: ModelProto,
    card: Card,
    images: NDArray[np.float32],
    *,
    place: Path,
    measure: Callable[[ModelProto], Agreement],
) -> tuple[ModelProto, tuple[Try, ...]]:
    """The int8 model that agrees best, and all that were tried. Raises BackboneError where nothing can be quantised."""
    folded = fold(model, place / "folded.onnx")
    layers = find_layers(folded, images.shape[1:])
    if not layers:
        raise BackboneError(f"{card.file}: has no convolution or dense layer to quantise; take another model")
    search = _Search(folded, layers, spread(images, CORRECTING), measure)
    found = list[_Candidate]()
    for method, ranges in measure_ranges(place / "folded.onnx", images):
        found.append(search.attempt(method, {**ranges, card.input.name: _range_of_pixels(card)}))
    best = max(found, key=_agreement)
    found += search.vary(best)
    best = max(found, key=_agreement)
    return best.model, tuple(replace(one.told, chosen=one is best) for one in found)


def _agreement(candidate: _Candidate) -> float:
    return candidate.told.mean_cosine


def _range_of_pixels(card: Card) -> tuple[float, float]:
    """From black to white: a byte then stands for a pixel, exactly where all channels have one mean and deviation."""
    ends = (np.array([[0.0], [255.0]]) - np.array(card.input.pixels.mean)) / np.array(card.input.pixels.std)
    return float(ends.min()), float(ends.max())


@dataclass(frozen=True)
class _Search:
    """One way to quantise after another."""

    model: ModelProto
    layers: list[Layer]
    images: NDArray[np.float32]
    measure: Callable[[ModelProto], Agreement]

    def attempt(self, method: str, ranges: Ranges, *, floats: int = 0, layers_alone: bool = False) -> _Candidate:
        """Quantise, correct the biases, quantise again, measure."""
        without = float_nodes(self.model, self.layers, first=floats)
        raw = to_integers(self.model, ranges, without=without, layers_alone=layers_alone)
        inside = [layer for layer in self.layers if layer.node not in without]
        corrected = correct_biases(self.model, raw, inside, self.images)
        made = to_integers(corrected, ranges, without=without, layers_alone=layers_alone)
        method += f", first layers ({floats}) in float32" if floats else ""
        method += ", layers alone" if layers_alone else ""
        agreement = self.measure(made)
        told = Try(method, agreement.mean, agreement.lowest)
        logger.info("%s: mean cosine %.5f, lowest %.5f", told.method, told.mean_cosine, told.lowest_cosine)
        return _Candidate(made, ranges, told)

    def vary(self, best: _Candidate) -> Iterator[_Candidate]:
        """The best way again, but with fewer nodes in int8."""
        method, total = best.told.method, sum(layer.work for layer in self.layers)
        for count in range(1, min(FLOAT_LAYERS, len(self.layers) - 1) + 1):
            if sum(layer.work for layer in self.layers[:count]) <= FLOAT_WORK * total:
                yield self.attempt(method, best.ranges, floats=count)
        if any(node.op_type == TRANSFORMING for node in self.model.graph.node):
            yield self.attempt(method, best.ranges, layers_alone=True)
