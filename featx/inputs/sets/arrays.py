"""Checks that arrays are images, (N, H, W) or (N, H, W, 3), and reads .npy files row by row."""

import io
import math
from dataclasses import dataclass, replace
from typing import BinaryIO, ClassVar

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from featx.columns import ImageColumns, TextsBuilder
from featx.errors import ImageSetError, one_line
from featx.inputs.sets.containers import Container, cause_of, open_container
from featx.inputs.sets.image_set import ImageSet
from featx.inputs.sets.shards import Shards

PIXEL_TYPES = (np.dtype(np.uint8), np.dtype(np.uint16))
LARGEST_NPY_HEADER = 1 << 16
"""Bytes at the start of a .npy file within which its header must end."""


@dataclass(frozen=True)
class ArraySource:
    """Images that are rows of an array, stored one after the other in a file."""

    file: Container
    offset: int
    """Position in the file at which the array begins."""
    shape: tuple[int, ...]
    """Shape of one image."""
    dtype: np.dtype[np.generic]
    first: int = 0
    """Row of the array that is row 0 of this source."""
    sized: ClassVar[bool] = True

    @property
    def remote(self) -> bool:
        """Whether the file is on another machine."""
        return self.file.files.remote

    def stat(self, row: int, name: str) -> tuple[int, int]:
        """Size of the image's pixels, and the modification time of the file."""
        return self._size, self.file.changed

    def read(self, row: int, name: str) -> NDArray[np.generic]:
        """The pixels, (H, W) or (H, W, 3)."""
        data = self.file.read_range(self.offset + (self.first + row) * self._size, self._size)
        return squeeze_channel(np.frombuffer(data, self.dtype).reshape(self.shape))

    def part(self, rows: slice) -> "ArraySource":
        """The source of these rows."""
        return replace(self, first=self.first + (rows.start or 0))

    @property
    def _size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def squeeze_channel(pixels: NDArray[np.generic]) -> NDArray[np.generic]:
    """The pixels of one image; (H, W, 1) becomes (H, W)."""
    return pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels


def name_rows(prefix: str, rows: int) -> NDArray[np.bytes_]:
    """Names of the rows of an array: PREFIX/0, PREFIX/1, ..., which stay the same when rows are appended."""
    names = TextsBuilder()
    for row in range(rows):
        names.add(f"{prefix}/{row}")
    return names.build()


def why_not_images(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> str | None:
    """Why an array of this shape and type is not images, and the next step; None if it is."""
    if reason := _why_not_image_shape(shape):
        return reason
    if dtype.newbyteorder("=") not in PIXEL_TYPES:
        return f"its numbers are {dtype}, not uint8 or uint16; scale them to 0..255 and save them with astype('uint8')"
    return None if min(shape) > 0 else f"its shape is {shape}, so that there are no pixels; check it"


def _why_not_image_shape(shape: tuple[int, ...]) -> str | None:
    if len(shape) == 3 and shape[2] in (1, 3, 4):
        return f"its shape {shape} is that of one image; save array[None]"
    if len(shape) not in (3, 4):
        return f"its shape is {shape}, not (N, H, W) or (N, H, W, 3); check its contents"
    if len(shape) == 3 or shape[3] in (1, 3):
        return None
    if shape[1] in (1, 3):
        return f"its shape {shape} has the channels first; save array.transpose(0, 2, 3, 1).copy()"
    return f"its shape {shape} has {shape[3]} channels, not 1 or 3; save the colour channels, as array[..., :3]"


def list_npy(shards: Shards) -> ImageSet:
    """The image set of the rows of a .npy file; no pixels are read. Raises ImageSetError if it has no images."""
    (path,) = shards.paths
    file = open_container(shards.files, path)
    try:
        with shards.files.open(path) as opened:
            shape, fortran_order, dtype, offset = _read_header(path, opened)
    except OSError as error:
        raise ImageSetError(f"{path}: cannot be read ({cause_of(error)}); check it") from error
    if reason := why_not_images(shape, dtype):
        raise ImageSetError(f"{path}: {reason}")
    if fortran_order:
        raise ImageSetError(f"{path}: its rows are not stored one after the other; save numpy.ascontiguousarray(array)")
    expected = offset + math.prod(shape) * dtype.itemsize
    if file.size != expected:
        raise ImageSetError(
            f"{path}: has {file.size} bytes, but an array {shape} of {dtype} takes {expected}; it was cut short or has "
            "more than one array: save it again"
        )
    names = name_rows(shards.name(path), shape[0])
    return ImageSet(**vars(ImageColumns(names=names)), source=ArraySource(file, offset, shape[1:], dtype))


def _read_header(path: str, file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[np.generic], int]:
    """Shape, whether the order is Fortran's, type, and the position at which the numbers begin."""
    head = io.BytesIO(file.read(LARGEST_NPY_HEADER))
    try:
        version = npy.read_magic(head)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        return *read(head), head.tell()
    except Exception as error:  # numpy evaluates the header as a Python literal, which can raise almost anything
        cause = one_line(error)
        raise ImageSetError(f"{path}: not a .npy file of pixels ({cause}); save it again") from error
