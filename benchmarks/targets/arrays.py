"""Images that Python packages and one Debian package hold as arrays: solar cells, clothes, digits."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from fashion import read_fashion
from numpy.typing import NDArray
from PIL import Image

from targets.target import Picture, Target

CLOTHES = (*("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"),)
CLEAR = 0.1
"""A cell is without defect below this probability of one, and defective above one minus it; others are left out."""


def _image(pixels: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(pixels)


def _enlarged(pixels: NDArray[np.float64]) -> Image.Image:
    """A digit of 8 x 8 pixels from 0 to 16, sixteen times as large."""
    small = Image.fromarray(np.round(pixels * 255 / 16).astype(np.uint8))
    return small.resize((128, 128), Image.Resampling.BICUBIC)


def _defects(packages: Path) -> Sequence[Picture]:
    from elpv_dataset.utils import load_dataset

    images, probabilities, _ = load_dataset()
    return [
        Picture(f"{number:04}", "defective" if probability > 0.5 else "sound", partial(_image, pixels))
        for number, (pixels, probability) in enumerate(zip(images, probabilities, strict=True))
        if not CLEAR <= probability <= 1 - CLEAR
    ]


def cells_of_type(kind: str) -> Callable[[Path], Sequence[Picture]]:
    """What lists the clear cells of one type, defective or sound."""
    return partial(_of_type, kind)


def _of_type(kind: str, packages: Path) -> Sequence[Picture]:
    from elpv_dataset.utils import load_dataset

    kinds = [str(one) for one in load_dataset()[2]]
    return [picture for picture in _defects(packages) if kinds[int(picture.name)] == kind]


def _cell_types(packages: Path) -> Sequence[Picture]:
    from elpv_dataset.utils import load_dataset

    images, _, types = load_dataset()
    return [
        Picture(f"{number:04}", str(kind), partial(_image, pixels))
        for number, (pixels, kind) in enumerate(zip(images, types, strict=True))
    ]


def _clothes(packages: Path) -> Sequence[Picture]:
    images, labels = read_fashion(packages / "dataset-fashion-mnist/usr/share/datasets/fashion-mnist")["test"]
    return [
        Picture(f"{number:05}", CLOTHES[label], partial(_image, pixels))
        for number, (pixels, label) in enumerate(zip(images, labels, strict=True))
    ]


def _digits(packages: Path) -> Sequence[Picture]:
    from sklearn.datasets import load_digits

    found = load_digits()
    return [
        Picture(f"{number:04}", str(label), partial(_enlarged, pixels))
        for number, (pixels, label) in enumerate(zip(found.images, found.target, strict=True))
    ]


ELPV_DEFECTS = Target("solar cells, defective or not", "PyPI: elpv-dataset", "CC BY-NC-SA 4.0", (), _defects, seen=True)
ELPV_TYPES = Target(
    "solar cells, monocrystalline or polycrystalline",
    "PyPI: elpv-dataset",
    "CC BY-NC-SA 4.0",
    (),
    _cell_types,
    seen=True,
)
FASHION = Target(
    "Fashion-MNIST, clothes of 28 x 28 pixels",
    "Debian: dataset-fashion-mnist",
    "MIT",
    ("dataset-fashion-mnist",),
    _clothes,
    seen=True,
)
DIGITS = Target(
    "handwritten digits of 8 x 8 pixels, enlarged",
    "PyPI: scikit-learn, load_digits",
    "CC BY 4.0",
    (),
    _digits,
    seen=True,
)
