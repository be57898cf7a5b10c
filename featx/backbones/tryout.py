"""A backbone in; its card, once its outputs were tried on pixels, with the dimensions and batch that they have, out."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from featx.backbones.card import Backbone, Card
from featx.backbones.session.feature_session import FeatureSession
from featx.backbones.session.opening import SAME_WITHIN, open_session
from featx.backbones.session.whole import run_features
from featx.errors import BackboneError, InferenceError

IMAGES = 3


def try_outputs(backbone: Backbone) -> tuple[Card, tuple[str, ...]]:
    """The card with what its outputs really are, and what there is to say of them.

    Raises BackboneError where an output is NaN or infinite, has no row for every image, or is not the same twice.
    """
    size = backbone.card.size
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, size, size, 3), np.uint8)
    card = _measured(backbone, pixels)
    session = open_session(replace(backbone, card=card), device="cpu")
    if _same(_run(session, pixels), _run_alone(session, pixels)):
        return card, ()
    single = replace(backbone, card=replace(card, batch=1))
    session = open_session(single, device="cpu")
    if not _same(_run(session, pixels), _run(session, pixels)):
        raise BackboneError(
            f"{backbone.path}: output {card.feature!r} is another one each time it is run; choose another --output"
        )
    return single.card, ("features depend on the other images of a batch: they are run one at a time",)


def _measured(backbone: Backbone, pixels: NDArray[np.uint8]) -> Card:
    measured = []
    rows, made = run_features(backbone, pixels)
    for output, features in zip(backbone.card.taken, made, strict=True):
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
    return backbone.card.taking(measured)


def _run(session: FeatureSession, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    try:
        return session(pixels)
    except InferenceError as error:
        raise BackboneError(
            f"{session.name}: does not run on {len(pixels)} images ({error}): the first axis of an output may be "
            "another than the batch; choose another --output"
        ) from error


def _run_alone(session: FeatureSession, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The same, other pictures beside each: none, or black ones where a batch is fixed."""
    return np.concatenate([_run(session, pixels[place : place + 1]) for place in range(len(pixels))])


def _same(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether features agree, each column on the scale of the largest feature."""
    return np.allclose(one, other, rtol=0, atol=SAME_WITHIN * float(np.abs(one).max(initial=0)))
