"""The verdict on two domains, from classifiers of domains and from predicted classes."""

from dataclasses import dataclass

import numpy as np

from featx.transfer.gaps.class_shift import ClassShift, estimate_shares, predictions
from featx.transfer.gaps.gap import GapVerdict
from featx.transfer.gaps.permuting import compare_predictions
from featx.transfer.gaps.rows import GapRows, Indices
from featx.transfer.gaps.separation import Separation, separate

THRESHOLD = 0.75
"""Adapting is advised if the areas under both curves are above this, beyond their intervals."""
CHANCE = 0.5
"""The area under the curve of a classifier that cannot tell domains apart."""
LEVEL = 0.01
"""Shares of predicted classes differ if p is below this."""


@dataclass(frozen=True)
class Judgement:
    """What the verdict follows from."""

    verdict: GapVerdict
    plain: Separation | None
    weighted: Separation | None
    shift: ClassShift | None
    class_p: float | None


def judge_rows(rows: GapRows, *, seed: int) -> Judgement:
    """The verdict on these rows, with what it follows from."""
    if rows.fold_count() < 2 or not rows.directions.shape[1]:
        return Judgement("undecided" if rows.directions.shape[1] else "same", None, None, None, None)
    folds = rows.folds(seed=seed)
    every = np.arange(len(folds))
    plain = separate(rows, folds, chosen=every, weights=np.ones(len(folds)))
    shift = estimate_shares(rows, folds)
    if shift is None:
        return Judgement(decide_alone(plain), plain, None, None, None)
    weighted = _separate_weighted(rows, folds, shift)
    class_p = _compare_classes(rows, shift, seed=seed)
    return Judgement(decide(plain, weighted, class_p), plain, weighted, shift, class_p)


def decide(plain: Separation, weighted: Separation, class_p: float) -> GapVerdict:
    """The verdict, from the plain and the weighted area and from the p-value of equal predicted classes."""
    lows, highs = zip(plain.ci, weighted.ci, strict=True)
    if min(lows) > THRESHOLD:
        return "domain shift"
    if min(highs) > THRESHOLD:
        return "undecided"
    explained = lows[0] > CHANCE >= lows[1]
    return "label shift" if explained or class_p < LEVEL else "same"


def decide_alone(plain: Separation) -> GapVerdict:
    """The verdict without labels of the source: what separates the domains may then be label shift."""
    return "undecided" if plain.ci[1] > THRESHOLD else "same"


def _separate_weighted(rows: GapRows, folds: Indices, shift: ClassShift) -> Separation:
    count = len(rows.source)
    chosen = np.concatenate([shift.labelled, np.arange(count, count + len(rows.target))])
    weights = np.concatenate([shift.weights, np.ones(len(rows.target))])
    return separate(rows, folds[chosen], chosen=chosen, weights=weights)


def _compare_classes(rows: GapRows, shift: ClassShift, *, seed: int) -> float:
    count = len(rows.source)
    chosen = np.concatenate([shift.labelled, np.arange(count, count + len(rows.target))])
    predicted = predictions(np.concatenate([shift.source_probabilities, shift.target_probabilities]))
    return compare_predictions(predicted, rows.units[chosen], rows.of_source[chosen], seed=seed)
