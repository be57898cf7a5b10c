"""Finds out what the folders above images are: folders around everything, splits, or classes.

The rule is the same for folders and for tars. Folders that all images are in are skipped. If all folders below them
have the names of splits, such as `train` and `val`, they are splits. The next folder in an image's name is its class.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from featx.columns import CHUNK, find_split
from featx.errors import ImageSetError
from featx.showing import shorten

logger = logging.getLogger(__name__)

Names = Sequence[NDArray[np.bytes_]]
"""The names of images in one or several arrays."""
MOST_SPLIT_FOLDERS = 10
"""Most folders inside classes that are looked at for names of splits."""
_KIND = r"(?:set|data|images?|imgs?|split)"
_SPLIT_FOLDER = re.compile(rf"(?:{_KIND}[-_. ]+|seg_)?([a-z]+?)[-_. ]*{_KIND}?[-_. ]*\d*", re.IGNORECASE)


@dataclass(frozen=True)
class ClassFolders:
    """Which folders in the names of images are their splits and their classes."""

    separator: bytes = b"/"
    """What separates folders: a backslash in archives that were made on Windows."""
    skipped: bytes = b""
    """The folders that all names begin with, and that mean nothing."""
    splits: Mapping[bytes, str] = field(default_factory=dict)
    """Folder -> its split; empty if the folders are not splits."""
    below: bytes = b""
    """The folders that all names with a class have between split and class."""
    labelled: bool = False
    """Whether any image has a class."""

    def split(self, name: bytes) -> str:
        """The split of the image with this name."""
        return self.splits[self.first_folder(name)]

    def label(self, name: bytes) -> str:
        """The class of the image with this name; an empty text if it is in no class folder."""
        rest = self.rest(name)
        inside = rest.startswith(self.below)
        return self._folder(rest[len(self.below) :]).decode() if inside else ""

    def first_folder(self, name: bytes) -> bytes:
        """The first folder in the name that is not skipped: a split or a class; empty if there is none."""
        return self._folder(name[len(self.skipped) :])

    def rest(self, name: bytes) -> bytes:
        """The name without the folders that are skipped, and without its split."""
        rest = name[len(self.skipped) :]
        return rest.partition(self.separator)[2] if self.splits else rest

    def _folder(self, name: bytes) -> bytes:
        return name.partition(self.separator)[0] if self.separator in name else b""


def find_split_folder(name: str) -> str | None:
    """The split that a folder with this name stands for, as `train`, `Training_set` or `val2017` do; else None."""
    match = _SPLIT_FOLDER.fullmatch(name)
    return find_split(match[1]) if match else None


def match_splits(folders: Sequence[str]) -> dict[str, str]:
    """Folder -> split, if all folders have the names of splits, and not all of the same split; else empty."""
    found = {folder: split for folder in folders if (split := find_split_folder(folder))}
    return found if len(found) == len(set(folders)) and len(set(found.values())) > 1 else {}


def find_class_folders(where: str, names: Names, *, one_is_class: bool) -> ClassFolders:
    """The splits and classes in the names of images, which are relative to the folder or tar `where`.

    If all images are in one folder, it is their class only if `one_is_class`. What is skipped, what is a split, and
    that there is only one class, is logged. Raises ImageSetError if only some images are in class folders.
    """
    found, counts = _find_splits(names)
    if b"" in counts:
        return _find_single_class(where, names, found, mixed=len(counts) > 1, one_is_class=one_is_class)
    if found.skipped:
        logger.warning("%s: all images are in the folder %r, which is skipped", where, found.skipped[:-1].decode())
    found = replace(found, labelled=True)
    if not found.splits:
        _warn_of_unused_splits(where, names, found, counts)
        return found
    _warn_of_splits(where, counts)
    return _find_classes_in_splits(where, names, found, counts, one_is_class=one_is_class)


def find_split_folders(where: str, names: Names) -> ClassFolders:
    """The splits in the names of images that have labels of their own, so that folders are not classes."""
    found, counts = _find_splits(names)
    if found.splits:
        _warn_of_splits(where, counts)
    return found


def _find_splits(names: Names) -> tuple[ClassFolders, Counter[bytes]]:
    """The folders that all images share, the splits below them, and the number of images in each folder there."""
    found = ClassFolders(separator=_find_separator(names))
    found = replace(found, skipped=_common_folders(names, found))
    counts = _count(names, found)
    splits = match_splits([folder.decode() for folder in counts])
    return replace(found, splits={folder.encode(): split for folder, split in splits.items()}), counts


def _warn_of_splits(where: str, counts: Counter[bytes]) -> None:
    text = shorten(f"{folder.decode()} ({count})" for folder, count in sorted(counts.items()))
    logger.warning("%s: the folders %s are splits, not classes", where, text)


def _warn_of_unused_splits(where: str, names: Names, found: ClassFolders, counts: Counter[bytes]) -> None:
    """Log that folders with the names of splits are classes, or are below classes."""
    classes = sorted(name.decode() for name in counts)
    splits = {name: split for name in classes if (split := find_split_folder(name))}
    if len(set(splits.values())) > 1:
        other = next(name for name in classes if name not in splits)
        text = "%s: the folders %s are taken for classes, not for splits, as %r beside them is not the name of a split"
        logger.warning(text, where, shorten(splits), other)
    inside: set[bytes] = set()
    for folder, _ in iter_folders(names, found.separator):
        inside.add(found.rest(folder).partition(found.separator)[2].partition(found.separator)[0])
        if len(inside) > MOST_SPLIT_FOLDERS:
            return
    if match_splits([folder.decode() for folder in inside]):
        text = "%s: the folders %s in each class are not used as splits; move them above the classes to use them"
        logger.warning(text, where, shorten(sorted(folder.decode() for folder in inside)))


def _find_separator(names: Names) -> bytes:
    """A backslash if all names have one and none has a slash, else a slash."""
    windows = all(
        bool(np.all(np.strings.find(array, b"\\") >= 0) and np.all(np.strings.find(array, b"/") < 0)) for array in names
    )
    return b"\\" if windows else b"/"


def iter_folders(names: Names, separator: bytes) -> Iterator[tuple[bytes, int]]:
    """The folders that names are in, with a separator at their end, and how many neighbouring names are in each."""
    for array in names:
        for start in range(0, len(array), CHUNK):
            folders = (name[: name.rfind(separator) + 1] for name in array[start : start + CHUNK].tolist())
            for folder, run in groupby(folders):
                yield folder, sum(1 for _ in run)


def _count(names: Names, found: ClassFolders) -> Counter[bytes]:
    """The number of images in each first folder that is not skipped; b"" for images in none."""
    counts: Counter[bytes] = Counter()
    for folder, count in iter_folders(names, found.separator):
        counts[found.first_folder(folder)] += count
    return counts


def _common_folders(names: Names, found: ClassFolders) -> bytes:
    """The folders that all names begin with behind what is skipped; once classes are known, only names with a class."""
    every = (folder for folder, _ in iter_folders(names, found.separator))
    folders = (found.rest(folder) for folder in every if _may_have_class(found, folder))
    first = last = next(folders, b"")
    for folder in folders:
        first = min(first, folder)
        last = max(last, folder)
    same = next((place for place in range(len(first)) if first[place : place + 1] != last[place : place + 1]), None)
    return first[: first[:same].rfind(found.separator) + 1]


def _may_have_class(found: ClassFolders, folder: bytes) -> bool:
    """Whether images in this folder have a class, or it is not known yet which ones have."""
    return not found.labelled or bool(found.label(folder))


def _find_single_class(
    where: str, names: Names, found: ClassFolders, *, mixed: bool, one_is_class: bool
) -> ClassFolders:
    """The class of images of which some, or all, are directly in the folders that they share."""
    if mixed and not (one_is_class and found.skipped):
        raise _mixed_error(where, names, found, under=b"")
    if not found.skipped:
        return found
    folder = found.skipped.partition(found.separator)[0].decode()
    if not one_is_class or find_split_folder(folder):
        logger.warning("%s: all images are in one folder, %r, which is not taken for a class", where, folder)
        return found
    _warn_of_one_class(where, folder)
    return replace(found, skipped=b"", labelled=True)


def _find_classes_in_splits(
    where: str, names: Names, found: ClassFolders, counts: Counter[bytes], *, one_is_class: bool
) -> ClassFolders:
    """The classes below the folders that are splits; the images of a split may have none, as those of tests do."""
    if not _check_mixed(where, names, found, counts):
        return replace(found, labelled=False)
    below = _common_folders(names, found)
    deeper = replace(found, below=below)
    folders = (folder for folder, _ in iter_folders(names, found.separator))
    if not any(found.label(folder) and not deeper.label(folder) for folder in folders):
        if below:
            logger.warning("%s: the folder %r in each split is skipped", where, below[:-1].decode())
        return deeper
    common = below.partition(found.separator)[0].decode()
    if not one_is_class:
        logger.warning("%s: all images are in one folder, %r, which is not taken for a class", where, common)
        return replace(found, labelled=False)
    _warn_of_one_class(where, common)
    return found


def _check_mixed(where: str, names: Names, found: ClassFolders, counts: Counter[bytes]) -> bool:
    """Whether the images of any split are in class folders. Raises ImageSetError if only some of a split are."""
    direct: Counter[bytes] = Counter()
    for folder, count in iter_folders(names, found.separator):
        if not found.label(folder):
            direct[found.first_folder(folder)] += count
    for folder, count in sorted(direct.items()):
        if count < counts[folder]:
            raise _mixed_error(where, names, found, under=folder)
        if len(direct) < len(counts):
            logger.warning("%s: images in %r are in no class folder, and have no label", where, folder.decode())
    return len(direct) < len(counts)


def _warn_of_one_class(where: str, folder: str) -> None:
    logger.warning(
        "%s: all images are of one class, %r; to train a head, give each class a folder of its own, or list the images "
        "with their labels in a manifest",
        where,
        folder,
    )


def _mixed_error(where: str, names: Names, found: ClassFolders, *, under: bytes) -> ImageSetError:
    """The error for images that are directly in a folder in which others are in class folders."""
    every = (name for array in names for name in array.tolist())
    inside = [name for name in every if not found.splits or found.first_folder(name) == under]
    loose = next(name for name in inside if not found.label(name)).decode()
    within = next(name for name in inside if found.label(name)).decode()
    return ImageSetError(
        f"{where}: some images are in class folders ({within}) and some are not ({loose}); put them all into class "
        "folders, or list them in a manifest"
    )
