"""Reads texts of variable length from an HDF5 file, in a process that can be ended.

On a damaged file, HDF5 can loop for ever in C code that no thread or signal interrupts. The process is a new
interpreter because multiprocessing would run the caller's script again.
"""

import pickle
import subprocess
import sys

import numpy as np
from numpy.typing import NDArray

from featx.columns import CHUNK, concatenate
from featx.errors import ImageSetError
from featx.inputs.sets.building import LONGEST_TEXT
from featx.inputs.sets.containers import Container
from featx.inputs.sets.hdf5_source import open_hdf5

TEXTS_TIMEOUT = 60
"""Seconds that reading may take, plus one second for every ten thousand texts."""
_PROGRAM = "from featx.inputs.sets.hdf5_texts import write_texts; write_texts()"


def read_texts(file: Container, dataset: str, *, rows: int) -> NDArray[np.bytes_]:
    """(rows,): the texts of a dataset as UTF-8. Raises ImageSetError if they cannot be read."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM],
            input=pickle.dumps((file, dataset)),
            capture_output=True,
            timeout=TEXTS_TIMEOUT + rows / 10_000,
            check=True,
        )
    except (subprocess.SubprocessError, OSError) as error:
        last_line = (getattr(error, "stderr", None) or b"").decode(errors="replace").split("\n")[-2:-1]
        cause = last_line[0] if last_line else type(error).__name__
        raise ImageSetError(
            f"{file.path}: the texts in {dataset} cannot be read ({cause}); write the file again"
        ) from error
    texts: NDArray[np.bytes_] = pickle.loads(done.stdout)  # noqa: S301 - written by our own process
    return texts


def write_texts() -> None:
    """Write the texts of the dataset that standard input names to standard output; both are pickled."""
    file, name = pickle.load(sys.stdin.buffer)  # noqa: S301 - written by our own process
    dataset = open_hdf5(file.files, file.path)[name]
    chunks = []
    for start in range(0, len(dataset), CHUNK):
        texts = dataset[start : start + CHUNK].reshape(-1).tolist()
        if len(max(texts, key=len)) > LONGEST_TEXT:
            raise ValueError(f"a text longer than {LONGEST_TEXT} bytes")
        chunks.append(np.array(texts, np.bytes_))
    sys.stdout.buffer.write(pickle.dumps(concatenate(chunks)))
