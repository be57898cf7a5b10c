"""Features in; their directions from the mean, whose products are cosines, out."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def directions(features: NDArray[np.floating[Any]], mean: NDArray[np.float64]) -> NDArray[np.float32]:
    """(n, d): each row less the mean, of length 1; of length 0 where the row is the mean."""
    centred = features - mean
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(np.divide(centred, lengths, out=np.zeros_like(centred), where=lengths > 0), np.float32)
