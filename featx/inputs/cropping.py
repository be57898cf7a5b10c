"""Resizes and crops a decoded image to the pixels that a model takes, for each view that is asked for."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from featx.errors import DecodeError, Failure
from featx.inputs.pixels import PixelSpec
from featx.inputs.views import CORNERS, SCALE, SYMMETRIES, draw_crop, scaled
from featx.settings import CENTER, FILTERS

Size: TypeAlias = tuple[int, int]
"""Width and height."""

_RESAMPLING = {name: Image.Resampling[name.upper()] for name in FILTERS}
_SIDEWAYS = {
    Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
}
"""Operations that exchange width and height."""


@dataclass(frozen=True)
class Picture:
    """A grey or RGB image, perhaps read at a reduced size."""

    image: Image.Image
    size: Size
    """Width and height of the image at its full size."""
    reduction: int
    """Factor by which each side was reduced when the image was read: 1, 2, 4 or 8."""

    def turned(self, turn: Image.Transpose) -> "Picture":
        """The picture turned by this operation."""
        size = self.size[::-1] if turn in _SIDEWAYS else self.size
        return Picture(self.image.transpose(turn), size, self.reduction)


@dataclass(frozen=True)
class Crops:
    """Makes the views of one picture; what several of them need is computed once."""

    picture: Picture
    spec: PixelSpec
    max_pixels: int
    fingerprint: Callable[[], bytes]
    """Returns the fingerprint of the image's bytes."""

    def make(self, view: str) -> NDArray[np.uint8]:
        """The pixels (size, size) of a grey image, else (size, size, 3), of this view. Raises DecodeError."""
        if view == CENTER:
            return self._center
        if view in SYMMETRIES:
            return SYMMETRIES[view](self._center)
        if view in CORNERS:
            right, bottom = CORNERS[view]
            left_most, top_most = (side - self.spec.size for side in self._resized)
            return self._cut(right * left_most, bottom * top_most)
        if view.startswith(SCALE):
            return replace(self, spec=replace(self.spec, resize=scaled(self.spec.resize, view))).make(CENTER)
        return self._random(view)

    @cached_property
    def _resized(self) -> Size:
        """Width and height of the resized image. Raises DecodeError if it would have too many pixels."""
        resized = resized_size(self.picture.size, self.spec)
        check_pixels(resized, self.max_pixels, when="once resized")
        return resized

    @cached_property
    def _center(self) -> NDArray[np.uint8]:
        left, top = (round((side - self.spec.size) / 2) for side in self._resized)
        return self._cut(left, top)

    @cached_property
    def _whole(self) -> Image.Image:
        """The resized image."""
        image = self.picture.image
        return image if self._resized == image.size else image.resize(self._resized, self._filter)

    @cached_property
    def _seed(self) -> bytes:
        return self.fingerprint()

    @property
    def _filter(self) -> Image.Resampling:
        return _RESAMPLING[self.spec.filter]

    def _cut(self, left: int, top: int) -> NDArray[np.uint8]:
        """The pixels of the crop at this place of the resized image."""
        size = self.spec.size
        right = left + size
        bottom = top + size
        if self.picture.reduction == 1:
            return np.asarray(self._whole.crop((left, top, right, bottom)))
        # Resample only what the crop keeps. `exact` cannot do so, as pixels would differ a little: Pillow computes
        # the edges in single precision, and the sizes decide which direction it resamples first.
        across, down = (
            whole / side / self.picture.reduction for whole, side in zip(self.picture.size, self._resized, strict=True)
        )
        box = (left * across, top * down, right * across, bottom * down)
        return np.asarray(self.picture.image.resize((size, size), self._filter, box))

    def _random(self, view: str) -> NDArray[np.uint8]:
        size = self.spec.size
        crop = draw_crop(view, self.picture.image.size, fingerprint=self._seed)
        pixels = np.asarray(self.picture.image.resize((size, size), self._filter, crop.box))
        return pixels[:, ::-1] if crop.mirrored else pixels


def resized_size(size: Size, spec: PixelSpec) -> Size:
    """Width and height to which an image of this size is resized before the crop."""
    if spec.crop_mode == "squash":
        return spec.resize, spec.resize
    width, height = size
    shorter = min(width, height)
    return spec.resize * width // shorter, spec.resize * height // shorter


def check_pixels(size: Size, max_pixels: int, *, when: str) -> None:
    """Raise DecodeError if an image of this width and height has more pixels than allowed."""
    width, height = size
    if width * height > max_pixels:
        raise DecodeError(Failure.TOO_MANY_PIXELS, f"{width} x {height} {when}, above {max_pixels}")
