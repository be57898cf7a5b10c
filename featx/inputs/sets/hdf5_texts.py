"""Texts of variable length in an HDF5 file, read by a process of their own, as HDF5 can hang on damaged ones."""

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

SECONDS = 60
"""How long reading may take, and a second more for every ten thousand texts."""
_PROGRAM = "from featx.inputs.sets.hdf5_texts import answer; answer()"


def read_texts(file: Container, dataset: str, *, rows: int) -> NDArray[np.bytes_]:
    """The texts of a dataset (rows,) as UTF-8. Raises ImageSetError where they cannot be read."""
    asked = pickle.dumps((file, dataset))
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM],
            input=asked,
            capture_output=True,
            timeout=SECONDS + rows / 10_000,
            check=True,
        )
    except (subprocess.SubprocessError, OSError) as error:
        told = (getattr(error, "stderr", None) or b"").decode(errors="replace").split("\n")[-2:-1]
        cause = told[0] if told else type(error).__name__
        raise ImageSetError(f"{file.path}: the texts in {dataset} cannot be read ({cause}); write it anew") from error
    texts: NDArray[np.bytes_] = pickle.loads(done.stdout)  # noqa: S301 - what our own process wrote
    return texts


def answer() -> None:
    """Write the texts that are asked for on standard input to standard output."""
    file, name = pickle.load(sys.stdin.buffer)  # noqa: S301 - what our own process wrote
    dataset = open_hdf5(file.files, file.path)[name]
    chunks = []
    for start in range(0, len(dataset), CHUNK):
        texts = dataset[start : start + CHUNK].reshape(-1).tolist()
        if len(max(texts, key=len)) > LONGEST_TEXT:
            raise ValueError(f"a text of more than {LONGEST_TEXT} bytes")
        chunks.append(np.array(texts, np.bytes_))
    sys.stdout.buffer.write(pickle.dumps(concatenate(chunks)))
