"""A backbone in; how far its features here are from those that they should be, each beside its tolerance, out."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.backbones import GEM_POWER, Backbone, Card, Output
from featx.errors import BackboneError
from featx.graph import channel_axes
from featx.session import FeatureSession, open_session, run_whole
from featx.settings import DEFAULTS, Device

IMAGES = 6
"""Pictures that are tried where the card brings none."""


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
"""Arithmetic of fewer bits: TF32 on a GPU, or a model in float16."""


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
    card, reduced = backbone.card, backbone.card.dtype == "float16"
    pixels, golden = stored or (draw_pixels(card.size, count=IMAGES), None)
    on_cpu = session.provider == "CPUExecutionProvider"
    here = _columns(card, session(pixels))
    exact = REDUCED if reduced else EXACT
    if golden is not None:
        yield _compare(
            "golden vectors", card.taken[0], left=here[0], right=golden, tolerance=exact if on_cpu else REDUCED
        )
    alone = _columns(card, np.concatenate([session(pixels[place : place + 1]) for place in range(len(pixels))]))
    for output, one, many in zip(card.taken, alone, here, strict=True):
        yield _compare(
            f"batch 1 against {len(pixels)}", output, left=one, right=many, tolerance=exact if on_cpu else REDUCED
        )
    cpu = here if on_cpu else _columns(card, open_session(backbone, device="cpu")(pixels))
    if not on_cpu:
        for output, of_cpu, of_device in zip(card.taken, cpu, here, strict=True):
            yield _compare(f"CPU against {session.provider}", output, left=of_cpu, right=of_device, tolerance=REDUCED)
    for output, cut, whole in zip(card.taken, cpu, _whole(backbone, pixels), strict=True):
        yield _compare("cut graph against whole", output, left=cut, right=whole, tolerance=exact)


def _columns(card: Card, features: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The features of each output."""
    return np.split(features, np.cumsum([output.dim for output in card.taken])[:-1], axis=1)


def _compare(
    name: str, output: Output, *, left: NDArray[np.float32], right: NDArray[np.float32], tolerance: Tolerance
) -> Check:
    a, b = left.astype(np.float64), right.astype(np.float64)
    scale = float(np.abs(b).max(initial=0)) or 1.0
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    same = np.all(a == b, axis=1)
    cosine = np.where(same, 1.0, np.sum(a * b, axis=1) / np.where(lengths == 0, np.nan, lengths))
    difference, lowest = float(np.abs(a - b).max()) / scale, float(cosine.min())
    return Check(name, output.name, difference, tolerance.difference, lowest, tolerance.cosine)


def _whole(backbone: Backbone, pixels: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """Features by the model as exported, the arithmetic before and behind it done here by numpy."""
    card = backbone.card
    count = 1 if card.channels == "L" else 3
    ordered = pixels[..., ::-1] if card.channels == "BGR" else pixels[..., :count]
    mean, std = np.array(card.mean[:count], np.float32), np.array(card.std[:count], np.float32)
    images: NDArray[Any] = (ordered.astype(np.float32) - mean) / std
    images = images.transpose(0, 3, 1, 2) if card.layout == "NCHW" else images
    tensors = run_whole(backbone, np.ascontiguousarray(images.astype(card.dtype)))
    axes = channel_axes(backbone)
    return [_vector(output, tensor, axis) for output, tensor, axis in zip(card.taken, tensors, axes, strict=True)]


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
    side = card.size
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
