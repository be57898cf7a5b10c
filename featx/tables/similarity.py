"""Directions of features from their mean, whose dot products are cosine similarities."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def directions(features: NDArray[np.floating[Any]], mean: NDArray[np.float64]) -> NDArray[np.float32]:
    """(n, d): each row minus the mean, scaled to length 1; a row equal to the mean becomes 0."""
    centred = features - mean
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(np.divide(centred, lengths, out=np.zeros_like(centred), where=lengths > 0), np.float32)
