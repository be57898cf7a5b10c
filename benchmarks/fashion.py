"""Fashion-MNIST: the four files that its authors publish, and their images as an image set with their own split."""

import gzip
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from featx.inputs import ImageSet, list_images

FOLDER = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package `dataset-fashion-mnist` puts them."""
SPLITS = {"train": "train", "test": "t10k"}
"""Split -> how its files begin."""

Pixels = NDArray[np.uint8]


def read_fashion(folder: Path) -> dict[str, tuple[Pixels, NDArray[np.uint8]]]:
    """Split -> its images (n, 28, 28) and labels (n,)."""
    if not folder.is_dir():
        raise SystemExit(f"{folder}: no such folder; name the one with Fashion-MNIST's four .gz files with --fashion")
    return {
        split: (_read(folder / f"{start}-images-idx3-ubyte.gz"), _read(folder / f"{start}-labels-idx1-ubyte.gz"))
        for split, start in SPLITS.items()
    }


def _read(path: Path) -> NDArray[np.uint8]:
    """The array in an IDX file of bytes: after the number of axes and their lengths come the values."""
    data = gzip.decompress(path.read_bytes())
    axes = data[3]
    shape = np.frombuffer(data, ">u4", axes, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


def list_fashion(folder: Path, path: Path) -> ImageSet:
    """The image set, training images first, kept as HDF5 in `path`."""
    if not path.exists():
        found = read_fashion(folder)
        with h5py.File(path, "w") as file:
            file["images"] = np.concatenate([images for images, _ in found.values()])
            file["label"] = np.concatenate([labels for _, labels in found.values()])
            file["split"] = [split for split, (_, labels) in found.items() for _ in labels]
    return list_images(f"{path}/images")
