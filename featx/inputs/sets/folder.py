"""Lists a folder of images, with one sub-folder per class or flat, in bytewise order of the names."""

import os
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from featx.columns import CHUNK, NO_LABEL, ImageColumns, TextsBuilder, as_texts
from featx.errors import ImageSetError
from featx.inputs.formats import IMAGE_ENDINGS
from featx.inputs.sets.class_folders import find_class_folders, iter_folders
from featx.inputs.sets.files import Files, FileSource
from featx.inputs.sets.image_set import ImageSet


def is_image_name(name: str) -> bool:
    """Whether a file with this name counts as an image: by its ending, unless it is hidden."""
    return os.path.splitext(name)[1].lower() in IMAGE_ENDINGS and not is_hidden(name)


def is_hidden(name: str) -> bool:
    """Whether the name of the file, or of a folder in its path, begins with a dot; a backslash is a slash."""
    return name.startswith(".") or "/." in name or "\\." in name


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


def has_no_ending(name: bytes) -> bool:
    """Whether a file with this name has no ending, as images that were downloaded by their address."""
    return not os.path.splitext(name)[1] and not is_hidden(name.decode())


def no_images_error(where: str, others: NDArray[np.bytes_]) -> ImageSetError:
    """The error for a place in which no file has an image's ending."""
    found = "and no other files"
    if len(others):
        found = f"but {len(others)} other files, such as {bytes(others[0]).decode()}"
    bare = any(map(has_no_ending, others[:CHUNK].tolist()))
    step = "list images without an ending in the column 'path' of a manifest" if bare else "check the path"
    endings = ", ".join(sorted(IMAGE_ENDINGS))
    return ImageSetError(f"{where}: no images in it, {found}; images end in {endings}; {step}")


def list_folder(files: Files, root: str, *, names: NDArray[np.bytes_], ignored: NDArray[np.bytes_]) -> ImageSet:
    """The image set of these names, with the splits and classes that its folders stand for.

    Raises ImageSetError if there are no names, or if some images are in class folders and some are not.
    """
    if not len(names):
        raise no_images_error(root, ignored)
    folders = find_class_folders(root, [names], one_is_class=True)
    runs = list(iter_folders([names], folders.separator)) if folders.labelled or folders.splits else []
    classes, labels = _number(runs, folders.label) if folders.labelled else ((), None)
    splits, parts = _number(runs, folders.split) if folders.splits else ((), None)
    columns = ImageColumns(
        names=names,
        classes=classes,
        labels=labels,
        splits=None if parts is None else as_texts(splits)[parts],
    )
    return ImageSet(**vars(columns), source=FileSource(files, root), ignored=ignored)


def _number(
    runs: Sequence[tuple[bytes, int]], text_of: Callable[[bytes], str]
) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """The texts of all folders in alphabetical order, and (n,) the position of each name's text; -1 for an empty one.

    `runs` are folders, and the number of neighbouring names in each.
    """
    numbers: dict[str, int] = {}
    found = [numbers.setdefault(text_of(folder), len(numbers)) for folder, _ in runs]
    texts = tuple(sorted(filter(None, numbers)))
    position = {text: index for index, text in enumerate(texts)} | {"": NO_LABEL}
    positions = np.array([position[text] for text in numbers], np.int32)[found]
    return texts, np.repeat(positions, [count for _, count in runs])
