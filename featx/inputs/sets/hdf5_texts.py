"""Reads texts of variable length from an HDF5 file, in a process that can be ended.

On a damaged file, HDF5 can loop for ever in C code that no thread or signal interrupts, or take any amount of memory.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from featx.apart import Allow, CrashedError, Limits, TooLargeError, TooSlowError, run_apart
from featx.columns import CHUNK, concatenate
from featx.errors import ImageSetError, one_line
from featx.inputs.sets.building import LONGEST_TEXT
from featx.inputs.sets.containers import Container
from featx.inputs.sets.hdf5_source import open_hdf5

TEXTS_TIMEOUT = 60
"""Seconds that reading may take, plus one second for every ten thousand texts."""
_MEMORY = 2**31
"""Bytes of memory that reading may take, plus some for every text."""
_MEMORY_PER_TEXT = 2**10


def read_texts(file: Container, dataset: str, *, rows: int) -> NDArray[np.bytes_]:
    """(rows,): the texts of a dataset as UTF-8. Raises ImageSetError if they cannot be read."""
    limits = Limits(TEXTS_TIMEOUT + rows / 10_000, _MEMORY + rows * _MEMORY_PER_TEXT)
    try:
        return run_apart(partial(_read, file, dataset), limits=limits)
    except Exception as error:  # h5py raises OSError, RuntimeError, ValueError and others on damaged files
        raise ImageSetError(
            f"{file.path}: the texts in {dataset} cannot be read ({_cause(error, limits)}); write the file again"
        ) from error


def _cause(error: Exception, limits: Limits) -> str:
    if isinstance(error, TooSlowError):
        return f"that takes more than {limits.seconds:.0f} seconds"
    if isinstance(error, TooLargeError):
        return f"that takes more than {limits.memory >> 20} MB of memory"
    return f"HDF5 crashed: {one_line(error)}" if isinstance(error, CrashedError) else one_line(error)


def _read(file: Container, name: str, allow: Allow) -> NDArray[np.bytes_]:
    """The texts of this dataset."""
    dataset = open_hdf5(file.files, file.path)[name]
    chunks = []
    for start in range(0, len(dataset), CHUNK):
        texts = dataset[start : start + CHUNK].reshape(-1).tolist()
        if len(max(texts, key=len)) > LONGEST_TEXT:
            raise ValueError(f"a text longer than {LONGEST_TEXT} bytes")
        chunks.append(np.array(texts, np.bytes_))
    return concatenate(chunks)
