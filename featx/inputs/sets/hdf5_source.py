"""Reads images that are rows of a chunked, perhaps compressed, HDF5 dataset, which only HDF5 itself can read."""

import errno
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from featx.errors import one_line
from featx.inputs.sets.arrays import squeeze_channel
from featx.inputs.sets.containers import Container
from featx.inputs.sets.files import Files, LocalFiles
from featx.inputs.sets.hdf5_chunks import Chunks
from featx.inputs.sets.memo import Memo

CHUNK_SLOTS = 10_007
"""Slots of HDF5's hash table of chunks: a prime far above the number of chunks that are kept."""


def open_hdf5(files: Files, path: str, *, chunk_bytes: int = 1 << 20) -> Any:
    """The file opened by h5py, which keeps up to `chunk_bytes` of each dataset's chunks in memory. Raises OSError."""
    import h5py

    target = files.absolute(path) if isinstance(files, LocalFiles) else files.open(path)
    return h5py.File(target, "r", rdcc_nbytes=chunk_bytes, rdcc_nslots=CHUNK_SLOTS)


@dataclass(frozen=True)
class Hdf5Source:
    """Rows of a dataset; HDF5 reads for one thread at a time and keeps the chunks of the last few rows."""

    file: Container
    dataset: str
    size: int
    """Bytes of the pixels of one image."""
    chunk_bytes: int
    """Bytes of chunks to keep in memory."""
    first: int = 0
    """Row of the dataset that is row 0 of this source."""
    _opened: Memo[str, tuple[Any, Chunks]] = field(default_factory=lambda: Memo(1), repr=False, compare=False)
    sized: ClassVar[bool] = True

    @property
    def remote(self) -> bool:
        """Whether the file is on another machine."""
        return self.file.files.remote

    def stat(self, row: int, name: str) -> tuple[int, int]:
        """Size of the image's pixels, and the modification time of the file."""
        return self.size, self.file.changed

    def read(self, row: int, name: str) -> NDArray[np.generic]:
        """The pixels, (H, W) or (H, W, 3)."""
        self.file.check()
        try:
            dataset, chunks = self._opened.get(self.dataset, self._open)
            chunks.check(self.first + row)
            pixels: NDArray[np.generic] = dataset[self.first + row]
        except (OSError, MemoryError):
            raise
        except Exception as error:  # h5py raises RuntimeError, KeyError and others on damaged files
            raise OSError(errno.EIO, one_line(error), self.file.path) from error
        return squeeze_channel(pixels)

    def part(self, rows: slice) -> "Hdf5Source":
        """The source of these rows."""
        return replace(self, first=self.first + (rows.start or 0))

    def _open(self) -> tuple[Any, Chunks]:
        dataset = open_hdf5(self.file.files, self.file.path, chunk_bytes=self.chunk_bytes)[self.dataset]
        return dataset, Chunks(dataset, rows=1)
