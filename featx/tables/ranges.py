"""Which features heads can use: numbers whose squares and products are numbers too."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.errors import TableError

LARGEST = 1e15
"""The largest feature that is used: sums of its squares are still far from the end of float32, 3e38."""
SMALLEST = 1e-15
"""If no feature is larger, squares of features vanish in float32."""


def check_range(features: NDArray[Any], subject_of: Callable[[int], str]) -> None:
    """Raise TableError that names the first image with a feature that is NaN, infinite, or too large to compute with.

    `subject_of` turns a row of the features (n, d) into the beginning of the message: `row 3 is`.
    """
    if not features.size or (float(features.min()) >= -LARGEST and float(features.max()) <= LARGEST):
        return
    usable = np.abs(features) <= min(LARGEST, float(np.finfo(features.dtype).max))
    row = int(np.flatnonzero(~usable.all(axis=1))[0])
    column = int(np.flatnonzero(~usable[row])[0])
    value = float(features[row, column])
    if np.isfinite(value):
        raise TableError(
            f"{subject_of(row)} too large to compute with: feature {column} is {value:.3g}, beyond {LARGEST:g}; check "
            "the backbone's mean and std, or leave the image out"
        )
    raise TableError(f"{subject_of(row)} NaN or infinite; check the cache with `featx cache verify`")


def check_not_tiny(features: NDArray[Any]) -> None:
    """Raise TableError if all features (n, d) are so near to 0 that their squares vanish; zeros alone are fine."""
    largest = float(max(features.max(), -features.min())) if features.size else 0.0
    if 0 < largest < SMALLEST:
        raise TableError(
            f"the largest feature is {largest:.3g}, so near to 0 that squares vanish; check the backbone's mean and std"
        )
