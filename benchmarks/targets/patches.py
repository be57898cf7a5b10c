"""Small patches of the photographs in scikit-image's wheel: of which photograph is it a part?"""

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

from PIL import Image

from targets.target import Picture, Target

PHOTOGRAPHS = (
    *("astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png", "gravel.png"),
    *("hubble_deep_field.jpg", "ihc.png", "moon.png", "retina.jpg", "rocket.jpg"),
)
PATCH = 32
"""Width and height of a patch, in pixels."""
ALONG = 8
"""Patches along each side of a photograph, as far from each other as it allows."""
BLOCK = 2
"""Patches along each side of a block: those of a block are neighbours, and in one group."""


@cache
def _read_grey(path: Path) -> Image.Image:
    with Image.open(path) as photograph:
        return photograph.convert("L")


def _cut(path: Path, row: int, column: int) -> Image.Image:
    """The patch in this row and column, in grey, so that colours do not give the photograph away."""
    photograph = _read_grey(path)
    left, top = (
        (side - PATCH) * place // (ALONG - 1) for side, place in zip(photograph.size, (column, row), strict=True)
    )
    return photograph.crop((left, top, left + PATCH, top + PATCH))


def _patches(packages: Path) -> Sequence[Picture]:
    folder = packages / "scikit-image/skimage/data"
    found = []
    for name in PHOTOGRAPHS:
        path = folder / name
        for row in range(ALONG):
            for column in range(ALONG):
                draw = partial(_cut, path, row, column)
                block = f"{path.stem}_{row // BLOCK}{column // BLOCK}"
                found.append(Picture(f"{path.stem}_{row}{column}", path.stem, draw, block))
    return found


PATCHES = Target(
    "grey patches of 13 photographs, by photograph; neighbours of test patches are not seen in training",
    "PyPI: scikit-image",
    "public domain or CC0, as skimage.data says of each",
    ("scikit-image",),
    _patches,
)
