"""How well scores that are known before training predict the accuracies that are known after it."""

import numpy as np
from scipy import stats

from featx.measures.metrics import Interval
from featx.measures.per_image import Floats
from featx.measures.rank_tests import DIGITS

APART = 0.02
"""Accuracies that differ by so much are ordered by a score or not; smaller differences may be chance."""


def weighted_tau(scores: Floats, truths: Floats) -> float | None:
    """Kendall's tau, in which pairs count more if they are near the top: -1 to 1; None if either is constant.

    A pair at the ranks r and s, from 0 for the largest, has the weight 1/(r + 1) + 1/(s + 1). It is the mean of two
    values: with the ranks by score and with those by truth, ties broken by the other (Vigna 2015, A weighted
    correlation index for rankings with ties; the default of scipy.stats.weightedtau).

    >>> import numpy as np
    >>> from featx.measures import weighted_tau
    >>> round(weighted_tau(np.array([3.0, 2.0, 1.0]), np.array([0.9, 0.7, 0.8])), 3)
    0.545
    """
    if _constant(scores) or _constant(truths):
        return None
    return float(stats.weightedtau(np.round(scores, DIGITS), np.round(truths, DIGITS)).statistic)


def pearson(scores: Floats, truths: Floats) -> float | None:
    """The correlation coefficient; None if either is constant, or for fewer than two.

    >>> import numpy as np
    >>> from featx.measures import pearson
    >>> pearson(np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.6, 0.7]))
    1.0
    """
    if _constant(scores) or _constant(truths):
        return None
    return round(float(np.corrcoef(scores, truths)[0, 1]), DIGITS)


def regret_of_first(scores: Floats, truths: Floats) -> float:
    """How much less the first by score reaches than the best; equal first scores count by the mean of their truths.

    >>> import numpy as np
    >>> from featx.measures import regret_of_first
    >>> round(regret_of_first(np.array([3.0, 2.0, 1.0]), np.array([0.8, 0.9, 0.7])), 3)
    0.1
    """
    first = np.round(scores, DIGITS) == np.round(scores, DIGITS).max()
    return float(truths.max() - truths[first].mean())


def pairs_in_order(scores: Floats, truths: Floats, *, apart: float = APART) -> float | None:
    """The share of pairs whose truths differ by `apart` or more that the scores order right; equal scores count half.

    None if there are no such pairs.

    >>> import numpy as np
    >>> from featx.measures import pairs_in_order
    >>> pairs_in_order(np.array([3.0, 2.0, 1.0]), np.array([0.9, 0.7, 0.8]))
    0.6666666666666666
    """
    one, other = np.triu_indices(len(scores), 1)
    truth = truths[one] - truths[other]
    score = np.round(scores, DIGITS)[one] - np.round(scores, DIGITS)[other]
    counted = np.abs(truth) >= apart - 10.0**-DIGITS
    if not counted.any():
        return None
    return float(np.mean(0.5 + 0.5 * np.sign(truth[counted]) * np.sign(score[counted])))


def width_bias(scores: Floats, truths: Floats, columns: Floats) -> float | None:
    """Spearman's correlation of the number of columns with the rank by score minus that by truth; None if constant.

    Above 0, the score prefers wide features more than they deserve.

    >>> import numpy as np
    >>> from featx.measures import width_bias
    >>> round(width_bias(np.array([3.0, 2.0, 1.0]), np.array([0.7, 0.8, 0.9]), np.array([1280, 512, 64])), 3)
    1.0
    """
    error = stats.rankdata(np.round(scores, DIGITS)) - stats.rankdata(np.round(truths, DIGITS))
    if _constant(error) or _constant(columns):
        return None
    return float(stats.spearmanr(error, columns).statistic)


def mean_over_sets(
    values: Floats, weights: Floats | None = None, *, within: Interval = (-np.inf, np.inf)
) -> tuple[float, Interval | None]:
    """The mean of one value for each data set, with its 95 % interval by Student's t.

    There is no interval for a single data set, nor if all values are equal: they say nothing about other sets. With
    `weights` w that sum to 1, the variance of the mean is n / (n - 1) times the sum of w^2 (value - mean)^2. The ends
    of the interval are not outside of `within`, the values that are possible.

    >>> import numpy as np
    >>> from featx.measures import mean_over_sets
    >>> mean, (low, high) = mean_over_sets(np.array([0.7, 0.8, 0.9]))
    >>> round(mean, 3), round(low, 3), round(high, 3)
    (0.8, 0.552, 1.048)
    """
    count = len(values)
    share = np.full(count, 1 / count) if weights is None else weights / weights.sum()
    mean = float(share @ values)
    if count < 2:
        return mean, None
    error = float(np.sqrt(np.square(share * (values - mean)).sum() * count / (count - 1)))
    if error <= 10.0**-DIGITS:
        return mean, None
    half = float(stats.t.ppf(0.975, count - 1)) * error
    return mean, (max(within[0], mean - half), min(within[1], mean + half))


def _constant(values: Floats) -> bool:
    return len(values) < 2 or float(np.ptp(values)) <= 10.0**-DIGITS
