"""Measures what fast decoding does to pixels and features, compared with exact decoding."""

import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featx.backbones import Backbone, open_session
from featx.convert.verifying import DRAWN_IMAGES, row_cosines, split_outputs
from featx.errors import DecodeError, ImageSetError
from featx.inputs import ImageSet, PixelSpec, Stored, decode_image, encode_jpeg, fast_reduction
from featx.settings import DECODES, DEFAULTS, Device

MOST_SAMPLED = 256
"""Largest number of images of a set on which fast decoding is measured."""
DRAWN_SIDES = (2.2, 4.4)
"""Shorter sides of drawn photographs, in multiples of `resize`, which fast decoding reads at 1/2 and 1/4."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FastEffect:
    """The effect of fast decoding on the images that it reads at one scale; a measurement, not a check."""

    part: int
    """Each side of the images is read at 1/part of its length; 1 if fast decoding reads them exactly."""
    output: str
    images: int
    """Number of images."""
    mean_cosine: float
    """Mean cosine between the features of an image decoded fast and decoded exactly."""
    lowest_cosine: float
    pixel_difference: float
    """Mean absolute difference of pixels, on the scale 0 to 255."""


def measure_fast(
    backbone: Backbone, *, images: ImageSet | None = None, device: Device = DEFAULTS.device
) -> tuple[FastEffect, ...]:
    """Measure what fast decoding does to pixels and features: one effect for each scale of reading and each output.

    At most MOST_SAMPLED of the images are used, spread over the set; without images, photographs are drawn: noise with
    the spectrum of natural images (Field 1987). Images that fail are skipped with a warning. Raises ImageSetError if
    all of them fail, and BackboneError, DeviceError and InferenceError as sessions do.
    """
    card = backbone.card
    spec = card.input.pixels
    session = open_session(backbone, device=device)
    found = defaultdict[tuple[int, str], list[tuple[float, float]]](list)
    for name, stored in _draw_photographs(spec) if images is None else _sample(images):
        try:
            pixels = np.stack([decode_image(stored, spec, decode=decode) for decode in DECODES])
        except DecodeError as error:
            logger.warning("%s is skipped: %s", name, error)
            continue
        part = fast_reduction(stored, spec)
        difference = float(np.abs(np.diff(pixels.astype(np.int16), axis=0)).mean())
        for output, features in zip(card.all_outputs, split_outputs(card, session(pixels)), strict=True):
            found[part, output.name].append((float(row_cosines(features[:1], features[1:])[0]), difference))
    if not found and images is not None:
        raise ImageSetError(f"none of {min(MOST_SAMPLED, len(images))} images of the set can be decoded; name others")
    return tuple(_sum_up(part, output, np.array(values)) for (part, output), values in sorted(found.items()))


def _sum_up(part: int, output: str, values: NDArray[np.float64]) -> FastEffect:
    cosines, differences = values.T
    return FastEffect(
        part=part,
        output=output,
        images=len(values),
        mean_cosine=float(cosines.mean()),
        lowest_cosine=float(cosines.min()),
        pixel_difference=float(differences.mean()),
    )


def _sample(images: ImageSet) -> Iterator[tuple[str, Stored]]:
    for row in np.unique(np.linspace(0, len(images) - 1, MOST_SAMPLED).astype(int)).tolist():
        try:
            yield images.name(row), images.read_bounded(row)
        except OSError as error:
            logger.warning("%s is skipped: %s", images.name(row), error.strerror or error)


def _draw_photographs(spec: PixelSpec) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of JPEGs whose amplitudes fall with frequency, as in photographs; equal in every call."""
    rng = np.random.default_rng(0)
    for number in range(DRAWN_IMAGES):
        height = int(DRAWN_SIDES[number % len(DRAWN_SIDES)] * spec.resize)
        shape = (height, height * 3 // 2)
        frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1]))
        frequency[0, 0] = np.inf
        layers = [np.fft.irfft2(np.fft.rfft2(rng.normal(size=shape)) / frequency, shape) for _ in range(4)]
        grey, *colours = (layer / layer.std() for layer in layers)
        pixels = np.stack([128 + 45 * grey + 15 * colour for colour in colours], axis=-1)
        yield f"drawing {number}", encode_jpeg(np.clip(pixels, 0, 255).astype(np.uint8), quality=90)
