"""What a classifier learns: labels or soft labels, as one array with the weight of each class in each row."""

import warnings
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
"""How far from 1 the shares of a row may sum, to allow for shares in float32."""


@dataclass(frozen=True)
class Targets:
    """The classes to learn and how much each row weighs for each of them.

    A row of soft labels counts as several rows, one per class, each with its part of the weight.
    """

    classes: NDArray[Any]
    """(C,)"""
    mass: NDArray[np.float64]
    """(n, C): weight of the row x weight of the class x share of the class in the row."""

    @property
    def weights(self) -> NDArray[np.float64]:
        """(n,): the weight of each row over all classes."""
        total: NDArray[np.float64] = self.mass.sum(axis=1)
        return total

    @property
    def seen(self) -> NDArray[np.bool_]:
        """(C,): whether any row has weight for the class."""
        return np.asarray(self.mass.any(axis=0))


def label_targets(y: NDArray[Any], sample_weight: ArrayLike | None, class_weight: ClassWeight) -> Targets:
    """The targets of labels (n,), without classes that only rows of weight 0 have.

    Raises HeadError for fewer than two classes with weight, and for weights that are negative or all zero.
    """
    with warnings.catch_warnings():  # few images of each of many classes are no regression
        warnings.filterwarnings("ignore", "The number of unique classes")
        check_classification_targets(y)
    weights = check_weights(sample_weight, len(y))
    rows = np.flatnonzero(weights)
    classes, columns = np.unique(y[rows], return_inverse=True)
    mass = np.zeros((len(y), len(classes)))
    mass[rows, columns] = weights[rows]
    return _weigh_classes(classes, mass, class_weight)


def share_targets(
    shares: ArrayLike, sample_weight: ArrayLike | None, class_weight: ClassWeight, *, rows: int
) -> Targets:
    """The targets of shares (n, C), whose classes are 0 .. C - 1.

    Raises HeadError for shares that are negative or do not sum to 1, for fewer than two classes with weight, and for
    weights that are negative or all zero.
    """
    shares = check_shares(shares, rows)
    mass = shares * check_weights(sample_weight, rows)[:, None]
    return _weigh_classes(np.arange(shares.shape[1]), mass, class_weight)


def check_shares(shares: ArrayLike, rows: int) -> NDArray[np.float64]:
    """The shares (n, C) as float64. Raises HeadError unless they are at least 0 and sum to 1 in each row."""
    checked: NDArray[np.float64] = check_array(shares, dtype=np.float64, input_name="shares")
    if len(checked) != rows:
        raise HeadError(f"there are shares for {len(checked)} rows but features of {rows}; give each row its shares")
    wrong = (checked < 0).any(axis=1) | (np.abs(checked.sum(axis=1) - 1) > SHARES_SUM)
    if wrong.any():
        row = int(wrong.argmax())
        raise HeadError(f"the shares of row {row} are {checked[row]}; they must be at least 0 and sum to 1")
    return checked


def check_weights(sample_weight: ArrayLike | None, rows: int) -> NDArray[np.float64]:
    """The weights (n,) as float64; ones if there are none. Raises HeadError if one is negative or all are 0."""
    if sample_weight is None:
        return np.ones(rows)
    given = np.full(rows, sample_weight) if np.isscalar(sample_weight) else sample_weight
    weights: NDArray[np.float64] = check_array(given, ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    if weights.shape != (rows,):
        raise HeadError(f"sample_weight has shape {weights.shape} but there are {rows} rows; give each row one weight")
    if (weights < 0).any():
        raise HeadError(f"the weight of row {int((weights < 0).argmax())} is negative; weights must be 0 or more")
    if not weights.any():
        raise HeadError("all sample weights are zero; give some row a weight above 0")
    return weights


def expand_shares(
    X: NDArray[Any], shares: NDArray[np.float64], sample_weight: ArrayLike | None = None
) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.float64]]:
    """Rows with one label each, equivalent to rows (n, D) with shares (n, C): X, labels and weights.

    Every row appears once for each class that it has a share of, and weighs its own weight times that share. X is not
    copied if each row has one class.
    """
    weights = np.ones(len(shares)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    rows, labels = np.nonzero(shares)
    single = len(rows) == len(shares)
    return X if single else X[rows], labels, weights[rows] * shares[rows, labels]


def balancing_factors(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """The factors (C,) that give classes of these total weights (C,) equal totals and keep the sum; 0 for an empty one.

    This is scikit-learn's class_weight="balanced" for weighted rows.
    """
    mean = totals.sum() / np.count_nonzero(totals)
    factors: NDArray[np.float64] = np.divide(mean, totals, out=np.zeros_like(totals), where=totals > 0)
    return factors


def _weigh_classes(classes: NDArray[Any], mass: NDArray[np.float64], class_weight: ClassWeight) -> Targets:
    totals = mass.sum(axis=0)
    count = int(np.count_nonzero(totals))
    if count < 2:
        raise HeadError(f"only {count} class has rows with a weight above 0; a classifier needs at least two classes")
    if class_weight == "balanced":
        factors = balancing_factors(totals)
    else:
        factors = compute_class_weight(class_weight, classes=classes, y=classes)
    targets = Targets(classes, mass * factors)
    if np.count_nonzero(targets.seen) < 2:
        raise HeadError(
            "class_weight leaves fewer than two classes with a weight; give at least two classes a weight above 0"
        )
    return targets
