"""Checks on random images that the outputs of a backbone can be features."""

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from featx.apart import Allow, Limits
from featx.backbones.card import Card
from featx.backbones.foreign import limits_for, run_foreign
from featx.backbones.graph.planning import plan_memory
from featx.backbones.session.feature_session import FeatureSession
from featx.backbones.session.opening import features_agree, open_session
from featx.backbones.session.whole import run_features
from featx.backbones.store import Backbone
from featx.errors import BackboneError, InferenceError

_IMAGES = 3


_USUAL_SIDE = 512
"""Height and width of images from which on a model is given more time."""


def try_apart(backbone: Backbone) -> tuple[Card, tuple[str, ...]]:
    """What try_outputs returns, from a process of its own, which is ended if it takes too much time or memory."""
    return run_foreign(partial(_try, backbone), model=backbone.path)


def _try(backbone: Backbone, allow: Allow) -> tuple[Card, tuple[str, ...]]:
    return try_outputs(backbone, allow=allow)


def limits_of_run(backbone: Backbone, *, images: int) -> Limits:
    """What a model may use that is run with this many images at once, according to the shapes of its tensors."""
    plan = plan_memory(backbone, images=images)
    side = backbone.card.input.pixels.size
    return limits_for(plan.stored, working=plan.working, slower=max(1.0, (side / _USUAL_SIDE) ** 2))


def try_outputs(backbone: Backbone, *, allow: Allow | None = None) -> tuple[Card, tuple[str, ...]]:
    """The card with the dimensions and batch size that its outputs really have, and notes for the user.

    With `allow`, limits that follow from the shapes of the model's tensors are set first. Raises BackboneError if an
    output is NaN or infinite, does not have one row per image, or differs between two runs.
    """
    if allow:
        allow(limits_of_run(backbone, images=_IMAGES))
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
