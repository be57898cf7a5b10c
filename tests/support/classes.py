"""Rows of Gaussian classes, for the tests of estimators."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Rows:
    """Features with labels, shares and weights, and rows held out."""

    X: NDArray[Any]
    y: NDArray[np.int64]
    shares: NDArray[np.float64]
    weights: NDArray[np.float64]
    held_out: NDArray[Any]
    held_out_y: NDArray[np.int64]


def make_rows(
    n: int = 120, dim: int = 8, *, classes: int = 3, apart: float = 1.0, seed: int = 0, dtype: Any = np.float64
) -> Rows:
    """Correlated Gaussians, with columns of unequal mean and scale; every class is there."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(classes, dim)) * apart
    mix = rng.normal(size=(dim, dim)) * np.geomspace(1, 0.1, dim)
    y = np.arange(2 * n) % classes
    X = ((means[y] + rng.normal(size=(2 * n, dim))) @ mix + rng.normal(size=dim)).astype(dtype)
    return Rows(X[:n], y[:n], rng.dirichlet(np.ones(classes), n), rng.uniform(0.2, 3, n), X[n:], y[n:])
