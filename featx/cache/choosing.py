"""Chooses images by split and by class, for caches and for tables."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featx.columns import NO_LABEL, ImageColumns
from featx.errors import ChoiceError, did_you_mean

NAMES_LISTED = 10
"""Number of known names that an error lists."""
_PLURALS = {"split": "splits", "class": "classes", "output": "outputs", "domain": "domains"}


@dataclass(frozen=True)
class ImageChoice:
    """Which of N images are chosen, and the labels of all of them as positions in the chosen classes."""

    rows: NDArray[np.bool_]
    """(N,)."""
    classes: tuple[str, ...]
    labels: NDArray[np.int32]
    """(N,): positions in `classes`; -1 for images whose label is not among these classes."""


def choose_images(
    images: ImageColumns, where: str, *, split: str | None = None, labels: Sequence[str] = ()
) -> ImageChoice:
    """The images of this split and of these classes; all images if neither is given.

    `where` is what messages call the images. Raises ChoiceError if no image has that split, or a class is unknown.
    """
    rows = np.ones(len(images), bool) if split is None else _rows_of_split(images, where, split)
    codes = np.full(len(images), NO_LABEL, np.int32) if images.labels is None else images.labels
    if isinstance(labels, str):
        raise ChoiceError(f"labels={labels!r} is one text, not a list of classes; give labels=[{labels!r}]")
    if not labels:
        return ImageChoice(rows, images.classes, codes)
    for name in labels:
        if name not in images.classes:
            raise unknown_name(where, "class", name, images.classes)
    classes = tuple(name for name in images.classes if name in labels)
    position = {name: index for index, name in enumerate(classes)}
    codes = np.array([*(position.get(name, NO_LABEL) for name in images.classes), NO_LABEL], np.int32)[codes]
    return ImageChoice(rows & (codes != NO_LABEL), classes, codes)


def _rows_of_split(images: ImageColumns, where: str, split: str) -> NDArray[np.bool_]:
    if split and images.splits is not None:
        rows = np.asarray(images.splits == split.encode())
        if rows.any():
            return rows
    known = [] if images.splits is None else [name.decode() for name in np.unique(images.splits).tolist() if name]
    raise unknown_name(where, "split", split, known)


def unknown_name(where: str, what: str, name: str, known: Sequence[str]) -> ChoiceError:
    """The error for a split, class, output or domain that does not exist, with the names that do."""
    if not known:
        return ChoiceError(f"{where}: no {what} {name!r}, as there are no {_PLURALS[what]}; leave it out")
    more = f" and {len(known) - NAMES_LISTED} more" if len(known) > NAMES_LISTED else ""
    hint = did_you_mean(name, known)
    return ChoiceError(f"{where}: no {what} {name!r}{hint}; choose from {', '.join(known[:NAMES_LISTED])}{more}")
