"""Writes the weights of a trained tail into the model that it comes from, and checks what the model then computes."""

import tempfile
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from featx.backbones import Backbone, map_backbone, open_session, replace_weights, write_model
from featx.convert import model_input
from featx.errors import FineTuningError
from featx.finetuning.library import import_torch

if TYPE_CHECKING:
    from featx.finetuning.network.interpreter import Network

SAME_WITHIN = 1e-4
"""Largest difference between features of torch and of ONNX Runtime, relative to the largest feature."""


def write_network(backbone: Backbone, network: "Network", *, pixels: NDArray[np.uint8]) -> Any:
    """The model of the backbone (an onnx.ModelProto) with the weights of the network in place of its own.

    Everything else is as in the backbone's file, and external weights that did not change still lie next to it. A
    weight that the frozen part shares stays for that part, and the tail gets a copy. A few real images, `pixels`
    (n, size, size, 3), are run through both. Raises FineTuningError if a weight is not finite,
    or if the features of the model differ from those of torch by more than 1e-4 of the largest.
    """
    values = trained_values(network)
    model = replace_weights(backbone, network.tail, values)
    difference = _difference(backbone, network, model, pixels)
    if not difference <= SAME_WITHIN:
        raise FineTuningError(
            f"{backbone.name}: with the trained weights, features of torch and of ONNX Runtime differ by "
            f"{difference:.2g} of the largest feature, and at most {SAME_WITHIN:g} is allowed; nothing was written: "
            "cut it at a later tensor (--from)"
        )
    return model


def trained_values(network: "Network") -> dict[str, NDArray[np.float32]]:
    """Name of each weight in the file -> what it was trained to. Raises FineTuningError if one is not finite."""
    parameters = dict(network.named_parameters())
    values = {
        name: np.asarray(parameters[parameter].detach().cpu().numpy())
        for parameter, name in network.initializers.items()
    }
    for name, numbers in values.items():
        if not np.isfinite(numbers).all():
            raise FineTuningError(f"weight {name!r} became infinite or NaN; train with a smaller rate")
    return values


def _difference(backbone: Backbone, network: "Network", model: Any, pixels: NDArray[np.uint8]) -> float:
    """The largest difference of features of the model from those of torch, relative to the largest of them."""
    alone = backbone.with_outputs(backbone.card.all_outputs[:1])
    with tempfile.TemporaryDirectory(prefix="featx-") as folder:
        path = Path(folder) / backbone.path.name
        write_model(deepcopy(model), path, path=backbone.path)
        found = open_session(replace(alone, path=path), device="cpu")(pixels)
    expected = run_network(network, maps_of(backbone, network, pixels))
    return float(np.abs(found - expected).max()) / (float(np.abs(expected).max()) or 1.0)


def maps_of(backbone: Backbone, network: "Network", pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the network takes for these pixels."""
    tail = network.tail
    if tail.tensor == backbone.card.input.name:
        return np.asarray(model_input(backbone.card, pixels), np.float32)
    flat = open_session(map_backbone(backbone, tail.tensor), device="cpu")(pixels)
    return flat.reshape(len(pixels), *tail.shape)


def run_network(network: "Network", maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features (n, d) of these maps (n, *shape) by torch, in the precision of the network and where its weights are."""
    torch = import_torch()
    first = next(network.parameters(), None)
    with torch.inference_mode():
        given = torch.from_numpy(maps) if first is None else torch.from_numpy(maps).to(first.device, first.dtype)
        return np.asarray(network(given).cpu().numpy(), np.float32)
