"""Draws the weights of a backbone anew, and installs the result as a backbone that transfers nothing."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.external_data_helper import uses_external_data

from featx.backbones import Backbone, find_precision, load_model, remember, user_folder, vet, view_model, write_model
from featx.convert.adding import install
from featx.convert.own_folder import reserve_name
from featx.convert.quantize.tries import features_on_cpu
from featx.convert.randomize.naming import describe_origin, random_name
from featx.convert.randomize.roles import Distribution, find_distributions, stored_tensors
from featx.convert.verifying import DRAWN_IMAGES, draw_pixels
from featx.errors import BackboneError

_LEAST_SPREAD = 1e-5
"""Least deviation of features between images, relative to the largest feature."""


def randomize_backbone(
    backbone: Backbone, *, seed: int = 0, name: str = "", into: Path | str | None = None, overwrite: bool = False
) -> Backbone:
    """The backbone's graph with weights drawn by this seed, installed in the folder `into` (by default the user's).

    It is what the network is before any training: weights of layers as by He et al. (2015, arXiv 1502.01852), biases 0,
    normalisations that change nothing, embeddings with deviation 0.02. So what its features tell comes from the graph
    alone, and a source that is not better transfers nothing. Equal seeds give equal files. It is called `name`, or
    `random-NAME`, or `random-NAME-seedS` for another seed than 0. Raises BackboneError if the backbone is quantised or
    a baseline, if its graph has weights that cannot be drawn, or if the name is taken.

    >>> import featx
    >>> drawn = featx.randomize_backbone(featx.load_backbone("efficientnet-lite0"), into="models")
    >>> drawn.name, drawn.card.baseline, drawn.card.dim
    ('random-efficientnet-lite0', 'random weights', 1280)
    """
    if seed < 0:
        raise BackboneError(f"seed {seed} should be 0 or above; choose another --seed")
    _check_source(backbone)
    folder = user_folder() if into is None else Path(into)
    name = name or random_name(backbone.name, seed)
    with (
        reserve_name(name, folder, overwrite=overwrite) as reserved,
        tempfile.TemporaryDirectory(prefix="featx-") as place,
    ):
        vet(backbone)
        drawn = _draw(backbone, Path(place) / f"{name}.onnx", seed=seed)
        _check_features(drawn, seed)
        installed = install(drawn.path, drawn.card, reserved)
        remember(installed)
        return installed


def _check_source(backbone: Backbone) -> None:
    """Refuse backbones without trained weights that can be drawn."""
    card = backbone.card
    if card.baseline:
        raise BackboneError(
            f"{card.name}: is a baseline already ({card.baseline}); name a backbone with trained weights"
        )
    if card.quantized or card.computes_in == "int8" or find_precision(backbone.path) == "int8":
        source = f", {card.quantized.source!r}" if card.quantized else ""
        raise BackboneError(f"{card.name}: is quantised; randomise the backbone that it was made from{source}")


def _draw(backbone: Backbone, into: Path, *, seed: int) -> Backbone:
    """Write the model with drawn weights to this file; returns it as a backbone whose card lacks the hash."""
    card = backbone.card
    model = load_model(backbone.path)
    try:
        found = find_distributions(view_model(model, card.input.name, shape=(1, *card.input.sides)))
    except BackboneError as error:
        raise BackboneError(f"{card.name}: {error}") from error
    external = any(map(uses_external_data, stored_tensors(model.graph).values()))
    _replace_weights(model, found, seed)
    if external:
        write_model(model, into, path=backbone.path)
    else:
        into.write_bytes(model.SerializeToString())
    name = into.name.removesuffix(".onnx")
    dropped: dict[str, Any] = dict.fromkeys(("data", "data_sha256", "golden", "reference"), "")
    source = describe_origin(backbone, seed)
    changed = replace(card, name=name, file=into.name, source=source, tuned=None, **dropped)
    return Backbone(replace(changed, baseline="random weights"), into)


def _replace_weights(model: ModelProto, found: dict[str, Distribution], seed: int) -> None:
    """Replace the stored tensors by draws, one after the other from the same generator."""
    rng = np.random.default_rng(seed)
    stored = stored_tensors(model.graph)
    for name, distribution in found.items():
        _replace_tensor(stored[name], distribution, rng)


def _replace_tensor(tensor: TensorProto, distribution: Distribution, rng: np.random.Generator) -> None:
    shape = tuple(tensor.dims)
    values = np.full(shape, distribution.mean, np.float32)
    if distribution.deviation:
        values += np.float32(distribution.deviation) * rng.standard_normal(shape, np.float32)
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    tensor.CopyFrom(numpy_helper.from_array(values.astype(dtype), tensor.name))


def _check_features(drawn: Backbone, seed: int) -> None:
    """Refuse weights with which an output is not finite, or the same for all of a few drawn images."""
    card = drawn.card
    features = features_on_cpu(drawn, draw_pixels(card.input.pixels.size, count=DRAWN_IMAGES)).astype(np.float64)
    stop = 0
    for output in card.all_outputs:
        start, stop = stop, stop + output.dim
        values = features[:, start:stop]
        finite = bool(np.isfinite(values).all())
        if not finite or not values.std(axis=0).max() > _LEAST_SPREAD * np.abs(values).max():
            problem = "the same for all images" if finite else "NaN or infinite"
            raise BackboneError(
                f"{card.name}: with weights of seed {seed}, output {output.name!r} is {problem}; choose another "
                "--seed, or another backbone"
            )
