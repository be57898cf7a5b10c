"""Joins the image sets of several sources (folders, tars, single image files, ...) to one."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from featx.columns import NO_LABEL, TextsBuilder, as_texts, find_repeated, sort_classes
from featx.errors import ImageSetError
from featx.inputs.sets.class_folders import match_splits
from featx.inputs.sets.files import check_utf8
from featx.inputs.sets.image_set import ImageSet, ImageSource, Stored

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """The image set of one source, and the folder by which its names can differ from those of other sources."""

    images: ImageSet
    given: str
    """What the user gave."""
    folder: str
    """The folder that the names are relative to."""
    is_folder: bool
    """Whether the user gave this folder, so that its name begins the names of its images."""


@dataclass(frozen=True)
class JoinedSource:
    """The images of several sources, one source after the other."""

    sources: tuple[ImageSource, ...]
    starts: NDArray[np.int64]
    """First row of each source, then the number of all rows."""
    prefixes: tuple[str, ...]
    """What the names of each source's images begin with here, but not in the source."""

    @property
    def remote(self) -> bool:
        """Whether any of the sources is on another machine."""
        return any(source.remote for source in self.sources)

    @property
    def sized(self) -> bool:
        """Whether `stat` gives the size of the image itself in all sources."""
        return all(source.sized for source in self.sources)

    def stat(self, row: int, name: str) -> tuple[int, int]:
        """Size of the image and a number that changes with it, as its source has them."""
        source, row, name = self._find(row, name)
        return source.stat(row, name)

    def read(self, row: int, name: str) -> Stored:
        """The image, from its source."""
        source, row, name = self._find(row, name)
        return source.read(row, name)

    def part(self, rows: slice) -> "JoinedSource":
        """The source of these rows."""
        start, stop, _ = rows.indices(int(self.starts[-1]))
        bounds = np.clip(self.starts, start, stop)
        kept = [number for number in range(len(self.sources)) if bounds[number] < bounds[number + 1]]
        parts = [
            self.sources[number].part(slice(*(bounds[number : number + 2] - self.starts[number]).tolist()))
            for number in kept
        ]
        lengths = [int(bounds[number + 1] - bounds[number]) for number in kept]
        return JoinedSource(tuple(parts), np.cumsum([0, *lengths]), tuple(self.prefixes[number] for number in kept))

    def _find(self, row: int, name: str) -> tuple[ImageSource, int, str]:
        """The source of a row, and the row and the name in it."""
        number = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.sources[number], row - int(self.starts[number]), name[len(self.prefixes[number]) :]


def join_sets(parts: Sequence[Part]) -> ImageSet:
    """The images of all parts, in their order.

    The names of images in folders begin with the folder's name. If names are not unique then, they begin with the
    folders in which the sources differ. Raises ImageSetError if an image is in two parts, or if only some have groups
    or domains.
    """
    prefixes, names = _name_apart(parts)
    sets = [part.images for part in parts]
    classes, labels = _join_labels(parts)
    return ImageSet(
        names=names,
        classes=classes,
        labels=labels,
        splits=_join_splits(parts),
        groups=_join_texts(parts, "groups"),
        domains=_join_texts(parts, "domains"),
        weights=_join_weights(sets),
        source=JoinedSource(tuple(images.source for images in sets), np.cumsum([0, *map(len, sets)]), tuple(prefixes)),
        ignored=_prefix([images.ignored for images in sets], prefixes),
    )


def _name_apart(parts: Sequence[Part]) -> tuple[list[str], NDArray[np.bytes_]]:
    """What the names of each part begin with, and all names, which are unique. Raises ImageSetError."""
    folders = [os.path.abspath(part.folder) for part in parts]
    short = [
        f"{os.path.basename(folder)}/" if part.is_folder else "" for part, folder in zip(parts, folders, strict=True)
    ]
    common = os.path.commonpath([os.path.dirname(folder) for folder in folders])
    long = [f"{os.path.relpath(folder, common)}/" for folder in folders]
    for prefixes in (short, long):
        names = _prefix([part.images.names for part in parts], prefixes)
        repeated = find_repeated(names)
        if repeated is None:
            return prefixes, names
    assert repeated is not None
    starts = np.cumsum([0, *(len(part.images) for part in parts)])
    first, second = (parts[int(np.searchsorted(starts, row, side="right")) - 1].given for row in repeated)
    name = bytes(names[repeated[0]]).decode()
    raise ImageSetError(f"{name!r} is an image of both {first} and {second}; name it once")


def _prefix(columns: Sequence[NDArray[np.bytes_]], prefixes: Sequence[str]) -> NDArray[np.bytes_]:
    """All names, with the prefixes of their parts. Raises ImageSetError if a prefix is not UTF-8."""
    builder = TextsBuilder()
    for column, prefix in zip(columns, prefixes, strict=True):
        check_utf8(prefix)
        for name in column:
            builder.add(prefix + bytes(name).decode())
    return builder.build()


def _join_labels(parts: Sequence[Part]) -> tuple[tuple[str, ...], NDArray[np.int32] | None]:
    """The classes of all parts, and the labels. Several folders without labels are classes, unless they are splits."""
    sets = [part.images for part in parts]
    if all(images.labels is None for images in sets):
        if not all(part.is_folder and part.images.splits is None for part in parts) or _match_splits(parts):
            return (), None
        names = [os.path.basename(os.path.abspath(part.folder)) for part in parts]
        classes = sort_classes(set(names))
        logger.warning("the folders %s have no class folders; they are the classes", ", ".join(names[:6]))
        return classes, np.repeat(np.array([classes.index(name) for name in names], np.int32), [*map(len, sets)])
    orders = {images.classes for images in sets if images.labels is not None}
    classes = orders.pop() if len(orders) == 1 else sort_classes({name for order in orders for name in order})
    return classes, np.concatenate([_renumber(images, classes) for images in sets])


def _renumber(images: ImageSet, classes: tuple[str, ...]) -> NDArray[np.int32]:
    if images.labels is None:
        return np.full(len(images), NO_LABEL, np.int32)
    position = {name: number for number, name in enumerate(classes)}
    return np.array([*(position[name] for name in images.classes), NO_LABEL], np.int32)[images.labels]


def _match_splits(parts: Sequence[Part]) -> dict[str, str]:
    """Name of each folder -> its split, if all parts are folders with the names of splits; else empty."""
    if not all(part.is_folder for part in parts):
        return {}
    return match_splits([os.path.basename(os.path.abspath(part.folder)) for part in parts])


def _join_splits(parts: Sequence[Part]) -> NDArray[np.bytes_] | None:
    """The splits, which the names of the folders are if all of them are names of splits."""
    sets = [part.images for part in parts]
    if splits := _match_splits(parts):
        logger.warning("the folders %s are splits", ", ".join(splits))
        own = [splits[os.path.basename(os.path.abspath(part.folder))] for part in parts]
        return np.repeat(as_texts(own), [*map(len, sets)])
    lacking = [part.given for part in parts if part.images.splits is None]
    if 0 < len(lacking) < len(parts):
        logger.warning("splits are not used, as %s has none", lacking[0])
    return None if lacking else np.concatenate([images.splits for images in sets if images.splits is not None])


def _join_texts(parts: Sequence[Part], column: Literal["groups", "domains"]) -> NDArray[np.bytes_] | None:
    """The groups or domains. Raises ImageSetError if only some parts have them: splits could not respect them."""
    values = [getattr(part.images, column) for part in parts]
    if all(value is None for value in values):
        return None
    having = next(part.given for part, value in zip(parts, values, strict=True) if value is not None)
    for part, value in zip(parts, values, strict=True):
        if value is None:
            raise ImageSetError(
                f"{part.given}: has no {column}, but {having} has; list them all in one manifest with a column "
                f"'{column[:-1]}'"
            )
    return np.concatenate(values)


def _join_weights(sets: Sequence[ImageSet]) -> NDArray[np.float32] | None:
    """The weights, 1 for images of parts without any."""
    if all(images.weights is None for images in sets):
        return None
    ones = (np.ones(len(images), np.float32) if images.weights is None else images.weights for images in sets)
    return np.concatenate(list(ones))
