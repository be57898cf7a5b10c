"""Rows to learn from, and what every classifier of ours has to keep to."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def blobs(
    count: int = 90, columns: int = 5, *, classes: int = 3, apart: float = 1.0, dtype: type = np.float64, seed: int = 0
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[Any]]:
    """Training rows, their labels, and 40 more rows, around a centre a class."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % classes
    centres = apart * rng.normal(size=(classes, columns)) + 1
    X = rng.normal(size=(count, columns)) + centres[y]
    new = rng.normal(size=(40, columns)) + centres[np.arange(40) % classes]
    return X.astype(dtype), y, new.astype(dtype)


def soft(count: int, *, classes: int = 3) -> NDArray[np.float64]:
    """Soft labels (count, classes), the largest share that of class row % classes."""
    rng = np.random.default_rng(1)
    shares = rng.dirichlet(np.ones(classes), size=count)
    shares[np.arange(count), np.arange(count) % classes] += 1
    shares[: count // 3] = np.eye(classes)[np.arange(count // 3) % classes]
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))
