"""Confidence intervals of measures, from their values on resamples or from an effective number of images."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from featx.measures.resampling import (
    ENDS,
    FEW_RESAMPLES,
    NORMAL,
    Units,
    kish_size,
)

RARE = 20
"""The bootstrap of a share is too narrow if fewer images than this are correct, or wrong."""
MOST_SKEWED = 1.2
"""The logarithm of how many times a mean loss its interval's log-normal end is at most."""
EQUAL = 1e-12
"""Values on resamples that differ by less, relative to the measure, are equal."""


def percentile_interval(
    resampled: NDArray[np.float64], *, bounds: tuple[float, float] = (0.0, 1.0), widening: float = 1.0
) -> tuple[float, float] | None:
    """The 95 % interval of a measure from `resampled` (1 + b,): its value, then its values on b resamples.

    The ends are percentiles of the resamples (Efron 1979); with at most FEW_RESAMPLES, 1.96 standard deviations on
    either side. Each is moved away from the value by the factor `widening` (`Units.widening`). Resamples on which the
    measure is undefined (NaN) are left out. None if all others are equal: they then say nothing about the uncertainty.
    """
    value = float(resampled[0])
    drawn = _drawn(resampled)
    if drawn is None or not np.isfinite(widening):
        return None
    if len(resampled) - 1 <= FEW_RESAMPLES:
        error = NORMAL * float(drawn.std(ddof=1))
        below = above = error
    else:
        low, high = (float(end) for end in np.quantile(drawn, ENDS))
        below = value - low
        above = high - value
    return max(value - widening * below, bounds[0]), min(value + widening * above, bounds[1])


def loss_interval(
    resampled: NDArray[np.float64], *, bounds: tuple[float, float], widening: float = 1.0
) -> tuple[float, float] | None:
    """The 95 % interval of a mean loss: percentiles, with an upper end at least as far up as of a log-normal value.

    Most losses are small and few are large, so that a sample often has too few of the large ones, and then its
    resamples too. The logarithm of the mean is closer to normal. That end is at most 3.3 (e^1.2) times the mean: with a
    few groups it could be anywhere.
    """
    interval = percentile_interval(resampled, bounds=bounds, widening=widening)
    drawn = _drawn(resampled)
    value = float(resampled[0])
    if interval is None or drawn is None or value <= 0:
        return interval
    error = float(drawn.std(ddof=1)) / value
    upper = value * float(np.exp(min(NORMAL * widening * error, MOST_SKEWED)))
    return interval[0], min(max(interval[1], upper), bounds[1])


def score_interval(
    resampled: NDArray[np.float64],
    *,
    widening: float = 1.0,
    most: float = np.inf,
    perfect: float | None = None,
) -> tuple[float, float] | None:
    """The 95 % interval of a measure between 0 and 1: Wilson's, for as many images as a share of equal variance has.

    That number follows from the variance over the resamples (Korn & Graubard 1998). It is at most `most`, and is
    divided by the square of `widening`. A measure of exactly 0 or 1 hardly varies over resamples, but is uncertain all
    the same: it is taken for a share of `perfect` images, or has no interval if that is None. None also if the measure
    is undefined or equal on all resamples.
    """
    value = float(resampled[0])
    if not np.isfinite(value) or not np.isfinite(widening):
        return None
    if not EQUAL < value < 1 - EQUAL:
        return None if perfect is None else wilson(round(value), perfect / widening**2)
    drawn = _drawn(resampled)
    if drawn is None:
        return None
    return wilson(value, min(value * (1 - value) / float(drawn.var(ddof=1)), most) / widening**2)


def logit_interval(
    resampled: NDArray[np.float64], *, widening: float = 1.0, perfect: float | None = None
) -> tuple[float, float] | None:
    """The 95 % interval of a measure between 0 and 1 that is normal for its logit (Pepe 2003, section 5.2.4).

    The standard error is that over the resamples, times `widening`. A measure of exactly 0 or 1 is taken for a share of
    `perfect` images, as by `score_interval`.
    """
    value = float(resampled[0])
    drawn = _drawn(resampled)
    if drawn is None or not EQUAL < value < 1 - EQUAL or not np.isfinite(widening):
        return score_interval(resampled, widening=widening, perfect=perfect)
    half = NORMAL * widening * float(drawn.std(ddof=1)) / (value * (1 - value))
    return float(expit(logit(value) - half)), float(expit(logit(value) + half))


def _drawn(resampled: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The values on resamples that are defined; None if the measure is not, or if they are all equal."""
    drawn = resampled[1:][np.isfinite(resampled[1:])]
    value = float(resampled[0])
    if not np.isfinite(value) or len(drawn) < 2 or np.ptp(drawn) <= EQUAL * abs(value):
        return None
    return drawn


def effective_size(correct: NDArray[np.float64], weights: NDArray[np.float64], units: Units) -> float:
    """How many independent images of equal weight would determine the mean of `correct` (n,) as well as these do.

    Without groups this is Kish's effective size. With groups it is the size at which a binomial share has the variance
    found between groups, at least Kish's size of the groups and at most that of the images, times (1.96 / t)^2, where t
    is the quantile for the groups' degrees of freedom: of few groups that variance is uncertain itself (Korn & Graubard
    1998). If all images are correct or all are wrong, the similarity within groups is unknown and the size of the
    groups is used. 0 for a single group.
    """
    most = kish_size(weights)
    if not units.grouped:
        return most
    if not np.isfinite(units.widening):
        return 0.0
    uncertain = units.widening**2 / units.spread
    least = kish_size(units.weights)
    share = float(np.average(correct, weights=weights))
    if not 0 < share < 1:
        return least / uncertain
    deviations = units.sum(weights * (correct - share))
    variance = float(deviations @ deviations) / weights.sum() ** 2 * units.spread
    size = float(np.clip(share * (1 - share) / variance, least, most)) if variance > 0 else most
    return size / uncertain


def wilson(share: float, size: float) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share of `size` images (Wilson 1927; Brown, Cai & DasGupta 2001)."""
    if not size > 0:
        return 0.0, 1.0
    centre = (share + NORMAL**2 / (2 * size)) / (1 + NORMAL**2 / size)
    half = NORMAL * np.sqrt(share * (1 - share) / size + (NORMAL / (2 * size)) ** 2) / (1 + NORMAL**2 / size)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))
