"""Makes image sets from arrays in memory: arrays of paths, or of pixels."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from featx.columns import as_texts
from featx.errors import ImageSetError
from featx.inputs.sets.arrays import name_rows, squeeze_channel, why_not_images
from featx.inputs.sets.files import Files, LocalFiles, check_utf8, join
from featx.inputs.sets.image_set import ImageSet, Stored
from featx.inputs.sets.remote import hide_secrets, is_address, open_address


@dataclass(frozen=True)
class PathSource:
    """Images that are single files, each named by its whole path."""

    files: Files
    sized: ClassVar[bool] = True

    @property
    def remote(self) -> bool:
        """Whether the files are on another machine."""
        return self.files.remote

    def stat(self, row: int, name: str) -> tuple[int, int]:
        """Size and modification time of the image's file."""
        return self.files.stat(name)

    def read(self, row: int, name: str) -> Stored:
        """The bytes of the image's file."""
        return self.files.read(name)

    def part(self, rows: slice) -> "PathSource":
        """This source, as it finds images by name alone."""
        return self


@dataclass(frozen=True)
class PixelSource:
    """Images that are rows of an array in memory."""

    pixels: NDArray[np.generic]
    remote: bool = False
    sized: ClassVar[bool] = True

    def stat(self, row: int, name: str) -> tuple[int, int]:
        """Size of the image's pixels, and 0, as changes cannot be detected."""
        return self.pixels[row].nbytes, 0

    def read(self, row: int, name: str) -> NDArray[np.generic]:
        """The pixels, (H, W) or (H, W, 3)."""
        return squeeze_channel(self.pixels[row])

    def part(self, rows: slice) -> "PixelSource":
        """The source of these rows."""
        return replace(self, pixels=self.pixels[rows])


def images_of_array(array: ArrayLike, *, root: Path | str | None = None) -> ImageSet:
    """The image set of an array, in its order: paths (n,) or (n, 1), or pixels (n, h, w) or (n, h, w, 3).

    Relative paths are relative to `root`, a folder (by default the current one) or an address; a path may occur more
    than once. Pixels are uint8 or uint16. Raises ImageSetError saying what the array has instead.
    """
    try:
        values = np.asarray(array)
    except ValueError as error:
        raise ImageSetError(f"X: not an array ({error}); give images of one size, or their paths") from error
    if not values.ndim:
        found = type(array).__name__
        raise ImageSetError(
            f"X: a {found}, not an array with one entry per image; give a list of paths, or pixels that are not sparse"
        )
    if values.dtype.kind in "OSUT":
        return _list_paths(values, root)
    if root is not None:
        raise ImageSetError(
            f"root={hide_secrets(str(root))!r} is only for paths, but X has {values.dtype}; leave it out"
        )
    if reason := why_not_images(values.shape, values.dtype):
        raise ImageSetError(f"X: {reason}")
    return ImageSet(names=name_rows("X", len(values)), source=PixelSource(values))


def _list_paths(values: NDArray[np.generic], root: Path | str | None) -> ImageSet:
    if values.ndim not in (1, 2) or values.shape[1:] not in ((), (1,)) or not len(values):
        raise ImageSetError(f"X: its shape is {values.shape}; give paths as (n,) or (n, 1), at least one")
    paths = [_as_path(value, row) for row, value in enumerate(values.ravel().tolist())]
    files: Files = LocalFiles(here=os.path.abspath(root or "."))
    if root is not None and is_address(str(root)):
        files, folder = open_address(str(root))
        paths = [join(folder, path) for path in paths]
    return ImageSet(names=as_texts(paths), source=PathSource(files))


def _as_path(value: object, row: int) -> str:
    if not isinstance(value, str | bytes | os.PathLike):
        raise ImageSetError(f"X: row {row} is {value!r}, a {type(value).__name__}, not a path; correct it")
    path = os.fsdecode(value)
    if not path or "\0" in path or is_address(path):
        step = "give the part that all addresses share as root" if is_address(path) else "correct it"
        raise ImageSetError(f"X: row {row} is {hide_secrets(path)!r}, which is not a path on this machine; {step}")
    check_utf8(path, within=f"X: row {row}: ")
    return path
