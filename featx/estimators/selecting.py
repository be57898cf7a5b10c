"""The columns that tell most of the classes, chosen inside a pipeline, so that held-out rows have no say in it."""

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.svm import LinearSVC
from sklearn.utils.validation import check_is_fitted, validate_data

from featx.errors import HeadError
from featx.estimators.classifier import expanded
from featx.estimators.converging import converging
from featx.estimators.rows import centred_blocks
from featx.estimators.scaling import (
    FLOATS,
    column_moments,
    per_deviation,
    standardised,
)
from featx.estimators.targets import (
    Targets,
    check_weights,
    label_targets,
    share_targets,
)

By = Literal["anova", "mutual-info", "l1"]
BINS = 10
COLUMNS = 256
"""Columns that are cut into bins at a time."""
ITERATIONS = 5000
L1_STRENGTH = 30.0
"""C of the L1-penalised machine, in units of the largest that leaves all coefficients 0."""


class ColumnSelector(SelectorMixin, BaseEstimator):  # type: ignore[misc]
    """The share of the columns that score highest, at least one; of equal scores the first columns.

    "anova" scores by the F ratio of the variance between classes to that within; "mutual-info" by the mutual
    information, in nats, of the classes and the column cut at its quantiles into 10 bins, which is quick and, for all
    columns alike, too high where rows are few; "l1" by the largest size of a coefficient of a linear machine with
    squared hinge and L1 penalty on standardised columns, those that it leaves at 0 by F: it takes float64 copies and,
    on many rows, minutes. Weights count, and soft labels by `fit_soft`. Constant columns score 0.
    """

    def __init__(self, by: By = "anova", share: float = 0.25) -> None:
        self.by = by
        self.share = share

    def fit(self, X: NDArray[Any], y: NDArray[Any], sample_weight: ArrayLike | None = None) -> Self:
        """Itself, with scores_ (d,) of the columns of X (n, d) for labels y (n,).

        Raises HeadError for weights or classes that make no problem, an unknown score or a share outside (0, 1], and
        ConvergenceError where "l1" does not converge.
        """
        X, y = validate_data(self, X, y, dtype=FLOATS)
        return self._rate(X, label_targets(y, sample_weight, None))

    def fit_soft(self, X: NDArray[Any], shares: NDArray[Any], sample_weight: ArrayLike | None = None) -> Self:
        """Itself, with scores_ (d,) of the columns of X (n, d) for shares (n, C) of classes. Raises as fit does.

        Zeros and ones that do not sum to 1 in each row are several labels an image: a column then has the highest of
        its scores for each class against the rest.
        """
        X = validate_data(self, X, dtype=FLOATS)
        if _is_indicator(shares):
            return self._rate(X, *_targets_of_classes(np.asarray(shares), sample_weight))
        return self._rate(X, share_targets(shares, sample_weight, None, rows=len(X)))

    def _rate(self, X: NDArray[Any], *targets: Targets) -> Self:
        if self.by not in SCORES:
            raise HeadError(f"no score of columns is called {self.by!r}; choose {', '.join(SCORES)}")
        if not 0 < self.share <= 1:
            raise HeadError(f"a share {self.share} of the columns was asked for; give one above 0 and up to 1")
        self.scores_ = np.max([SCORES[self.by](X, one) for one in targets], axis=0)
        return self

    def _get_support_mask(self) -> NDArray[np.bool_]:
        check_is_fitted(self)
        mask = np.zeros(len(self.scores_), bool)
        mask[np.argsort(-self.scores_, kind="stable")[: max(1, round(self.share * len(mask)))]] = True
        return mask

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


def _is_indicator(shares: NDArray[Any]) -> bool:
    given = np.asarray(shares)
    return given.ndim == 2 and bool(np.isin(given, (0, 1)).all() and (given.sum(axis=1) != 1).any())


def _targets_of_classes(indicator: NDArray[Any], sample_weight: ArrayLike | None) -> list[Targets]:
    """Targets of each class that some rows have and some have not."""
    weighing = check_weights(sample_weight, len(indicator)) > 0
    told = np.flatnonzero(np.ptp(indicator[weighing], axis=0))
    if not len(told):
        raise HeadError("every class is one of all rows, or of none, so no column can tell; give other rows")
    return [label_targets(indicator[:, one].astype(np.int64), sample_weight, None) for one in told]


def anova(X: NDArray[Any], targets: Targets) -> NDArray[np.float64]:
    """The F ratio (d,) of each column: variance between classes over that within; infinite where none is within.

    Raises HeadError where no column varies within a class, as with one row a class.
    """
    mass, weights = targets.mass[:, targets.seen], targets.weights
    mean, variance = column_moments(X, weights)
    sizes, total = mass.sum(axis=0), weights.sum()
    sums = np.zeros((len(sizes), X.shape[1]))
    for rows, block in centred_blocks(X, mean, dtype=np.float64):
        sums += mass[rows].T @ block
    between = (np.square(sums) / sizes[:, np.newaxis]).sum(axis=0)
    within = total * variance - between
    within[within < total * variance * 1e-14] = 0
    if not within.any():
        raise HeadError("no column varies within any class, which ANOVA compares classes by; give classes more rows")
    ratio = np.zeros(X.shape[1])
    # weights may sum to less than the classes; as a factor of all columns it does not matter then
    freedom = max(total - len(sizes), 1.0) / (len(sizes) - 1)
    with np.errstate(divide="ignore"):
        np.divide(between * freedom, within, out=ratio, where=variance > 0)
    return ratio


def mutual_information(X: NDArray[Any], targets: Targets) -> NDArray[np.float64]:
    """The mutual information (d,) in nats of the classes and each column, cut at its quantiles into bins."""
    starts = range(0, X.shape[1], COLUMNS)
    joints = (_joint_shares(np.ascontiguousarray(X[:, start : start + COLUMNS]), targets) for start in starts)
    return np.concatenate([_information(joint) for joint in joints])


def _information(joint: NDArray[np.float64]) -> NDArray[np.float64]:
    alone = joint.sum(axis=0, keepdims=True) * joint.sum(axis=1, keepdims=True)
    terms = joint * np.log(np.divide(joint, alone, out=np.ones_like(joint), where=joint > 0))
    information: NDArray[np.float64] = terms.sum(axis=(0, 1))
    return information.clip(0)


def _joint_shares(X: NDArray[Any], targets: Targets) -> NDArray[np.float64]:
    """(bins, C, d): which share of the weight is in each bin of a column and in each class."""
    mass = (targets.mass / targets.mass.sum()).T
    levels = np.arange(1, BINS) / BINS
    edges = np.quantile(X, levels, axis=0, method="inverted_cdf", weights=_unequal(targets.weights))
    below = [np.zeros((len(mass), X.shape[1])), *(mass @ (edge >= X) for edge in edges)]
    below.append(np.repeat(mass.sum(axis=1, keepdims=True), X.shape[1], axis=1))
    # what rounding of sums leaves in an empty bin is none
    joint = np.diff(np.stack(below), axis=0)
    return np.where(joint > 1e-12, joint, 0)


def _unequal(weights: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The weights, or None where all are equal: quantiles are quicker without."""
    return None if (weights == weights[0]).all() else weights


def l1_size(X: NDArray[Any], targets: Targets) -> NDArray[np.float64]:
    """The largest size (d,) over classes of a column's coefficient under an L1 penalty; where 0, below 0 by F."""
    mean, variance = column_moments(X, targets.weights)
    rows, labels, weights = expanded(standardised(X, mean=mean, factor=per_deviation(variance)), targets)
    sides = 2 * weights[:, np.newaxis] * (labels[:, np.newaxis] == np.arange(labels.max() + 1))
    least = 0.5 / np.abs(sides.T @ rows).max()
    machine = LinearSVC(C=L1_STRENGTH * least, penalty="l1", dual=False, max_iter=ITERATIONS, random_state=0)
    with converging("selection by L1", iterations=ITERATIONS, step="select by anova or mutual-info"):
        machine.fit(rows, labels, weights)
    size = np.abs(machine.coef_).max(axis=0)
    order = np.argsort(np.argsort(anova(X, targets)))
    return np.where(size > 0, size, (order - len(order)) / len(order))


SCORES = {"anova": anova, "mutual-info": mutual_information, "l1": l1_size}
