"""Selects the columns that say most about the classes, as a step of a pipeline."""

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.svm import LinearSVC
from sklearn.utils.validation import check_is_fitted, validate_data

from featx.errors import HeadError
from featx.estimators.convergence import converging
from featx.estimators.rows import FLOATS, centred_blocks
from featx.estimators.scaling import (
    column_moments,
    per_deviation,
    standardised,
)
from featx.estimators.targets import (
    Targets,
    check_weights,
    expand_shares,
    label_targets,
    share_targets,
)

By = Literal["anova", "mutual-info", "l1"]
QUANTILE_BINS = 10
COLUMNS_AT_ONCE = 256
"""Number of columns that are cut into bins at a time."""
L1_ITERATIONS = 5000
L1_STRENGTH = 30.0
"""C of the machine with L1 penalty, as a multiple of the largest C that leaves all coefficients 0."""


class ColumnSelector(SelectorMixin, BaseEstimator):  # type: ignore[misc]
    """Keeps the given share of the columns, those that score highest, and at least one; of equal scores the first.

    - "anova": the F ratio of the variance between classes to that within classes.
    - "mutual-info": the mutual information, in nats, of the classes and the column cut at its quantiles into 10 bins.
      This is quick; with few rows it overestimates, but equally for all columns.
    - "l1": the largest absolute coefficient over the classes of a linear machine with squared hinge loss and L1 penalty
      on standardised columns. Columns with coefficient 0 follow, ordered by F ratio. It takes float64 copies and, for
      many rows, minutes.

    Weights of rows count, and soft labels by `fit_soft`. Constant columns score 0.

    >>> import numpy as np
    >>> from featx.estimators import ColumnSelector
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(60) % 3
    >>> rows = rng.normal(size=(60, 4))
    >>> rows[:, 2] += 5 * labels
    >>> ColumnSelector("anova", share=0.25).fit(rows, labels).get_support(indices=True)
    array([2])
    """

    def __init__(self, by: By = "anova", share: float = 0.25) -> None:
        self.by = by
        self.share = share

    def fit(self, X: NDArray[Any], y: NDArray[Any], sample_weight: ArrayLike | None = None) -> Self:
        """The fitted selector, with the scores `scores_` (d,) of the columns of X (n, d) for labels y (n,).

        Raises HeadError for negative weights, fewer than two classes, an unknown score or a share outside (0, 1], and
        ConvergenceError if "l1" does not converge.
        """
        X, y = validate_data(self, X, y, dtype=FLOATS)
        return self._rate(X, label_targets(y, sample_weight, None))

    def fit_soft(self, X: NDArray[Any], shares: NDArray[Any], sample_weight: ArrayLike | None = None) -> Self:
        """The fitted selector, with the scores `scores_` (d,) of the columns of X (n, d) for shares (n, C) of classes.

        Shares of only 0 and 1 that do not sum to 1 in every row are several labels per image: a column then gets the
        highest of its scores for each class against the rest. Raises HeadError and ConvergenceError as `fit` does.
        """
        X = validate_data(self, X, dtype=FLOATS)
        if _is_indicator(shares):
            return self._rate(X, *_targets_of_classes(np.asarray(shares), sample_weight))
        return self._rate(X, share_targets(shares, sample_weight, None, rows=len(X)))

    def _rate(self, X: NDArray[Any], *targets: Targets) -> Self:
        if self.by not in COLUMN_SCORES:
            raise HeadError(f"there is no column score {self.by!r}; choose {', '.join(COLUMN_SCORES)}")
        if not 0 < self.share <= 1:
            raise HeadError(f"the share of columns to keep is {self.share}; give one above 0 and up to 1")
        self.scores_ = np.max([COLUMN_SCORES[self.by](X, one) for one in targets], axis=0)
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
    """The targets of each class that some rows have and others do not."""
    weighing = check_weights(sample_weight, len(indicator)) > 0
    varying = np.flatnonzero(np.ptp(indicator[weighing], axis=0))
    if not len(varying):
        raise HeadError("every class is a label of all rows or of none, so no column can predict it; give other rows")
    return [label_targets(indicator[:, place].astype(np.int64), sample_weight, None) for place in varying]


def anova(X: NDArray[Any], targets: Targets) -> NDArray[np.float64]:
    """The F ratio (d,) of each column: variance between classes over variance within; infinite if there is none within.

    Raises HeadError if no column varies within a class, as with one row per class.
    """
    mass = targets.mass[:, targets.seen]
    weights = targets.weights
    mean, variance = column_moments(X, weights)
    sizes = mass.sum(axis=0)
    total = weights.sum()
    sums = np.zeros((len(sizes), X.shape[1]))
    for rows, block in centred_blocks(X, mean, dtype=np.float64):
        sums += mass[rows].T @ block
    between = (np.square(sums) / sizes[:, np.newaxis]).sum(axis=0)
    within = total * variance - between
    within[within < total * variance * 1e-14] = 0
    if not within.any():
        raise HeadError("no column varies within any class, which ANOVA compares classes by; give classes more rows")
    ratio = np.zeros(X.shape[1])
    # weights may sum to less than the number of classes; the factor is the same for all columns then
    freedom = max(total - len(sizes), 1.0) / (len(sizes) - 1)
    with np.errstate(divide="ignore"):
        np.divide(between * freedom, within, out=ratio, where=variance > 0)
    return ratio


def mutual_information(X: NDArray[Any], targets: Targets) -> NDArray[np.float64]:
    """The mutual information (d,) in nats of the classes and each column, cut at its quantiles into bins."""
    starts = range(0, X.shape[1], COLUMNS_AT_ONCE)
    joints = (_joint_shares(np.ascontiguousarray(X[:, start : start + COLUMNS_AT_ONCE]), targets) for start in starts)
    return np.concatenate([_information(joint) for joint in joints])


def _information(joint: NDArray[np.float64]) -> NDArray[np.float64]:
    independent = joint.sum(axis=0, keepdims=True) * joint.sum(axis=1, keepdims=True)
    terms = joint * np.log(np.divide(joint, independent, out=np.ones_like(joint), where=joint > 0))
    information: NDArray[np.float64] = terms.sum(axis=(0, 1))
    return information.clip(0)


def _joint_shares(X: NDArray[Any], targets: Targets) -> NDArray[np.float64]:
    """The joint distribution (bins, C, d) of bins and classes for each column: shares of the total weight."""
    mass = (targets.mass / targets.mass.sum()).T
    levels = np.arange(1, QUANTILE_BINS) / QUANTILE_BINS
    edges = np.quantile(X, levels, axis=0, method="inverted_cdf", weights=_unequal(targets.weights))
    below = [np.zeros((len(mass), X.shape[1])), *(mass @ (edge >= X) for edge in edges)]
    below.append(np.repeat(mass.sum(axis=1, keepdims=True), X.shape[1], axis=1))
    joint = np.diff(np.stack(below), axis=0)
    # smaller shares are rounding errors of empty bins
    return np.where(joint > 1e-12, joint, 0)


def _unequal(weights: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The weights, or None if all are equal, because quantiles are faster without weights."""
    return None if (weights == weights[0]).all() else weights


def l1_size(X: NDArray[Any], targets: Targets) -> NDArray[np.float64]:
    """The largest absolute coefficient (d,) of each column over the classes, by a linear machine with L1 penalty.

    Columns with coefficient 0 get scores below 0, ordered by their F ratio.
    """
    mean, variance = column_moments(X, targets.weights)
    rows, labels, weights = expand_shares(standardised(X, mean=mean, factor=per_deviation(variance)), targets.mass)
    sides = 2 * weights[:, np.newaxis] * (labels[:, np.newaxis] == np.arange(labels.max() + 1))
    strongest = float(np.abs(sides.T @ rows).max())
    if not strongest:
        raise HeadError("no column varies, so none says anything about the classes; check the features")
    least = 0.5 / strongest
    machine = LinearSVC(C=L1_STRENGTH * least, penalty="l1", dual=False, max_iter=L1_ITERATIONS, random_state=0)
    with converging("selection by L1", iterations=L1_ITERATIONS, step="select by anova or mutual-info"):
        machine.fit(rows, labels, weights)
    size = np.abs(machine.coef_).max(axis=0)
    order = np.argsort(np.argsort(anova(X, targets)))
    return np.where(size > 0, size, (order - len(order)) / len(order))


COLUMN_SCORES = {"anova": anova, "mutual-info": mutual_information, "l1": l1_size}
