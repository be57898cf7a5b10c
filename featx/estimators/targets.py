"""What rows should be, as linear classifiers learn it: labels or shares in; a weight for every row and class out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from featx.errors import HeadError

ClassWeight: TypeAlias = Literal["balanced"] | Mapping[Any, float] | None

SHARES_SUM = 1e-5
"""How far from 1 the shares of a row may sum, as those of float32 do."""


@dataclass(frozen=True)
class Targets:
    """What rows should be; a row of shares counts as so many rows, one a class, each with its part of the weight."""

    classes: NDArray[Any]
    """(C,)"""
    mass: NDArray[np.float64]
    """(n, C): weight of the row x weight of the class x share of the class in the row."""

    @property
    def weights(self) -> NDArray[np.float64]:
        """(n,): what each row weighs."""
        total: NDArray[np.float64] = self.mass.sum(axis=1)
        return total

    @property
    def seen(self) -> NDArray[np.bool_]:
        """(C,): the classes that weigh anything."""
        return np.asarray(self.mass.any(axis=0))


def label_targets(y: NDArray[Any], sample_weight: ArrayLike | None, class_weight: ClassWeight) -> Targets:
    """Targets of labels (n,); the classes are those of the rows that weigh anything.

    Raises HeadError where fewer than two classes do, and for weights that are negative or all zero.
    """
    check_classification_targets(y)
    weights = check_weights(sample_weight, len(y))
    rows = np.flatnonzero(weights)
    classes, columns = np.unique(y[rows], return_inverse=True)
    mass = np.zeros((len(y), len(classes)))
    mass[rows, columns] = weights[rows]
    return _weigh(classes, mass, class_weight)


def share_targets(
    shares: ArrayLike, sample_weight: ArrayLike | None, class_weight: ClassWeight, *, rows: int
) -> Targets:
    """Targets of shares (n, C), whose classes are 0 .. C - 1.

    Raises HeadError where shares are no shares, where fewer than two classes weigh anything, and for weights that are
    negative or all zero.
    """
    shares = check_shares(shares, rows)
    mass = shares * check_weights(sample_weight, rows)[:, None]
    return _weigh(np.arange(shares.shape[1]), mass, class_weight)


def check_shares(shares: ArrayLike, rows: int) -> NDArray[np.float64]:
    """The shares (n, C) as float64. Raises HeadError unless those of each row are at least 0 and sum to 1."""
    checked: NDArray[np.float64] = check_array(shares, dtype=np.float64, input_name="shares")
    if len(checked) != rows:
        raise HeadError(f"there are shares for {len(checked)} rows but features of {rows}; give each row its shares")
    wrong = (checked < 0).any(axis=1) | (np.abs(checked.sum(axis=1) - 1) > SHARES_SUM)
    if wrong.any():
        row = int(wrong.argmax())
        raise HeadError(f"the shares of row {row} are {checked[row]}; they must be at least 0 and sum to 1")
    return checked


def check_weights(sample_weight: ArrayLike | None, rows: int) -> NDArray[np.float64]:
    """The weights (n,) as float64, ones where none are given. Raises HeadError where one is negative or all are 0."""
    if sample_weight is None:
        return np.ones(rows)
    given = np.full(rows, sample_weight) if np.isscalar(sample_weight) else sample_weight
    weights: NDArray[np.float64] = check_array(given, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    if weights.shape != (rows,):
        raise HeadError(f"sample_weight has shape {weights.shape} but there are {rows} rows; give each row one weight")
    if (weights < 0).any():
        raise HeadError(f"the weight of row {int((weights < 0).argmax())} is negative; weights start at 0")
    if not weights.any():
        raise HeadError("all sample weights are zero; give some row a weight")
    return weights


def _weigh(classes: NDArray[Any], mass: NDArray[np.float64], class_weight: ClassWeight) -> Targets:
    seen = mass.sum(axis=0)
    count = int(np.count_nonzero(seen))
    if count < 2:
        raise HeadError(f"only {count} class has rows that weigh anything; a classifier needs two classes or more")
    if class_weight == "balanced":
        factors = np.divide(seen.sum() / count, seen, out=np.zeros_like(seen), where=seen > 0)
    else:
        factors = compute_class_weight(class_weight, classes=classes, y=classes)
    targets = Targets(classes, mass * factors)
    if np.count_nonzero(targets.seen) < 2:
        raise HeadError("class_weight leaves fewer than two classes any weight; give two classes or more one")
    return targets
