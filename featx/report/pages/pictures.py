"""Thumbnails for the sections of a page, from the image set that the user names, and how many are missing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from featx.report.section import Picture

if TYPE_CHECKING:
    from featx.inputs import ImageSet

MOST_PICTURES = 48
"""Most pictures of a section, so that a page stays small."""


@dataclass(frozen=True)
class Shown:
    """An image to be shown, what is said of it, and the cells of a matrix to which it belongs."""

    name: str
    caption: str
    tags: tuple[str, ...] = ()


@dataclass
class PictureSource:
    """Where thumbnails come from; without an image set there are no pictures."""

    images: "ImageSet | None"
    read: dict[str, bytes | None] = field(default_factory=dict)

    def show(self, images: Sequence[Shown], *, most: int = MOST_PICTURES) -> tuple[Picture, ...]:
        """A picture of each of the first `most` images; none without an image set."""
        if self.images is None:
            return ()
        chosen = images[:most]
        self._read_missing(image.name for image in chosen)
        return tuple(Picture(one.name, one.caption, self.read[one.name], one.tags) for one in chosen)

    def notes(self, images: Sequence[Shown], pictures: Sequence[Picture]) -> tuple[str, ...]:
        """What a reader must know of these pictures: how many were left out, and how many are gone."""
        if self.images is None:
            return ()
        notes = []
        if len(images) > len(pictures):
            notes.append(f"pictures: the first {len(pictures)} of {len(images)}, so that the page stays small")
        gone = sum(picture.thumbnail is None for picture in pictures)
        if gone:
            are = "pictures are" if gone > 1 else "picture is"
            notes.append(f"{gone} {are} not shown: the images are not among those of --images, or cannot be read")
        return tuple(notes)

    def _read_missing(self, names: Iterable[str]) -> None:
        from featx.inputs import read_thumbnails

        assert self.images is not None
        missing = [name for name in dict.fromkeys(names) if name not in self.read]
        if missing:
            self.read.update(read_thumbnails(self.images, missing))
