"""Describes how images are prepared for a model, and completes what is not known by what is usual for ImageNet."""

import math
from dataclasses import dataclass, fields, replace

from featx.backbones import WHOLE_NUMBERS
from featx.errors import BackboneError
from featx.inputs import PixelSpec
from featx.settings import Channels, CropMode, Filter

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
CROP_SHARE = 0.875
"""Share of the shorter side that the centre crop keeps: 224 of 256."""


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How images are prepared for a model, as far as that is known; None for what is not known.

    >>> import featx
    >>> flags = featx.Preprocessing(size=112)
    >>> found = featx.Preprocessing(size=224, resize=256, filter="bilinear")
    >>> both = flags.over(found)
    >>> both.size, both.resize, both.filter
    (112, 128, 'bilinear')
    """

    size: int | None = None
    """Height and width in pixels of what the model takes."""
    resize: int | None = None
    """Pixels of the shorter side before the centre crop; of both sides if `crop_mode` is squash."""
    crop_mode: CropMode | None = None
    filter: Filter | None = None
    mean: tuple[float, ...] | None = None
    """Mean of each channel, on the scale 0 to 255."""
    std: tuple[float, ...] | None = None
    """Standard deviation of each channel, on the scale 0 to 255."""
    channels: Channels | None = None

    def over(self, other: "Preprocessing") -> "Preprocessing":
        """This preprocessing, completed by another where it has None.

        If this one changes the size but not `resize`, the crop keeps its share of the resized image.
        """
        known = {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}
        both = replace(other, **known)
        if self.size and other.size and other.resize and self.resize is None:
            return replace(both, resize=round(other.resize * self.size / other.size))
        return both


def complete(
    given: Preprocessing, *, size: int, dtype: str, exif_orientation: bool = False
) -> tuple[PixelSpec, tuple[str, ...]]:
    """The whole pixel specification, and what had to be assumed for it."""
    mean, std, assumed = _complete_scale(given, dtype)
    if given.filter is None:
        assumed.append("filter bicubic")
    squash = given.crop_mode == "squash"
    resize = given.resize
    if resize is None:
        resize = size if squash else math.floor(size / CROP_SHARE)
        assumed += [] if squash else [f"resize {resize}"]
    spec = PixelSpec(
        size=size,
        channels=given.channels or "RGB",
        resize=resize,
        crop_mode=given.crop_mode or "center",
        filter=given.filter or "bicubic",
        mean=mean,
        std=std,
        exif_orientation=exif_orientation,
    )
    return spec, tuple(assumed)


def _complete_scale(given: Preprocessing, dtype: str) -> tuple[tuple[float, ...], tuple[float, ...], list[str]]:
    """Mean and standard deviation of each channel, and what had to be assumed for them."""
    if dtype in WHOLE_NUMBERS:
        return (WHOLE_NUMBERS[dtype],) * 3, (1.0,) * 3, []
    if given.mean is None and given.std is None:
        return IMAGENET_MEAN, IMAGENET_STD, [f"mean {IMAGENET_MEAN} and std {IMAGENET_STD} of ImageNet"]
    if given.mean is None or given.std is None:
        pair = "--std is given without --mean" if given.mean is None else "--mean is given without --std"
        raise BackboneError(f"{pair}; give both, or neither")
    return given.mean, given.std, []
