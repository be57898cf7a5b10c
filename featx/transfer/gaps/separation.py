"""How well the rows of two domains can be told apart: the cross-fitted area under the ROC curve, with its error."""

from dataclasses import dataclass

import numpy as np

from featx.estimators import SoftmaxRegression
from featx.measures import Interval
from featx.transfer.gaps.rows import Floats, GapRows, Indices

ERRORS = 2
"""Half the width of an interval, in standard errors."""
CROSS_FITTED = 2.0
"""How many times the variance of an area is that of one whose classifier is given.

Where domains do not differ, the area measures whether folds deviate alike by chance, and each pair of folds counts
twice: once with either as the tested one. Where they differ much, the intervals are wider than they need be.
"""
HALVINGS = 40
L2 = 100.0
"""Penalty of the classifier of domains, for coordinates whose mean square is 1."""


@dataclass(frozen=True)
class Separation:
    """The area under the ROC curve of a classifier of domains, which did not see the rows that it ranks."""

    auroc: float
    sizes: tuple[float, float]
    """Effective numbers of units of the source and of the target."""

    @property
    def ci(self) -> Interval:
        """The 95 % interval: the areas from which this one is at most two of their standard errors away.

        That is the score interval with the error of Hanley & McNeil (Newcombe 2006), widened for cross-fitting.
        If a few images are told apart without a mistake, the standard error at the measured area is 0, but this
        interval still has a length.
        """
        return self._end(0.0), self._end(1.0)

    def _end(self, outer: float) -> float:
        """The area between this one and `outer` that is two of its standard errors away; or `outer`."""
        errors = ERRORS * float(np.sqrt(CROSS_FITTED))
        inner = self.auroc
        for _ in range(HALVINGS):
            middle = (inner + outer) / 2
            if abs(middle - self.auroc) <= errors * hanley_mcneil(middle, *self.sizes):
                inner = middle
            else:
                outer = middle
        return outer


def separate(rows: GapRows, folds: Indices, *, chosen: Indices, weights: Floats) -> Separation:
    """How well a logistic regression tells apart these rows (k,) of both domains, of which it learns all folds but one.

    `folds` (k,) and `weights` (k,) are of the chosen rows. Either domain weighs the same. The area is the mean over
    folds, so that scores of different folds are never compared.
    """
    features, in_target = rows.directions[chosen], ~rows.of_source[chosen]
    balanced = weights / np.where(in_target, weights[in_target].sum(), weights[~in_target].sum()) * len(chosen) / 2
    areas, pairs = [], []
    for fold in np.unique(folds):
        tested = folds == fold
        fitted = SoftmaxRegression(L2).fit(features[~tested], in_target[~tested], sample_weight=balanced[~tested])
        scores = fitted.decision_function(features[tested])
        own, target = weights[tested], in_target[tested]
        areas.append(area(scores[target], scores[~target], own[target], own[~target]))
        pairs.append(own[target].sum() * own[~target].sum())
    auroc = float(np.average(areas, weights=pairs))
    sizes = [unit_size(rows.units[chosen][mask], weights[mask]) for mask in (in_target, ~in_target)]
    return Separation(auroc, (sizes[1], sizes[0]))


def area(above: Floats, below: Floats, above_weights: Floats, below_weights: Floats) -> float:
    """The share of pairs in which the first score is above the second, with ties as halves, by products of weights."""
    order = np.argsort(below, kind="stable")
    heaped = np.concatenate([[0.0], np.cumsum(below_weights[order])])
    less = heaped[np.searchsorted(below[order], above, side="left")]
    not_more = heaped[np.searchsorted(below[order], above, side="right")]
    return float(above_weights @ (less + not_more) / (2 * above_weights.sum() * below_weights.sum()))


def unit_size(units: Indices, weights: Floats) -> float:
    """Kish's effective number of units, each with the sum of the weights of its rows."""
    totals = np.bincount(np.unique(units, return_inverse=True)[1], weights)
    return float(totals.sum() ** 2 / (totals @ totals))


def hanley_mcneil(auroc: float, first: float, second: float) -> float:
    """The standard error of an area for these numbers of rows of either kind (Hanley & McNeil 1982, equation 1)."""
    one = auroc / (2 - auroc)
    two = 2 * auroc**2 / (1 + auroc)
    variance = auroc * (1 - auroc) + (first - 1) * (one - auroc**2) + (second - 1) * (two - auroc**2)
    return float(np.sqrt(max(variance, 0) / (first * second)))
