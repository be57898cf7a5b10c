"""Images that are rows of an HDF5 dataset whose bytes only HDF5 can find: in chunks, maybe compressed."""

import errno
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.inputs.sets.arrays import as_picture
from featx.inputs.sets.containers import Container
from featx.inputs.sets.files import Files, LocalFiles
from featx.inputs.sets.memo import Recent

SLOTS = 10_007
"""Places in HDF5's table of chunks: a prime well above the number of chunks that are kept."""


def open_hdf5(files: Files, path: str, *, chunk_bytes: int = 1 << 20) -> Any:
    """The file as h5py has it, which keeps this many bytes of a dataset's chunks. Raises OSError."""
    import h5py

    target = files.absolute(path) if isinstance(files, LocalFiles) else files.open(path)
    return h5py.File(target, "r", rdcc_nbytes=chunk_bytes, rdcc_nslots=SLOTS)


@dataclass(frozen=True)
class Hdf5Source:
    """Rows of a dataset, read by HDF5, which serves one thread at a time and keeps the chunks of the last few rows."""

    file: Container
    dataset: str
    size: int
    """Bytes of one image's pixels."""
    chunk_bytes: int
    """Bytes of chunks to keep."""
    first: int = 0
    """Row of the dataset that is row 0 here."""
    _opened: Recent[str, Any] = field(default_factory=lambda: Recent(1), repr=False, compare=False)

    @property
    def remote(self) -> bool:
        """Whether the file lies on another machine."""
        return self.file.files.remote

    def stat(self, row: int, name: str) -> tuple[int, int]:
        """Size of the image's pixels, and the time of change of the file."""
        return self.size, self.file.changed

    def read(self, row: int, name: str) -> NDArray[np.generic]:
        """The pixels, (H, W) or (H, W, 3)."""
        self.file.check()
        try:
            pixels: NDArray[np.generic] = self._opened.get(self.dataset, self._open)[self.first + row]
        except (OSError, MemoryError):
            raise
        except Exception as error:
            # h5py raises RuntimeError, KeyError and more on damaged files
            raise OSError(errno.EIO, " ".join(str(error).split()) or type(error).__name__, self.file.path) from error
        return as_picture(pixels)

    def part(self, rows: slice) -> "Hdf5Source":
        """The source of these rows."""
        return replace(self, first=self.first + (rows.start or 0))

    def _open(self) -> Any:
        return open_hdf5(self.file.files, self.file.path, chunk_bytes=self.chunk_bytes)[self.dataset]
