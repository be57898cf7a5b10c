"""Checks on random images that the outputs of a backbone can be features."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from featx.backbones.card import Card
from featx.backbones.session.feature_session import FeatureSession
from featx.backbones.session.opening import features_agree, open_session
from featx.backbones.session.whole import run_features
from featx.backbones.store import Backbone
from featx.errors import BackboneError, InferenceError

_IMAGES = 3


def try_outputs(backbone: Backbone) -> tuple[Card, tuple[str, ...]]:
    """The card with the dimensions and batch size that its outputs really have, and notes for the user.

    Raises BackboneError if an output is NaN or infinite, does not have one row per image, or differs between two runs.
    """
    shape = backbone.card.input.pixels.shape
    pixels = np.random.default_rng(0).integers(0, 256, (_IMAGES, *shape), np.uint8)
    card = _measured(backbone, pixels)
    session = open_session(replace(backbone, card=card), device="cpu")
    together = _run(session, pixels)
    if features_agree(_run_alone(session, pixels), together):
        return card, ()
    single = replace(backbone, card=replace(card, batch=1))
    session = open_session(single, device="cpu")
    first = _run(session, pixels)
    if not features_agree(_run(session, pixels), first):
        raise BackboneError(
            f"{backbone.path}: output {card.feature!r} differs when the model is run again; choose another --output"
        )
    return single.card, ("features depend on the other images of a batch, so images are run one at a time",)


def _measured(backbone: Backbone, pixels: NDArray[np.uint8]) -> Card:
    """The card with the dimension that each output has on these pixels."""
    measured = []
    rows, found = run_features(backbone, pixels)
    for output, features in zip(backbone.card.all_outputs, found, strict=True):
        if len(features) != rows:
            raise BackboneError(
                f"{backbone.path}: output {output.name!r} has {len(features)} rows for {rows} images: its first axis "
                "is not the batch; choose another --output"
            )
        if not np.isfinite(features).all():
            raise BackboneError(
                f"{backbone.path}: output {output.name!r} is NaN or infinite on random pixels; check --mean and --std, "
                "or choose another --output"
            )
        measured.append(replace(output, dim=features.shape[1]))
    return backbone.card.with_outputs(measured)


def _run(session: FeatureSession, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    try:
        return session(pixels)
    except InferenceError as error:
        raise BackboneError(
            f"{session.name}: does not run on {len(pixels)} images ({error}): the first axis of an output may not be "
            "the batch; choose another --output"
        ) from error


def _run_alone(session: FeatureSession, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Features of each image without the others; a batch of fixed size is filled with black images."""
    return np.concatenate([_run(session, pixels[row : row + 1]) for row in range(len(pixels))])
