"""ImageSet: which images, in one fixed order, and the source that their bytes come from."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from featx.columns import ImageColumns, take
from featx.errors import ImageSetError
from featx.inputs.fingerprints import FINGERPRINT_BYTES
from featx.showing import Overview, Shown, shorten

Stored = bytes | NDArray[np.generic]
"""One image as its source holds it: the bytes of an image file, or the pixels (H, W) or (H, W, 3) themselves."""


class ImageSource(Protocol):
    """Where images come from. A source of files goes by the name, one of an archive or an array by the row."""

    @property
    def remote(self) -> bool:
        """Whether reading means waiting for a network, so that more threads than cores are worth having."""

    def stat(self, row: int, name: str) -> tuple[int, int]:
        """Size in bytes and a number that changes with the image: its time of change in nanoseconds where there is one.

        0 where nothing tells of a change: such an image is known by its bytes alone. Raises OSError.
        """

    def read(self, row: int, name: str) -> Stored:
        """The image in this row. Raises OSError."""

    def part(self, rows: slice) -> "ImageSource":
        """The source of these rows alone, the first of them as row 0; it can be sent to another process."""


@dataclass(frozen=True, kw_only=True, repr=False)
class ImageSet(Shown, ImageColumns):
    """Which images, in one fixed order; every array has one entry an image, or is None where nothing was given."""

    source: ImageSource
    ignored: NDArray[np.bytes_] = field(default_factory=lambda: np.empty(0, "S1"))
    """What lay beside the images and is none: listed, so that nothing is dropped unseen."""
    part_of: int | None = None
    """Of a shard, the number of images of the whole set."""

    def overview(self) -> Overview:
        """The numbers of images and classes, the images of each class, and which other columns there are."""
        part = f" (a shard of {self.part_of})" if self.part_of else ""
        labels = f"{len(self.classes)} classes" if self.classes else "no classes"
        others = [bytes(name).decode() for name in self.ignored[:1]]
        facts = (
            ("images", "; ".join(filter(None, _describe_columns(self)))),
            ("ignored", f"{len(self.ignored)} such as {others[0]}" if others else ""),
        )
        return Overview(f"ImageSet: {len(self)} images{part}, {labels}", facts)

    def stat(self, row: int) -> tuple[int, int]:
        """Size in bytes of the image, and a number that changes with it, 0 where there is none. Raises OSError."""
        return self.source.stat(row, self.name(row))

    def read(self, row: int) -> Stored:
        """The image in this row, as its source holds it. Raises OSError."""
        return self.source.read(row, self.name(row))

    def shard(self, index: int, count: int) -> "ImageSet":
        """Part `index` of `count`, counted from 0: contiguous, and as long as the others or one image longer.

        It keeps all classes, so that shards can be merged. Raises ImageSetError where there is no such part.
        """
        if not 0 <= index < count <= len(self):
            raise ImageSetError(
                f"shard {index} of {count} of {len(self)} images: there are shards 0 to count - 1, "
                "and none may be empty; choose others"
            )
        rows = slice(index * len(self) // count, (index + 1) * len(self) // count)
        columns = {key: take(getattr(self, key), rows) for key in ("names", "labels", "splits", "groups", "weights")}
        rest = {"source": self.source.part(rows), "ignored": self.ignored[:0], "part_of": self.part_of or len(self)}
        return replace(self, **columns, **rest)  # type: ignore[arg-type]


def _describe_columns(images: ImageSet) -> Iterator[str]:
    """The images of each class, how many have no label, and which other columns there are."""
    if images.labels is not None:
        counts = np.bincount(images.labels[images.labels >= 0], minlength=len(images.classes))
        yield shorten(f"{name} {count}" for name, count in zip(images.classes, counts, strict=True))
        unlabelled = int(np.count_nonzero(images.labels < 0))
        yield f"{unlabelled} without a label" if unlabelled else ""
    columns = [name for name in ("splits", "groups", "weights") if getattr(images, name) is not None]
    yield f"with {', '.join(columns)}" if columns else ""


def fingerprint(image: Stored) -> bytes:
    """16 bytes that tell whether an image is the same: BLAKE2b of its bytes, of pixels with their type and shape."""
    digest = hashlib.blake2b(digest_size=FINGERPRINT_BYTES)
    if isinstance(image, np.ndarray):
        digest.update(f"{image.dtype.str}{image.shape}".encode())
        image = np.ascontiguousarray(image).tobytes()
    digest.update(image)
    return digest.digest()
