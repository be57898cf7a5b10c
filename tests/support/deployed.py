"""Heads on real small backbones, without training on images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from featx.backbones import Backbone, open_session
from featx.cache import Source
from featx.estimators import SoftmaxRegression
from featx.heads import Head
from tests.support.graphs import random_pixels

CLASSES = ("plain", "q\"uo'te <b>", "Straße 猫\u202e")


def head_on(
    *backbones: Backbone,
    classifier: BaseEstimator | None = None,
    steps: Sequence[BaseEstimator] = (),
    decodes: Sequence[str] = (),
    multilabel: bool = False,
) -> Head:
    """A head of three classes on the outputs of these backbones, fitted to their features of random pixels."""
    blocks, sources = [], list[Source]()
    start = 0
    for place, backbone in enumerate(backbones):
        decode: Any = decodes[place] if decodes else "exact"
        for output in backbone.card.all_outputs:
            one = backbone.with_outputs([output])
            session = open_session(one, device="cpu")
            blocks.append(session(pixels_of(one, 60)))
            stop = start + output.dim
            sources.append(Source(one.hash, session.provider, one.card.to_dict(), start, stop, decode))
            start = stop
    labels = np.arange(60) % 3
    named = [(f"step{place}", step) for place, step in enumerate(steps)]
    pipeline = Pipeline([*named, ("classifier", classifier or SoftmaxRegression(0.1))])
    pipeline.fit(np.hstack(blocks), np.eye(3, dtype=int)[labels] if multilabel else labels)
    measures = {"accuracy": 0.9, "average_precision": 0.9}
    metrics = measures | {f"{name}_ci": [0.8, 1.0] for name in measures} | {"n": 15}
    training = {"metrics": metrics, "split": "a quarter"}
    return Head("logreg", CLASSES, {}, tuple(sources), training, pipeline, 0.7, multilabel)


def pixels_of(backbone: Backbone, count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Random pixels with some colour of their own, in the size of the backbone."""
    drawn = random_pixels(count, backbone.card.input.pixels.size, seed).astype(int)
    colours = np.random.default_rng(seed).integers(-120, 120, (count, 1, 1, 3))
    return (drawn + colours).clip(0, 255).astype(np.uint8)
