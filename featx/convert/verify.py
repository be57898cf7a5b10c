"""A backbone in; how far its features here are from those that they should be, or from those of fast decoding, out."""

import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.backbones import (
    GEM_POWER,
    Backbone,
    Card,
    FeatureSession,
    Output,
    channel_axes,
    open_session,
    run_whole,
)
from featx.errors import (
    BackboneError,
    DecodeError,
    ImageSetError,
)
from featx.inputs import (
    ImageSet,
    PixelSpec,
    Stored,
    decode_image,
    encode_jpeg,
    find_part,
)
from featx.settings import (
    DECODES,
    DEFAULTS,
    Device,
)

DRAWN_IMAGES = 6
"""Pictures that are tried where the card brings none."""
MOST_SAMPLED = 256
"""Images of a set that are tried, at most."""
DRAWN_SIDES = (2.2, 4.4)
"""Shorter sides of photographs that are drawn, in what the card resizes to: they are read at a half and a quarter."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tolerance:
    """How far features may be apart and still be called the same."""

    difference: float
    """Of the largest difference, relative to the largest feature."""
    cosine: float


Golden = tuple[NDArray[np.uint8], NDArray[np.float32]]
"""Pixels, and the features that they should give."""
EXACT = Tolerance(1e-4, 0.99999)
"""The same arithmetic in another order: other batches, another runtime on a CPU."""
REDUCED = Tolerance(2e-2, 0.999)
"""Arithmetic of fewer bits: TF32 on a GPU, or a model in float16 or int8."""


@dataclass(frozen=True)
class Check:
    """One comparison of features that should be the same."""

    name: str
    output: str
    largest_difference: float
    """Relative to the largest feature."""
    largest_allowed: float
    lowest_cosine: float
    lowest_allowed: float

    @property
    def ok(self) -> bool:
        """Whether both are within tolerance; what is not a number is not."""
        return self.largest_difference <= self.largest_allowed and self.lowest_cosine >= self.lowest_allowed

    def to_dict(self) -> dict[str, Any]:
        """The check as plain JSON values; null for what is not a number."""
        values = asdict(self) | {"ok": self.ok}
        return {
            key: None if isinstance(value, float) and not np.isfinite(value) else value for key, value in values.items()
        }


def verify_backbone(backbone: Backbone, *, device: Device = DEFAULTS.device) -> tuple[Check, ...]:
    """Every check that can be made of this backbone here, output by output.

    With golden vectors on its card: the device against them. Always: one image at a time against several, the graph as
    featx cuts it against the model as it was exported, and, where the device is no CPU, the CPU against it. Raises
    BackboneError, DeviceError and InferenceError as sessions do.
    """
    return tuple(_checks(backbone, open_session(backbone, device=device), _read_golden(backbone)))


def _checks(backbone: Backbone, session: FeatureSession, stored: Golden | None) -> Iterator[Check]:
    card, reduced = backbone.card, backbone.card.computes_in != "float32"
    pixels, golden = stored or (draw_pixels(card.input.pixels.size, count=DRAWN_IMAGES), None)
    on_cpu = session.provider == "CPUExecutionProvider"
    here = _columns(card, session(pixels))
    exact = REDUCED if reduced else EXACT
    if golden is not None:
        yield _compare(
            "golden vectors", card.all_outputs[0], left=here[0], right=golden, tolerance=exact if on_cpu else REDUCED
        )
    alone = _columns(card, np.concatenate([session(pixels[place : place + 1]) for place in range(len(pixels))]))
    for output, one, many in zip(card.all_outputs, alone, here, strict=True):
        yield _compare(
            f"batch 1 against {len(pixels)}", output, left=one, right=many, tolerance=exact if on_cpu else REDUCED
        )
    cpu = here if on_cpu else _columns(card, open_session(backbone, device="cpu")(pixels))
    if not on_cpu:
        for output, of_cpu, of_device in zip(card.all_outputs, cpu, here, strict=True):
            yield _compare(f"CPU against {session.provider}", output, left=of_cpu, right=of_device, tolerance=REDUCED)
    for output, cut, whole in zip(card.all_outputs, cpu, _whole(backbone, pixels), strict=True):
        yield _compare("cut graph against whole", output, left=cut, right=whole, tolerance=exact)


def _columns(card: Card, features: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The features of each output."""
    return np.split(features, np.cumsum([output.dim for output in card.all_outputs])[:-1], axis=1)


def _compare(
    name: str, output: Output, *, left: NDArray[np.float32], right: NDArray[np.float32], tolerance: Tolerance
) -> Check:
    scale = float(np.abs(right).max(initial=0)) or 1.0
    difference = float(np.abs(left.astype(np.float64) - right).max()) / scale
    return Check(
        name, output.name, difference, tolerance.difference, float(_cosines(left, right).min()), tolerance.cosine
    )


def _cosines(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n,): between rows; 1 where they are equal, NaN where only one of them is zero."""
    a, b = left.astype(np.float64), right.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    same = np.all(a == b, axis=1)
    return np.where(same, 1.0, np.sum(a * b, axis=1) / np.where(lengths == 0, np.nan, lengths))


def _whole(backbone: Backbone, pixels: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """Features by the model as exported, the arithmetic before and behind it done here by numpy."""
    card = backbone.card
    tensors = run_whole(backbone, model_input(card, pixels))
    axes = channel_axes(backbone)
    return [_vector(output, tensor, axis) for output, tensor, axis in zip(card.all_outputs, tensors, axes, strict=True)]


def model_input(card: Card, pixels: NDArray[np.uint8]) -> NDArray[Any]:
    """What the model's own input takes for these pixels (n, size, size, 3), in the layout and type of the card."""
    count = 1 if card.input.pixels.channels == "L" else 3
    ordered = pixels[..., ::-1] if card.input.pixels.channels == "BGR" else pixels[..., :count]
    mean, std = (
        np.array(card.input.pixels.mean[:count], np.float32),
        np.array(card.input.pixels.std[:count], np.float32),
    )
    images: NDArray[Any] = (ordered.astype(np.float32) - mean) / std
    images = images.transpose(0, 3, 1, 2) if card.input.layout == "NCHW" else images
    return np.ascontiguousarray(images.astype(card.input.dtype))


def _vector(output: Output, tensor: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    if not output.pool:
        return tensor.reshape(len(tensor), -1)
    if output.pool == "cls":
        return tensor[:, 0]
    places = tuple(axis for axis in range(1, tensor.ndim) if axis != channels)
    if output.pool == "gem":
        return np.asarray((np.maximum(tensor, 0) ** GEM_POWER).mean(axis=places) ** (1 / GEM_POWER))
    return np.asarray(tensor.max(axis=places) if output.pool == "max" else tensor.mean(axis=places))


def _read_golden(backbone: Backbone) -> Golden | None:
    """Pixels and features that the card brings, or None. Raises BackboneError where they do not fit the card."""
    card = backbone.card
    if not card.golden:
        return None
    path = backbone.path.with_name(card.golden)
    try:
        with np.load(path, allow_pickle=False) as stored:
            pixels, features = stored["pixels"], stored["features"]
    except Exception as error:
        # a damaged zip raises BadZipFile, zlib.error, EOFError or ValueError, as the damage has it
        raise BackboneError(
            f"{path}: no golden vectors ({error}); restore the file, or take it off the card"
        ) from error
    side = card.input.pixels.size
    fits = pixels.shape[1:] == (side, side, 3) and features.shape == (len(pixels), card.dim) and len(pixels) > 0
    if not fits or pixels.dtype != np.uint8 or features.dtype.kind != "f":
        raise BackboneError(
            f"{path}: pixels {pixels.shape} and features {features.shape} do not fit the card ({side} pixels, "
            f"{card.dim} numbers); make them again"
        )
    return pixels, features.astype(np.float32)


def draw_pixels(size: int, *, count: int) -> NDArray[np.uint8]:
    """Pictures (count, size, size, 3) with structure, the same every time: waves of several lengths, and noise."""
    rng = np.random.default_rng(0)
    across, down, shift = rng.uniform((1, 1, 0), (8, 8, 1), (count, 3, 3)).T[..., None, None]
    y, x = np.mgrid[:size, :size] / size
    waves = np.sin(2 * np.pi * (across * x + down * y + shift))
    noisy = 128 + 100 * waves + rng.normal(0, 20, waves.shape)
    return np.ascontiguousarray(np.clip(noisy, 0, 255).astype(np.uint8).transpose(1, 2, 3, 0))


@dataclass(frozen=True)
class FastEffect:
    """What fast decoding does to images that it reads at one part of their size: information, neither good nor bad."""

    part: int
    """One in so many, along each side; 1 for images that fast decoding leaves exact."""
    output: str
    images: int
    mean_cosine: float
    """Between the features of one image, decoded fast and exactly."""
    lowest_cosine: float
    pixel_difference: float
    """Mean, absolute, on 0..255."""


def measure_fast(
    backbone: Backbone, *, images: ImageSet | None = None, device: Device = DEFAULTS.device
) -> tuple[FastEffect, ...]:
    """What fast decoding does to pixels and features, by the part of their size at which images are read and by output.

    Tried are at most MOST_SAMPLED of the images, spread over the set, or else photographs that are drawn here: noise with the
    spectrum of natural images (Field 1987). Images that fail are told. Raises ImageSetError where all do,
    BackboneError, DeviceError and InferenceError as sessions do.
    """
    card, session = backbone.card, open_session(backbone, device=device)
    found = defaultdict[tuple[int, str], list[tuple[float, float]]](list)
    for name, stored in _draw_photographs(card.input.pixels) if images is None else _sample(images):
        try:
            pixels = np.stack([decode_image(stored, card.input.pixels, decode=decode) for decode in DECODES])
        except DecodeError as error:
            logger.warning("%s is left out: %s", name, error)
            continue
        part, difference = (
            find_part(stored, card.input.pixels),
            float(np.abs(np.diff(pixels.astype(np.int16), axis=0)).mean()),
        )
        for output, features in zip(card.all_outputs, _columns(card, session(pixels)), strict=True):
            found[part, output.name].append((float(_cosines(features[:1], features[1:])[0]), difference))
    if not found and images is not None:
        raise ImageSetError(f"none of {min(MOST_SAMPLED, len(images))} images of the set can be decoded; name others")
    return tuple(_sum_up(part, output, np.array(values)) for (part, output), values in sorted(found.items()))


def _sum_up(part: int, output: str, values: NDArray[np.float64]) -> FastEffect:
    cosines, differences = values.T
    means = float(cosines.mean()), float(cosines.min()), float(differences.mean())
    return FastEffect(part, output, len(values), *means)


def _sample(images: ImageSet) -> Iterator[tuple[str, Stored]]:
    for row in np.unique(np.linspace(0, len(images) - 1, MOST_SAMPLED).astype(int)).tolist():
        try:
            yield images.name(row), images.read(row)
        except OSError as error:
            logger.warning("%s is left out: %s", images.name(row), error.strerror or error)


def _draw_photographs(spec: PixelSpec) -> Iterator[tuple[str, bytes]]:
    """JPEGs of DRAWN_IMAGES pictures, the same every time: amplitudes fall with the frequency, as those of photographs."""
    rng = np.random.default_rng(0)
    for number in range(DRAWN_IMAGES):
        height = int(DRAWN_SIDES[number % len(DRAWN_SIDES)] * spec.resize)
        shape = height, height * 3 // 2
        frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1]))
        frequency[0, 0] = np.inf
        layers = [np.fft.irfft2(np.fft.rfft2(rng.normal(size=shape)) / frequency, shape) for _ in range(4)]
        grey, *colours = (layer / layer.std() for layer in layers)
        pixels = np.stack([128 + 45 * grey + 15 * colour for colour in colours], axis=-1)
        yield f"drawing {number}", encode_jpeg(np.clip(pixels, 0, 255).astype(np.uint8), quality=90)
