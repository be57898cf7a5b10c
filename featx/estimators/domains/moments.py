"""Moments of a domain; covariances are shrunk so that they can be inverted even with fewer rows than columns."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.errors import HeadError
from featx.estimators.rows import GRAM_BYTES, centred_blocks
from featx.estimators.scaling import FAR, column_moments


@dataclass(frozen=True)
class Moments:
    """How many rows a domain has, and the mean and variance (d,) of its columns, in float64."""

    rows: int
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]


@dataclass(frozen=True)
class Covariance:
    """A covariance (d, d) by its eigenvalues (d,), all above 0, and its eigenvectors (d, d), one a column."""

    variances: NDArray[np.float64]
    axes: NDArray[np.float64]

    def power(self, exponent: float) -> NDArray[np.float64]:
        """The symmetric power (d, d) of the covariance."""
        return spectral(self.variances**exponent, self.axes)


def measure_moments(rows: NDArray[Any], *, name: str, weights: NDArray[np.float64] | None = None) -> Moments:
    """The moments of rows (n, d) with weights (n,). Raises HeadError if a number is NaN or infinite."""
    with np.errstate(all="ignore"):
        mean, variance = column_moments(rows, weights)
    wrong = ~np.isfinite(mean + variance)
    if wrong.any():
        raise HeadError(
            f"column {int(wrong.argmax())} of the {name} is NaN, infinite or too large; leave such rows out"
        )
    return Moments(len(rows), mean, variance)


def spectral(values: NDArray[np.float64], axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The symmetric matrix (d, d) with these eigenvalues (d,) and eigenvectors (d, d)."""
    matrix: NDArray[np.float64] = (axes * values) @ axes.T
    return matrix


def measure_covariance(rows: NDArray[Any], moments: Moments, *, factor: NDArray[np.float64], name: str) -> Covariance:
    """The covariance of (rows - their mean) * factor, drawn to a multiple of the identity, of rows (n, d).

    The shrinkage is that of Ledoit & Wolf (2004), as in scikit-learn's `ledoit_wolf`. Products of rows are in float32
    unless the rows have more digits or tiny columns. Raises HeadError if all rows are equal, so that nothing can be
    said of how they vary.
    """
    if not moments.variance.any():
        raise HeadError(f"the {name} has no covariance: all its rows are equal (n_samples={len(rows)}); give more rows")
    kind = np.float32 if rows.dtype.itemsize <= 4 and rows.dtype.kind == "f" and factor.max() < FAR else np.float64
    scale = factor.astype(kind)
    gram = np.zeros((rows.shape[1], rows.shape[1]))
    fourth = 0.0
    for _, block in centred_blocks(rows, moments.mean.astype(kind), dtype=kind, size=GRAM_BYTES):
        np.multiply(block, scale, out=block)
        gram += block.T @ block
        fourth += float(np.square(np.einsum("ij,ij->i", block, block), dtype=np.float64).sum())
    gram /= len(rows)
    return Covariance(*np.linalg.eigh(_shrunk(gram, fourth / len(rows), rows=len(rows))))


def _shrunk(covariance: NDArray[np.float64], fourth: float, *, rows: int) -> NDArray[np.float64]:
    """The covariance (d, d) of n rows, drawn to its mean variance; `fourth` is the mean fourth power of their norms."""
    columns = len(covariance)
    variance = float(covariance.diagonal().mean())
    squares = float(np.square(covariance).sum())
    spread = squares / columns - variance**2
    error = (fourth - squares) / (columns * rows)
    # some is always shrunk, so that columns that do not vary leave it invertible
    least = columns * float(np.finfo(np.float32).eps)
    part = float(np.clip(error / spread, least, 1)) if spread > 0 else 1.0
    shrunk: NDArray[np.float64] = (1 - part) * covariance
    shrunk[np.diag_indices(columns)] += part * variance
    return shrunk
