"""The images on which speed is measured: solar cells as PNG, and photographs as JPEG of two sizes.

The photographs are the two of scikit-learn (640 x 427) and, where scikit-image is installed, the colour ones in its
wheel. Each file is another seeded crop of one of them, at times flipped, brought to its size and compressed as cameras
do (quality 90, colours at half the resolution). No photograph is larger than 1411 x 1411, so that those of 1600 x 1067
are enlarged: smoother than what a camera gives, and somewhat faster to decompress.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from featx.hardware import usable_cores
from featx.inputs import ImageSet, list_images

SHAPE = (640, 427)
"""Width and height to which every crop has its sides in proportion."""
SCIKIT_IMAGE = ("astronaut", "chelsea", "coffee", "hubble_deep_field", "immunohistochemistry", "retina", "rocket")


@dataclass(frozen=True)
class PhotoSet:
    """Images of one kind."""

    title: str
    list: Callable[[], ImageSet]
    """Lists all of them anew, as an extraction begins."""

    def first(self, count: int) -> ImageSet:
        """The first images of the set, listed anew."""
        return first(self.list(), count)


def first(images: ImageSet, count: int) -> ImageSet:
    """The first images of the set, without labels; the set itself where these are all."""
    if count >= len(images):
        return images
    return replace(images, names=images.names[:count], labels=None, classes=())


def cells(folder: Path) -> PhotoSet:
    """The solar cells of the extra `demo`."""
    from featx.demo import list_cells

    return PhotoSet("ELPV, PNG, 300 x 300, grey", lambda: list_cells(folder / "elpv.csv"))


def jpegs(folder: Path, size: tuple[int, int], *, count: int) -> PhotoSet:
    """This number of JPEG files of this width and height, written into a new folder, no two of equal bytes."""
    folder.mkdir()
    with ThreadPoolExecutor(usable_cores()) as pool:
        list(pool.map(lambda number: _write_jpeg(folder, number, size), range(count)))
    return PhotoSet(f"JPEG, {size[0]} x {size[1]}, colour", lambda: list_images(folder))


def _write_jpeg(folder: Path, number: int, size: tuple[int, int]) -> Path:
    path = folder / f"{number:05}.jpg"
    # two crops may be the same to the pixel, and images of equal bytes are computed once: each has its number in it
    image = _vary(number).resize(size, Image.Resampling.LANCZOS)
    image.save(path, quality=90, subsampling="4:2:0", comment=f"{number}")
    return path


def _vary(number: int) -> Image.Image:
    """A crop of a photograph, at times flipped; each number has its own."""
    draw = np.random.default_rng(number)
    photo = photographs()[number % len(photographs())]
    scale = draw.uniform(0.7, 1.0) * min(have / want for have, want in zip(photo.size, SHAPE, strict=True))
    width, height = (scale * want for want in SHAPE)
    left, top = (draw.uniform(0, have - want) for have, want in zip(photo.size, (width, height), strict=True))
    crop = photo.crop((round(left), round(top), round(left + width), round(top + height)))
    return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if draw.random() < 0.5 else crop


@cache
def photographs() -> list[Image.Image]:
    """The photographs that every JPEG is made from."""
    from sklearn.datasets import load_sample_images

    found = list(load_sample_images().images)
    if find_spec("skimage"):
        from skimage import data

        found += [getattr(data, name)() for name in SCIKIT_IMAGE]
    return [Image.fromarray(pixels).convert("RGB") for pixels in found]
