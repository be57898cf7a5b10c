"""Names the views of an image: the crops, mirrors and turns that each get a feature of their own."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from featx.errors import ImageSetError, did_you_mean
from featx.inputs.pixels import MOST_SIDE, PixelSpec
from featx.settings import CENTER, Decode

Pixels: TypeAlias = NDArray[np.uint8]
"""(size, size) or (size, size, 3)."""

SYMMETRIES: Mapping[str, Callable[[Pixels], Pixels]] = {
    "hflip": lambda pixels: pixels[:, ::-1],
    "vflip": lambda pixels: pixels[::-1],
    "rot90": lambda pixels: pixels.swapaxes(0, 1)[::-1],
    "rot180": lambda pixels: pixels[::-1, ::-1],
    "rot270": lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
    "transpose": lambda pixels: pixels.swapaxes(0, 1),
    "transverse": lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
}
"""View -> the mirror or turn, against the clock, of the pixels of view 0; each is another order of the same pixels."""
CORNERS = {
    "crop-top-left": (0, 0),
    "crop-top-right": (1, 0),
    "crop-bottom-left": (0, 1),
    "crop-bottom-right": (1, 1),
}
"""View -> the side of the resized image at which its crop lies: 0 for left or top, 1 for right or bottom."""
GROUPS = {"symmetries": tuple(SYMMETRIES), "five-crop": tuple(CORNERS)}
"""Names that stand for several views."""
SCALE = "scale="
RANDOM_CROP = "random-crop"
MOST_RANDOM_CROPS = 100
LARGEST_SCALE = 16.0
KNOWN_VIEWS = f"{', '.join([*SYMMETRIES, *GROUPS])}, {SCALE}1.15, {RANDOM_CROP}:4"
"""What can be asked for, for help and messages."""

SMALLEST_AREA = 0.25
"""A random crop has between this share of the area of the image and all of it: less would often miss the object."""
WIDEST_RATIO = 4 / 3
"""Ratio of its sides, at most, unless the image itself is so long that no such crop has the area."""


def parse_views(text: str) -> tuple[str, ...]:
    """The names of the views in a list such as `hflip,scale=1.15`: `center` first, then the others in a fixed order.

    `symmetries` stands for the seven mirrors and turns of a square, `five-crop` for the crops at the four corners, and
    `random-crop:4` for four crops of random places and sizes. Raises ImageSetError for a name that is not known.

    >>> from featx.inputs import parse_views
    >>> parse_views("vflip,hflip")
    ('center', 'hflip', 'vflip')
    >>> len(parse_views("symmetries")), parse_views("random-crop:2")
    (8, ('center', 'random-crop-1', 'random-crop-2'))
    """
    names = [name.strip() for name in text.split(",")]
    return order_views([view for name in names if name for view in _expand(name)])


def order_views(views: Sequence[str]) -> tuple[str, ...]:
    """These views, each once and in the order that they have in a cache. Raises ImageSetError as parse_views does."""
    if isinstance(views, str):
        raise ImageSetError(f"views: {views!r} is one text, not a tuple of names; give parse_views({views!r})")
    for view in views:
        _check_name(view)
    names = {f"{SCALE}{_scale_of(view):g}" if view.startswith(SCALE) else view for view in views}
    return (CENTER, *sorted(names - {CENTER}, key=_place))


def _expand(name: str) -> Sequence[str]:
    """The views that a name in a list stands for."""
    if name in GROUPS:
        return GROUPS[name]
    if match := re.fullmatch(rf"{RANDOM_CROP}:(0|[1-9][0-9]{{0,3}})", name):
        count = int(match[1])
        if not 1 <= count <= MOST_RANDOM_CROPS:
            raise ImageSetError(f"views: {name} is not from 1 to {MOST_RANDOM_CROPS} crops")
        return [f"{RANDOM_CROP}-{number}" for number in range(1, count + 1)]
    if name.startswith(SCALE):
        return [f"{SCALE}{_scale_of(name):g}"]
    return [name]


def _check_name(view: str) -> None:
    """Raise ImageSetError unless this is the name of one view."""
    if view == CENTER or view in SYMMETRIES or view in CORNERS or _random_number(view):
        return
    if view.startswith(SCALE):
        _scale_of(view)
        return
    hint = did_you_mean(view, [*SYMMETRIES, *GROUPS, *CORNERS, CENTER])
    raise ImageSetError(f"views: {view!r} is not known{hint}; choose from {KNOWN_VIEWS}")


def _scale_of(view: str) -> float:
    """The factor in the name of a view `scale=S`. Raises ImageSetError."""
    try:
        scale = float(view.removeprefix(SCALE))
    except ValueError:
        scale = 0.0
    if not 0 < scale <= LARGEST_SCALE or scale == 1:
        raise ImageSetError(
            f"views: {view!r} is not {SCALE}S with a factor S above 0, other than 1 and at most {LARGEST_SCALE:g}"
        )
    return scale


def _random_number(view: str) -> int:
    """The number in the name of a random crop; 0 if it is another view."""
    match = re.fullmatch(rf"{RANDOM_CROP}-([1-9][0-9]{{0,2}})", view)
    number = int(match[1]) if match else 0
    return number if number <= MOST_RANDOM_CROPS else 0


def _place(view: str) -> tuple[int, float]:
    """The place of a view in the order: its kind, and its place among those of this kind."""
    for kind, names in enumerate(([*SYMMETRIES], [*CORNERS])):
        if view in names:
            return kind, names.index(view)
    return (2, _scale_of(view)) if view.startswith(SCALE) else (3, _random_number(view))


def check_views(views: Sequence[str], spec: PixelSpec, *, decode: Decode) -> None:
    """Raise ImageSetError, with the reason, if a view cannot be made of images that become pixels in this way."""
    for view in views:
        _check_name(view)
        if problem := _problem(view, spec, decode):
            raise ImageSetError(f"views: {view} cannot be made, because {problem}")


def _problem(view: str, spec: PixelSpec, decode: Decode) -> str:
    """Why a view cannot be made; empty if it can."""
    if view in CORNERS and spec.crop_mode == "squash" and spec.resize == spec.size:
        return "the backbone takes the whole image, so that a crop at a corner is the same; leave it out"
    if view.startswith(SCALE):
        resize = scaled(spec.resize, view)
        if resize > MOST_SIDE:
            return (
                f"the image would have {resize} pixels on its shorter side, above {MOST_SIDE}; choose a smaller factor"
            )
        if resize < spec.size:
            return (
                f"the image would have {resize} pixels, and the backbone takes {spec.size}; choose a factor from "
                f"{spec.size / spec.resize:.3g}"
            )
        if resize == spec.resize:
            return f"the image would have {resize} pixels, as it has in view 0; choose a factor further from 1"
    if decode == "fast" and (view.startswith(SCALE) or _random_number(view)):
        return "`--decode fast` may read fewer pixels than it shows; use --decode exact"
    return ""


def scaled(resize: int, view: str) -> int:
    """The pixels to which the shorter side is resized for a view `scale=S`, if `resize` are those of view 0."""
    return round(resize * _scale_of(view))


@dataclass(frozen=True)
class RandomCrop:
    """A part of an image, perhaps mirrored."""

    box: tuple[float, float, float, float]
    """Left, top, right and bottom, in pixels of the image."""
    mirrored: bool


def draw_crop(view: str, size: tuple[int, int], *, fingerprint: bytes) -> RandomCrop:
    """The part of an image of this width and height that a random crop shows.

    It depends on the image's bytes, by their fingerprint, and on the crop's number alone: equal images have equal crops
    in every run. The area is uniform, the ratio of the sides uniform on a logarithmic scale, as in Szegedy et al.
    (arXiv 1409.4842).
    """
    place, ratio, across, down, mirror = _uniform(fingerprint + view.encode())
    area = (SMALLEST_AREA + (1 - SMALLEST_AREA) * place) * size[0] * size[1]
    stretch = WIDEST_RATIO ** (ratio - 0.5)
    width = min(size[0], area**0.5 * stretch)
    height = min(size[1], area / width)
    width = min(size[0], area / height)
    left = across * (size[0] - width)
    top = down * (size[1] - height)
    return RandomCrop((left, top, left + width, top + height), mirror < 0.5)


def _uniform(seed: bytes) -> Iterator[float]:
    """Yields five numbers from 0 to below 1 that depend on these bytes; any version of any library gives the same."""
    digest = blake2b(seed, digest_size=40).digest()
    return (int.from_bytes(digest[start : start + 8], "little") / 2**64 for start in range(0, 40, 8))
