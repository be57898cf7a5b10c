"""Compares a deployed model with what featx itself predicts for the same images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from featx.backbones import FeatureSession, OpenedModel
from featx.cache import join_views
from featx.deploy.graph.ending import PROBABILITIES
from featx.deploy.passes import BackbonePass
from featx.errors import HeadError
from featx.extract import read_pixels
from featx.heads import Head
from featx.inputs import SYMMETRIES, ImageSet, order_views
from featx.measures import THRESHOLD

Pixels: TypeAlias = NDArray[np.uint8]

MOST_IMAGES = 200
"""Number of images that are compared; of more, as many that are evenly spread over their order."""
MOST_VIEWS = 1600
"""Number of views that are compared: of images with more than eight each, fewer images."""
DRAWN_IMAGES = 32
"""Number of images that are drawn if none are given."""
AT_ONCE = 16
EXACT_WITHIN = 1e-4
"""Largest difference of a probability; rounding in float32 alone stays far below it."""
LAST_BITS = 2.0**-21
"""By how much features are changed, relative to each, to see which probabilities hinge on rounding."""
DRAWS = 16
HINGED = 1.5
"""How many times a probability may differ by what changes of the last bits do to it."""
TIES = 1e-5
"""Probabilities nearer to each other, or to the threshold, than this may give different labels."""


@dataclass(frozen=True)
class Comparison:
    """How far a deployed model is from featx's own predictions."""

    images: int
    drawn: bool
    """Whether the images were drawn at random, because none were given."""
    largest_difference: float
    """Of the probability of any class of any image."""
    hinging: int = 0
    """Number of images of which a probability hinges on rounding, so that it differs by more than EXACT_WITHIN."""


def read_checked(
    images: ImageSet | None, passes: Sequence[BackbonePass], sessions: Sequence[FeatureSession]
) -> list[Pixels]:
    """The pixels (n, views, size, size, 3) for each pass in the views that it has seen; random ones without images.

    Raises HeadError if no image can be read.
    """
    if images is None:
        return [_draw_views(session, seen(one)) for session, one in zip(sessions, passes, strict=True)]
    most = min(len(images), MOST_IMAGES, MOST_VIEWS // max(len(one.views) for one in passes))
    rows = np.unique(np.linspace(0, len(images) - 1, most).round().astype(int)).tolist()
    read = [read_pixels(images, rows, one.backbone, views=seen(one), decode=one.decode) for one in passes]
    common = [row for row in rows if all(row in found for found in read)]
    if not common:
        raise HeadError(f"none of {len(rows)} images to compare predictions on can be read; name others, or none")
    return [np.stack([found[row] for row in common]) for found in read]


def seen(one: BackbonePass) -> tuple[str, ...]:
    """The views that a comparison needs of each image: view 0, and those of the pass."""
    return order_views(one.views)


def views_of(one: BackbonePass, pixels: Pixels) -> Pixels:
    """The views (n, views, size, size, 3) that the pass reads, in its order, of those that were seen."""
    return pixels[:, [seen(one).index(view) for view in one.views]]


def _draw_views(session: FeatureSession, views: Sequence[str]) -> Pixels:
    """The views of random images: mirrors and turns as they are made, and other crops like further images."""
    drawn = _draw(session.new_buffer(DRAWN_IMAGES))
    return np.stack([_make(drawn, view, place) for place, view in enumerate(views)], axis=1)


def _make(drawn: Pixels, view: str, place: int) -> Pixels:
    if view in SYMMETRIES:
        return np.stack([SYMMETRIES[view](image) for image in drawn])
    return np.roll(drawn, place, axis=0)


def _draw(pixels: Pixels) -> Pixels:
    """The buffer, filled with squares of random colours, from one colour for an image to one for each pixel."""
    rng = np.random.default_rng(0)
    for place, image in enumerate(pixels):
        side = max(1, len(image) >> (place % 8))
        count = -(-len(image) // side)
        colours = rng.integers(0, 256, (count, count, image.shape[2]), np.uint8)
        image[:] = colours.repeat(side, axis=0).repeat(side, axis=1)[: len(image), : len(image)]
    return pixels


def own_features(
    sessions: Sequence[FeatureSession],
    passes: Sequence[BackbonePass],
    pixels: Sequence[Pixels],
    *,
    columns: Sequence[tuple[int, int]],
) -> NDArray[np.float32]:
    """The features (n, d) that a head is given for these pixels of each pass."""
    blocks: list[list[NDArray[np.float32]]] = []
    for session, one, given in zip(sessions, passes, pixels, strict=True):
        views = views_of(one, given)
        features = np.stack([_features_of(session, views[:, place]) for place in range(len(one.views))], axis=1)
        edges = np.cumsum([output.dim for output in session.outputs])[:-1]
        blocks.append([join_views(block, one.view_rule) for block in np.split(features, edges, axis=2)])
    return np.hstack([blocks[place][output] for place, output in columns])


def _features_of(session: FeatureSession, pixels: Pixels) -> NDArray[np.float32]:
    return np.concatenate([session(np.ascontiguousarray(pixels[part])) for part in _parts(len(pixels))])


def compare(
    head: Head,
    model: OpenedModel,
    *,
    features: NDArray[np.float32],
    inputs: Sequence[NDArray[Any]],
    drawn: bool,
) -> Comparison:
    """How far the model, given these values of its inputs, is from what the head says of these features (n, d).

    Raises HeadError if it is further away than rounding can lead.
    """
    own = head.predict_probabilities(features)
    labels, found = _run(head, model, inputs)
    differences = np.abs(found - own).max(axis=1)
    far = np.flatnonzero(~(differences <= EXACT_WITHIN))
    wrong = far[~(differences[far] <= HINGED * change_by_rounding(head, features[far]))]
    if len(wrong):
        worst = int(wrong[differences[wrong].argmax()])
        raise HeadError(
            f"head {head.name!r} cannot be deployed exactly: in ONNX Runtime a probability of image {worst + 1} of "
            f"{len(own)} is {differences[worst]:.1e} away from the one of featx, more than {EXACT_WITHIN:g}; use "
            "`featx predict`, or train another head"
        )
    if other := int(np.delete(_are_different(head, labels, own), far).sum()):
        raise HeadError(
            f"head {head.name!r} cannot be deployed exactly: ONNX Runtime gives {other} of {len(own)} images other "
            "labels; use `featx predict`, or train another head"
        )
    return Comparison(len(own), drawn, float(differences.max()), len(far))


def change_by_rounding(head: Head, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """The largest change (n,) of a probability if the last bits of the features (n, d) change at random.

    It is large where two training images are equally near, or where a machine has huge coefficients.
    """
    rng = np.random.default_rng(0)
    changes = np.zeros(len(features))
    if not len(features):
        return changes
    own = head.predict_probabilities(features)
    for _ in range(DRAWS):
        moved = features * (1 + rng.uniform(-LAST_BITS, LAST_BITS, features.shape)).astype(np.float32)
        changes = np.maximum(changes, np.abs(head.predict_probabilities(moved) - own).max(axis=1))
    return changes


def _run(head: Head, model: OpenedModel, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The labels and probabilities that the model gives."""
    names = [next(tensor.name for tensor in model.outputs if tensor.name != PROBABILITIES), PROBABILITIES]
    fixed = model.inputs[0].shape[0]
    parts = []
    for part in _parts(len(inputs[0]), fixed or AT_ONCE):
        given = [_filled(one[part], fixed) for one in inputs]
        parts.append([found[: len(inputs[0][part])] for found in model.run(given, outputs=names)])
    labels, probabilities = (np.concatenate(found) for found in zip(*parts, strict=True))
    return labels, probabilities.astype(np.float64)


def _filled(values: NDArray[Any], count: int | None) -> NDArray[Any]:
    """The values, repeated from the first up to this number of images."""
    return values if count is None else np.resize(values, (count, *values.shape[1:]))


def _parts(count: int, size: int = AT_ONCE) -> Iterator[slice]:
    yield from (slice(start, min(start + size, count)) for start in range(0, count, size))


def _are_different(head: Head, labels: NDArray[Any], own: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each image gets another label, where no probabilities are so near that rounding decides."""
    if head.multilabel:
        clear = np.abs(own - THRESHOLD) > TIES
        return np.asarray(((labels != (own > THRESHOLD)) & clear).any(axis=1))
    ordered = np.sort(own, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > TIES
    return np.asarray((labels != np.array(head.classes)[own.argmax(axis=1)]) & clear)
