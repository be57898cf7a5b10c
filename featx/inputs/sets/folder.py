"""Lists a folder of images, with one sub-folder per class or flat, in bytewise order of the names."""

import os

import numpy as np
from numpy.typing import NDArray

from featx.columns import CHUNK, NO_LABEL, ImageColumns, TextsBuilder
from featx.errors import ImageSetError
from featx.inputs.sets.files import Files, FileSource
from featx.inputs.sets.image_set import ImageSet

IMAGE_ENDINGS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".bmp", ".webp", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm", ".jp2", ".avif"}
)
"""Endings of the files that count as images when a folder or a tar is listed."""


def is_image_name(name: str) -> bool:
    """Whether a file with this name counts as an image: by its ending, unless it is hidden."""
    return os.path.splitext(name)[1].lower() in IMAGE_ENDINGS and not is_hidden(name)


def is_hidden(name: str) -> bool:
    """Whether the name of the file, or of a folder in its path, begins with a dot."""
    return name.startswith(".") or "/." in name


def walk_folder(files: Files, root: str) -> tuple[NDArray[np.bytes_], NDArray[np.bytes_]]:
    """Names of the images and of the other files below a folder, both in bytewise order. Raises ImageSetError."""
    images = TextsBuilder()
    others = TextsBuilder()
    for name in files.walk(root):
        (images if is_image_name(name) else others).add(name)
    names = images.build()
    names.sort()
    ignored = others.build()
    ignored.sort()
    return names, ignored


def no_images_error(where: str, others: NDArray[np.bytes_]) -> ImageSetError:
    """The error for a place in which no file has an image's ending."""
    found = "and no other files"
    if len(others):
        found = f"but {len(others)} other files, such as {bytes(others[0]).decode()}"
    return ImageSetError(f"{where}: no images in it, {found}; images end in {', '.join(sorted(IMAGE_ENDINGS))}")


def list_folder(files: Files, root: str, *, names: NDArray[np.bytes_], ignored: NDArray[np.bytes_]) -> ImageSet:
    """The image set of these names; the first sub-folder in an image's path is its class.

    Raises ImageSetError if there are no names, or if some images are in sub-folders and some are not.
    """
    if not len(names):
        raise no_images_error(root, ignored)
    classes, labels = label_by_folder(names)
    if "" in classes and len(classes) > 1:
        loose = bytes(names[labels == classes.index("")][0]).decode()
        raise ImageSetError(
            f"{root}: some images are in the folder itself ({loose}) and some in its sub-folder {classes[1]}; "
            "move them all into class folders, or list them in a manifest"
        )
    flat = classes == ("",)
    columns = ImageColumns(names=names) if flat else ImageColumns(names=names, classes=classes, labels=labels)
    return ImageSet(**vars(columns), source=FileSource(files, root), ignored=ignored)


def label_by_folder(names: NDArray[np.bytes_]) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """The classes, which are the first folders of the names ("" for none), and (n,) the class of each name."""
    numbers: dict[bytes, int] = {}
    labels = np.full(len(names), NO_LABEL, np.int32)
    for start in range(0, len(names), CHUNK):
        folders = [name.rpartition(b"/")[0].partition(b"/")[0] for name in names[start : start + CHUNK].tolist()]
        labels[start : start + CHUNK] = [numbers.setdefault(folder, len(numbers)) for folder in folders]
    classes = tuple(sorted(folder.decode() for folder in numbers))
    positions = np.array([classes.index(folder.decode()) for folder in numbers], np.int32)
    return classes, positions[labels] if len(labels) else labels
