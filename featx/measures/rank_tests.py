"""Ranks of several methods on several data sets: whether they differ, and which cannot be told apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from featx.measures.per_image import Floats

SIGNIFICANT = 0.05
DIGITS = 12
"""Digits after the point in which values must agree to be equal and share their ranks."""


@dataclass(frozen=True)
class MeanRanks:
    """The mean ranks of k methods over n data sets.

    >>> import numpy as np
    >>> from featx.measures import compare_ranks
    >>> compare_ranks(np.array([[0.9, 0.8], [0.7, 0.6], [0.8, 0.5]])).means.tolist()
    [1.0, 2.0]
    """

    means: Floats
    """(k,): mean rank of each method, 1 for the best."""
    p: float | None
    """p-value of Friedman's test that all methods are equal; None for fewer than two data sets or methods."""
    distance: float | None
    """Nemenyi's critical difference at 5 %; None for fewer than two data sets or methods."""
    groups: tuple[tuple[int, ...], ...]
    """Methods whose mean ranks are within the critical difference, best first: each group that is in no larger one."""


def compare_ranks(values: Floats) -> MeanRanks:
    """The mean ranks of k methods on n data sets, from their values (n, k), of which larger ones are better.

    Methods are compared by Friedman's test, with Iman and Davenport's F, and Nemenyi's critical difference
    q sqrt(k (k + 1) / (6 n)), where q is the upper 5 % point of the studentised range of k means, divided by the root
    of 2 (Demsar 2006, Statistical comparisons of classifiers over multiple data sets, section 3.2). Equal values share
    their ranks.

    >>> import numpy as np
    >>> from featx.measures import compare_ranks
    >>> rng = np.random.default_rng(0)
    >>> found = compare_ranks(rng.normal(size=(10, 3)) + [3, 0, 0])
    >>> found.groups, round(found.distance, 2)
    (((0,), (2, 1)), 1.05)
    """
    sets, methods = values.shape
    ranks = rank_rows(values)
    means = ranks.mean(axis=0)
    if min(sets, methods) < 2:
        return MeanRanks(means, None, None, (tuple(np.argsort(means, kind="stable").tolist()),))
    distance = nemenyi_distance(methods, sets)
    return MeanRanks(means, _friedman(ranks), distance, _group(means, distance))


def rank_rows(values: Floats) -> Floats:
    """(n, k): the rank of each value in its row, 1 for the largest; equal values share the mean of their ranks.

    >>> import numpy as np
    >>> from featx.measures import rank_rows
    >>> rank_rows(np.array([[0.5, 0.9, 0.5]])).tolist()
    [[2.5, 1.0, 2.5]]
    """
    return np.asarray(stats.rankdata(-np.round(values, DIGITS), axis=1), np.float64)


def nemenyi_distance(methods: int, sets: int) -> float:
    """Nemenyi's critical difference at 5 % between mean ranks of `methods` methods on `sets` data sets.

    >>> from featx.measures import nemenyi_distance
    >>> round(nemenyi_distance(4, 14), 2)  # Demsar 2006, section 3.2.4: q = 2.569
    1.25
    """
    quantile = float(stats.studentized_range.ppf(1 - SIGNIFICANT, methods, np.inf)) / np.sqrt(2)
    return float(quantile * np.sqrt(methods * (methods + 1) / (6 * sets)))


def _friedman(ranks: Floats) -> float:
    """The p-value by Iman and Davenport's F (1980), with the correction for ties (Conover 1999, section 5.8)."""
    sets, methods = ranks.shape
    squares = float(np.square(ranks).sum())
    constant = sets * methods * (methods + 1) ** 2 / 4
    between = float(np.square(ranks.sum(axis=0)).sum()) / sets - constant
    within = squares - constant - between
    if squares - constant <= 1e-9:
        return 1.0  # all methods are equal everywhere
    if within <= 1e-9:
        return float(1 / np.prod(np.arange(2.0, methods + 1)) ** (sets - 1))
    ratio = (sets - 1) * between / within
    return float(stats.f.sf(ratio, methods - 1, (methods - 1) * (sets - 1)))


def _group(means: Floats, distance: float) -> tuple[tuple[int, ...], ...]:
    order = np.argsort(means, kind="stable")
    sorted_means = means[order]
    ends = [int(np.searchsorted(sorted_means, mean + distance, side="right")) for mean in sorted_means]
    spans = [(start, end) for start, end in enumerate(ends) if start == 0 or end > ends[start - 1]]
    return tuple(tuple(order[start:end].tolist()) for start, end in spans)


def letters_of(groups: Sequence[Sequence[int]], count: int) -> list[str]:
    """For each of `count` methods the letters of the groups that it is in: methods that share one are not told apart.

    >>> from featx.measures import letters_of
    >>> letters_of([(2, 0), (0, 1)], 3)
    ['ab', 'b', 'a']
    """
    return ["".join(_letter(place) for place, group in enumerate(groups) if method in group) for method in range(count)]


def _letter(place: int) -> str:
    return "abcdefghijklmnopqrstuvwxyz"[place % 26] + str(place // 26 or "")
