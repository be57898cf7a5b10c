"""The image set: names and labels of images in one fixed order, and the source from which their bytes are read."""

import errno
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from featx.columns import FURTHER_COLUMNS, ImageColumns, take
from featx.errors import ImageSetError
from featx.inputs.fingerprints import FINGERPRINT_BYTES
from featx.settings import LARGEST_IMAGE
from featx.showing import Overview, Shown, shorten

Stored = bytes | NDArray[np.generic]
"""One image as stored: the bytes of an image file, or an array of pixels (H, W) or (H, W, 3)."""


class ImageSource(Protocol):
    """Reads the images of an image set: files by their name, members of archives and rows of arrays by their row."""

    @property
    def remote(self) -> bool:
        """Whether images are read over a network, so that more threads than cores are useful."""

    @property
    def sized(self) -> bool:
        """Whether `stat` gives the size of the image itself, not that of a file with many images."""

    def stat(self, row: int, name: str) -> tuple[int, int]:
        """Size in bytes, and a number that changes with the image: its modification time in nanoseconds if it has one.

        The number is 0 if changes cannot be detected without reading the bytes. Raises OSError.
        """

    def read(self, row: int, name: str) -> Stored:
        """The image in this row. Raises OSError."""

    def part(self, rows: slice) -> "ImageSource":
        """The source of only these rows, the first of them as row 0; it can be pickled for another process."""


@dataclass(frozen=True, kw_only=True, repr=False)
class ImageSet(Shown, ImageColumns):
    """The names, labels and further columns of images in one fixed order, and where to read the images.

    Every array has one entry per image, or is None if nothing was given. list_images returns image sets.

    >>> import featx
    >>> images = featx.list_images("photos")
    >>> len(images), images.name(0), images.classes[:2]
    (60, 'circle/000.png', ('circle', 'cross'))
    >>> len(images.shard(0, 4))
    15
    """

    source: ImageSource
    ignored: NDArray[np.bytes_] = field(default_factory=lambda: np.empty(0, "S1"))
    """Names of files next to the images that are not images, so that nothing is left out unnoticed."""
    part_of: int | None = None
    """In a shard, the number of images of the whole set; else None."""

    def overview(self) -> Overview:
        """The numbers of images and classes, the images of each class, and the names of the other columns."""
        part = f" (a shard of {self.part_of})" if self.part_of else ""
        labels = f"{len(self.classes)} classes" if self.classes else "no classes"
        ignored = f"{len(self.ignored)} such as {bytes(self.ignored[0]).decode()}" if len(self.ignored) else ""
        facts = (("images", "; ".join(filter(None, _describe_columns(self)))), ("ignored", ignored))
        return Overview(f"ImageSet: {len(self)} images{part}, {labels}", facts)

    def stat(self, row: int) -> tuple[int, int]:
        """Size in bytes of the image, and a number that changes with it; 0 if there is none. Raises OSError."""
        return self.source.stat(row, self.name(row))

    def read(self, row: int) -> Stored:
        """The image in this row, as stored. Raises OSError."""
        return self.source.read(row, self.name(row))

    def read_bounded(self, row: int) -> Stored:
        """What `read` returns, after a check of its size, as it may be any. Raises OSError if it is above the limit."""
        if self.source.sized:
            check_size(self.stat(row)[0], self.name(row))
        return self.read(row)

    def shard(self, index: int, count: int) -> "ImageSet":
        """Shard `index` of `count`, counted from 0: contiguous images; shards differ by at most one image in size.

        Every shard keeps all classes, so that shards can be merged. Raises ImageSetError if there is no such shard, or
        if there are fewer images than shards.
        """
        if not 0 <= index < count <= len(self):
            raise ImageSetError(
                f"shard {index} of {count} shards of {len(self)} images does not exist; give an index from 0 to "
                "count - 1, and at most as many shards as images"
            )
        rows = slice(index * len(self) // count, (index + 1) * len(self) // count)
        columns = {key: take(getattr(self, key), rows) for key in ("names", "labels", *FURTHER_COLUMNS)}
        return replace(
            self,
            **columns,  # type: ignore[arg-type]
            source=self.source.part(rows),
            ignored=self.ignored[:0],
            part_of=self.part_of or len(self),
        )


def check_size(size: int, name: str) -> None:
    """Raise OSError (EFBIG) if one image has more bytes than the limit."""
    if size > LARGEST_IMAGE:
        raise OSError(errno.EFBIG, f"{size >> 20} MB, above the limit of {LARGEST_IMAGE >> 20} MB", name)


def _describe_columns(images: ImageSet) -> Iterator[str]:
    """The images of each class, the number without a label, and the names of the other columns."""
    if images.labels is not None:
        counts = np.bincount(images.labels[images.labels >= 0], minlength=len(images.classes))
        yield shorten(f"{name} {count}" for name, count in zip(images.classes, counts, strict=True))
        unlabelled = int(np.count_nonzero(images.labels < 0))
        yield f"{unlabelled} without a label" if unlabelled else ""
    columns = [name for name in FURTHER_COLUMNS if getattr(images, name) is not None]
    yield f"with {', '.join(columns)}" if columns else ""


def fingerprint(image: Stored) -> bytes:
    """16 bytes that identify the image: BLAKE2b of its bytes, or of its type, shape and pixels."""
    digest = hashlib.blake2b(digest_size=FINGERPRINT_BYTES)
    if isinstance(image, np.ndarray):
        digest.update(f"{image.dtype.str}{image.shape}".encode())
        image = np.ascontiguousarray(image).tobytes()
    digest.update(image)
    return digest.digest()
