"""A folder of images, one sub-folder a class or flat, listed in bytewise order of the names."""

import os

import numpy as np
from numpy.typing import NDArray

from featx.columns import (
    CHUNK,
    NO_LABEL,
    ImageColumns,
    TextsBuilder,
)
from featx.errors import ImageSetError
from featx.inputs.sets.files import Files, FileSource
from featx.inputs.sets.image_set import ImageSet

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".bmp", ".webp", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm", ".jp2", ".avif"}
)
"""Endings of the files that a folder listing takes for images."""


def is_image_name(name: str) -> bool:
    """Whether a listing takes a file of this name for an image."""
    return os.path.splitext(name)[1].lower() in SUFFIXES and not is_hidden(name)


def is_hidden(name: str) -> bool:
    """Whether the file or a folder on the way to it has a name that begins with a dot."""
    return name.startswith(".") or "/." in name


def walk_folder(files: Files, root: str) -> tuple[NDArray[np.bytes_], NDArray[np.bytes_]]:
    """Names of the images in a folder, and of the other files in it, both in bytewise order. Raises ImageSetError."""
    images, others = TextsBuilder(), TextsBuilder()
    for name in files.walk(root):
        (images if is_image_name(name) else others).add(name)
    names, ignored = images.build(), others.build()
    names.sort()
    ignored.sort()
    return names, ignored


def refuse_no_images(where: str, others: NDArray[np.bytes_]) -> ImageSetError:
    """What to tell of a place where nothing has an image's name."""
    found = f"{len(others)} other files, such as {bytes(others[0]).decode()}" if len(others) else "nothing"
    return ImageSetError(f"{where}: no images in it, but {found}; images end in {', '.join(sorted(SUFFIXES))}")


def list_folder(files: Files, root: str, *, names: NDArray[np.bytes_], ignored: NDArray[np.bytes_]) -> ImageSet:
    """The images of these names in a folder; the first sub-folder on the way to an image is its class.

    Raises ImageSetError.
    """
    if not len(names):
        raise refuse_no_images(root, ignored)
    classes, labels = label_by_folder(names)
    if "" in classes and len(classes) > 1:
        loose = bytes(names[labels == classes.index("")][0]).decode()
        raise ImageSetError(
            f"{root}: images lie both in it ({loose}) and in its sub-folder {classes[1]}; "
            "move them all into class folders, or list them in a manifest"
        )
    flat = classes == ("",)
    columns = ImageColumns(names=names) if flat else ImageColumns(names=names, classes=classes, labels=labels)
    return ImageSet(**vars(columns), source=FileSource(files, root), ignored=ignored)


def label_by_folder(names: NDArray[np.bytes_]) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """The first folder of every name as its class; "" where there is none."""
    met: dict[bytes, int] = {}
    labels = np.full(len(names), NO_LABEL, np.int32)
    for start in range(0, len(names), CHUNK):
        folders = [name.rpartition(b"/")[0].partition(b"/")[0] for name in names[start : start + CHUNK].tolist()]
        labels[start : start + CHUNK] = [met.setdefault(folder, len(met)) for folder in folders]
    classes = tuple(sorted(folder.decode() for folder in met))
    place = np.array([classes.index(folder.decode()) for folder in met], np.int32)
    return classes, place[labels] if len(labels) else labels
