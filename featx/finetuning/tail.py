"""The trained part of a network in torch: from a map to the feature, and a linear layer from there to the classes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.estimators import LinearScores
from featx.finetuning.library import import_torch
from featx.finetuning.maps import Rows, TailInputs
from featx.measures import to_probabilities

AT_ONCE = 64
"""Number of maps that go through the tail at once where nothing is learned."""


def build_tail(network: Any, scores: LinearScores) -> Any:
    """The network followed by a linear layer with these coefficients, as one module of torch.

    Batch normalisation stays in evaluation: statistics of small batches of mirrored views would not be those of the
    images that the features are later computed of.
    """
    torch = import_torch()
    classes, width = scores.coefficients.shape
    linear = torch.nn.utils.skip_init(torch.nn.Linear, width, classes)  # which would draw from a shared generator
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(scores.coefficients.astype(np.float32)))
        linear.bias.copy_(torch.from_numpy(scores.intercepts.astype(np.float32)))
    return torch.nn.Sequential(network, linear).eval()


def predict_rows(tail: Any, inputs: TailInputs, rows: Rows, *, device: str, views: int | None = None) -> NDArray[Any]:
    """The probabilities (n, classes) of these rows, as the mean over views; over the first `views` if that is given."""
    count = inputs.views if views is None else views
    at_once = max(1, AT_ONCE // count)
    parts = []
    for start in range(0, len(rows), at_once):
        some = rows[start : start + at_once]
        maps = inputs.take(np.repeat(some, count), np.tile(np.arange(count), len(some)))
        found = to_probabilities(run_module(tail, maps, device=device).astype(np.float64))
        parts.append(found.reshape(len(some), count, -1).mean(axis=1))
    return np.concatenate(parts)


def run_module(module: Any, maps: NDArray[np.float32], *, device: str) -> NDArray[np.float32]:
    """What the module gives for these maps (n, ...), as an array; nothing is learned."""
    torch = import_torch()
    with torch.inference_mode():
        return np.asarray(module(torch.from_numpy(maps).to(device)).cpu().numpy())
