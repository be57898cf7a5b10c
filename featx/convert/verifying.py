"""Compares the features that a backbone computes on this machine with what they should be."""

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from featx.apart import Allow, Limits
from featx.backbones import (
    GEM_POWER,
    NUMPY_TYPES,
    Backbone,
    Card,
    FeatureSession,
    Output,
    channel_axes,
    choose_devices,
    limits_of_run,
    open_session,
    run_foreign,
    run_whole,
)
from featx.errors import BackboneError
from featx.settings import DEFAULTS, Device

_UNLIMITED = sys.maxsize // 2
"""Devices other than the CPU reserve memory that they do not use."""
_COMPILING = 30
"""Devices other than the CPU may compile a model first, which may take this many times as long as to run it."""
_GOLDEN_BYTES = 2**28
"""Largest golden vectors, uncompressed."""
DRAWN_IMAGES = 6
"""Number of images that are drawn if no images are given."""


@dataclass(frozen=True)
class Tolerance:
    """How far features may differ and still count as equal."""

    difference: float
    """Largest difference, relative to the largest feature."""
    cosine: float
    """Lowest cosine between the features of an image."""


@dataclass(frozen=True)
class Golden:
    """Golden vectors: images, and the features that a backbone should have for them."""

    pixels: NDArray[np.uint8]
    """(n, size, size, 3)"""
    features: NDArray[np.float32]
    """(n, dim)"""


EXACT = Tolerance(1e-4, 0.99999)
"""For the same arithmetic in another order: other batches, or another runtime on a CPU."""
REDUCED = Tolerance(2e-2, 0.999)
"""For arithmetic of fewer bits: TF32 on a GPU, or a model in float16 or int8."""


@dataclass(frozen=True)
class Check:
    """One comparison of features that should be equal.

    >>> import featx
    >>> check, *_ = featx.verify_backbone(featx.load_backbone("efficientnet-lite0"), device="cpu")
    >>> check.name, check.output, check.ok
    ('golden vectors', 'features', True)
    >>> check.lowest_cosine > check.lowest_allowed
    True
    """

    name: str
    """What was compared, in words."""
    output: str
    """Name of the output of the backbone."""
    largest_difference: float
    """Largest absolute difference, relative to the largest feature."""
    largest_allowed: float
    lowest_cosine: float
    """Lowest cosine between the features of an image."""
    lowest_allowed: float

    @property
    def ok(self) -> bool:
        """Whether both figures are within tolerance; NaN is not."""
        return self.largest_difference <= self.largest_allowed and self.lowest_cosine >= self.lowest_allowed

    def to_dict(self) -> dict[str, Any]:
        """The check as plain JSON values, with None for NaN and infinity."""
        values = asdict(self) | {"ok": self.ok}
        return {
            key: None if isinstance(value, float) and not np.isfinite(value) else value for key, value in values.items()
        }


def verify_backbone(backbone: Backbone, *, device: Device = DEFAULTS.device) -> tuple[Check, ...]:
    """Compare the features of a backbone on this machine with what they should be, output by output.

    Compared are: the features with the golden vectors that the card names, if any; images run one at a time with the
    same images in one batch; any other device with the CPU; and the graph that featx cut with the model as exported.
    Raises BackboneError, DeviceError and InferenceError as sessions do.

    >>> import featx
    >>> for check in featx.verify_backbone(featx.load_backbone("efficientnet-lite0"), device="cpu"):
    ...     print(check.name, check.ok)
    golden vectors True
    batch 1 against ... True
    cut graph against whole True
    """
    return run_foreign(partial(_verify, backbone, device), model=backbone.path)


def _verify(backbone: Backbone, device: Device, allow: Allow) -> tuple[Check, ...]:
    return verify_here(backbone, device=device, allow=allow)


def verify_here(backbone: Backbone, *, device: Device, allow: Allow | None = None) -> tuple[Check, ...]:
    """What verify_backbone returns, computed in this process; `allow` sets its limits once the size is known."""
    golden = _read_golden(backbone)
    if allow:
        limits = limits_of_run(backbone, images=len(golden.pixels) if golden else DRAWN_IMAGES)
        allow(Limits(_COMPILING * limits.seconds, _UNLIMITED))
        if all(spec.kind == "cpu" for spec in choose_devices(device)):
            allow(limits)
    return tuple(_checks(backbone, open_session(backbone, device=device), golden))


def _checks(backbone: Backbone, session: FeatureSession, golden: Golden | None) -> Iterator[Check]:
    card = backbone.card
    pixels = golden.pixels if golden else draw_pixels(card.input.pixels.size, count=DRAWN_IMAGES)
    on_cpu = session.provider == "CPUExecutionProvider"
    exact = EXACT if card.computes_in == "float32" else REDUCED
    same_device = exact if on_cpu else REDUCED
    here = split_outputs(card, session(pixels))
    if golden:
        yield _compare(
            "golden vectors", card.all_outputs[0], left=here[0], right=golden.features, tolerance=same_device
        )
    alone = split_outputs(card, np.concatenate([session(pixels[row : row + 1]) for row in range(len(pixels))]))
    for output, single, several in zip(card.all_outputs, alone, here, strict=True):
        yield _compare(f"batch 1 against {len(pixels)}", output, left=single, right=several, tolerance=same_device)
    cpu = here if on_cpu else split_outputs(card, open_session(backbone, device="cpu")(pixels))
    if not on_cpu:
        for output, left, right in zip(card.all_outputs, cpu, here, strict=True):
            yield _compare(f"CPU against {session.provider}", output, left=left, right=right, tolerance=REDUCED)
    for output, cut, whole in zip(card.all_outputs, cpu, _whole(backbone, pixels), strict=True):
        yield _compare("cut graph against whole", output, left=cut, right=whole, tolerance=exact)


def split_outputs(card: Card, features: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The features, split by output."""
    return np.split(features, np.cumsum([output.dim for output in card.all_outputs])[:-1], axis=1)


def _compare(
    name: str, output: Output, *, left: NDArray[np.float32], right: NDArray[np.float32], tolerance: Tolerance
) -> Check:
    scale = float(np.abs(right).max(initial=0)) or 1.0
    difference = float(np.abs(left.astype(np.float64) - right).max()) / scale
    return Check(
        name=name,
        output=output.name,
        largest_difference=difference,
        largest_allowed=tolerance.difference,
        lowest_cosine=float(row_cosines(left, right).min()),
        lowest_allowed=tolerance.cosine,
    )


def row_cosines(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    """Cosines (n,) between rows; 1 if they are equal, NaN if only one of them is zero."""
    a = left.astype(np.float64)
    b = right.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    same = np.all(a == b, axis=1)
    return np.where(same, 1.0, np.sum(a * b, axis=1) / np.where(lengths == 0, np.nan, lengths))


def _whole(backbone: Backbone, pixels: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """The features of the model as exported; numpy does what the graph of featx does before and after it."""
    card = backbone.card
    tensors = run_whole(backbone, model_input(card, pixels))
    axes = channel_axes(backbone)
    return [_vector(output, tensor, axis) for output, tensor, axis in zip(card.all_outputs, tensors, axes, strict=True)]


def model_input(card: Card, pixels: NDArray[np.uint8]) -> NDArray[Any]:
    """The model's own input for pixels (n, size, size, 3), in the layout and, if numpy has it, the type of the card."""
    spec = card.input.pixels
    count = 1 if spec.channels == "L" else 3
    ordered = pixels[..., ::-1] if spec.channels == "BGR" else pixels[..., :count]
    mean = np.array(spec.mean[:count], np.float32)
    std = np.array(spec.std[:count], np.float32)
    images: NDArray[Any] = (ordered.astype(np.float32) - mean) / std
    images = images.transpose(0, 3, 1, 2) if card.input.layout == "NCHW" else images
    return np.ascontiguousarray(images.astype(card.input.dtype) if card.input.dtype in NUMPY_TYPES else images)


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
    """The golden vectors that the card names, or None. Raises BackboneError if they do not fit the card."""
    card = backbone.card
    if not card.golden:
        return None
    path = backbone.path.with_name(card.golden)
    try:
        _check_golden_size(path)
        with np.load(path, allow_pickle=False) as stored:
            pixels = stored["pixels"]
            features = stored["features"]
    except Exception as error:  # a damaged zip raises BadZipFile, zlib.error, EOFError or ValueError
        raise BackboneError(
            f"{path}: cannot read golden vectors ({error}); restore the file, or remove it from the card"
        ) from error
    side = card.input.pixels.size
    fits = pixels.shape[1:] == (side, side, 3) and features.shape == (len(pixels), card.dim) and len(pixels) > 0
    if not fits or pixels.dtype != np.uint8 or features.dtype.kind != "f":
        raise BackboneError(
            f"{path}: pixels {pixels.shape} and features {features.shape} do not fit the card ({side} pixels, "
            f"{card.dim} features); compute them again"
        )
    return Golden(pixels, features.astype(np.float32))


def _check_golden_size(path: Path) -> None:
    """Raise ValueError if the file is none, or if what is compressed in it is larger than any golden vectors."""
    if path.exists() and not path.is_file():
        raise ValueError("not a file")
    with ZipFile(path) as archive:
        size = sum(info.file_size for info in archive.infolist())
    if size > _GOLDEN_BYTES:
        raise ValueError(f"{size} bytes, more than {_GOLDEN_BYTES}")


def draw_pixels(size: int, *, count: int) -> NDArray[np.uint8]:
    """Images (count, size, size, 3) of waves of several lengths, with noise; equal in every call."""
    rng = np.random.default_rng(0)
    across, down, shift = rng.uniform((1, 1, 0), (8, 8, 1), (count, 3, 3)).T[..., None, None]
    y, x = np.mgrid[:size, :size] / size
    waves = np.sin(2 * np.pi * (across * x + down * y + shift))
    noisy = 128 + 100 * waves + rng.normal(0, 20, waves.shape)
    return np.ascontiguousarray(np.clip(noisy, 0, 255).astype(np.uint8).transpose(1, 2, 3, 0))
