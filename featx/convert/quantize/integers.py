"""Tries several ways to quantise a model to int8 and chooses the one that agrees best with float32."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from featx.backbones import Card
from featx.convert.quantize.layers import Layer, correct_biases, find_layers, float_nodes
from featx.convert.quantize.ort_quantizer import Ranges, fold, measure_ranges, spread, to_integers
from featx.convert.quantize.tries import Agreement, Try
from featx.errors import BackboneError

logger = logging.getLogger(__name__)

_CORRECTING = 32
"""Number of images over which biases are corrected, in one batch; more did not change the fourth digit."""
_FLOAT_LAYERS = 3
"""Largest number of first layers to keep in float32: they are small, but their errors reach all later layers."""
_FLOAT_WORK = 1 / 16
"""Largest share of all multiplications in these layers, so that int8 stays fast without measuring its speed."""
_ATTENTION = "Softmax"
"""Operator of attention: eight bits are too few for the residual sums of such models, so layers alone are tried too."""


@dataclass(frozen=True)
class _Candidate:
    model: ModelProto
    ranges: Ranges
    outcome: Try


def best_integers(
    model: ModelProto,
    card: Card,
    images: NDArray[np.float32],
    *,
    place: Path,
    measure: Callable[[ModelProto], Agreement],
) -> tuple[ModelProto, tuple[Try, ...]]:
    """The int8 model that agrees best with float32, and all tries. Raises BackboneError if the model has no layers."""
    folded = fold(model, place / "folded.onnx")
    layers = find_layers(folded, images.shape[1:])
    if not layers:
        raise BackboneError(f"{card.file}: has no convolution or dense layer to quantise; use another model")
    search = _Search(folded, layers, spread(images, _CORRECTING), measure)
    found = list[_Candidate]()
    for method, ranges in measure_ranges(place / "folded.onnx", images):
        found.append(search.attempt(method, {**ranges, card.input.name: _range_of_pixels(card)}))
    best = max(found, key=_agreement)
    found += search.vary(best)
    best = max(found, key=_agreement)
    return best.model, tuple(replace(candidate.outcome, chosen=candidate is best) for candidate in found)


def _agreement(candidate: _Candidate) -> float:
    return candidate.outcome.mean_cosine


def _range_of_pixels(card: Card) -> tuple[float, float]:
    """The range of the input, from black to white; int8 is exact there if all channels are normalised equally."""
    ends = (np.array([[0.0], [255.0]]) - np.array(card.input.pixels.mean)) / np.array(card.input.pixels.std)
    return float(ends.min()), float(ends.max())


@dataclass(frozen=True)
class _Search:
    """Quantises one model in different ways."""

    model: ModelProto
    layers: list[Layer]
    images: NDArray[np.float32]
    measure: Callable[[ModelProto], Agreement]

    def attempt(self, method: str, ranges: Ranges, *, floats: int = 0, layers_alone: bool = False) -> _Candidate:
        """Quantise, correct the biases, quantise again, and measure the agreement."""
        without = float_nodes(self.model, self.layers, first=floats)
        raw = to_integers(self.model, ranges, without=without, layers_alone=layers_alone)
        inside = [layer for layer in self.layers if layer.node not in without]
        corrected = correct_biases(self.model, raw, inside, self.images)
        quantised = to_integers(corrected, ranges, without=without, layers_alone=layers_alone)
        method += f", first layers ({floats}) in float32" if floats else ""
        method += ", layers alone" if layers_alone else ""
        agreement = self.measure(quantised)
        outcome = Try(method, agreement.mean, agreement.lowest)
        logger.info("%s: mean cosine %.5f, lowest %.5f", outcome.method, outcome.mean_cosine, outcome.lowest_cosine)
        return _Candidate(quantised, ranges, outcome)

    def vary(self, best: _Candidate) -> Iterator[_Candidate]:
        """Yields variations of the best way with fewer nodes in int8."""
        method = best.outcome.method
        total = sum(layer.work for layer in self.layers)
        for count in range(1, min(_FLOAT_LAYERS, len(self.layers) - 1) + 1):
            if sum(layer.work for layer in self.layers[:count]) <= _FLOAT_WORK * total:
                yield self.attempt(method, best.ranges, floats=count)
        if any(node.op_type == _ATTENTION for node in self.model.graph.node):
            yield self.attempt(method, best.ranges, layers_alone=True)
