"""The interval of the mean of a score over few-shot draws, and of the difference of two such means."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from featx.labels import Labels
from featx.measures.intervals import EQUAL, wilson
from featx.measures.metrics import Interval
from featx.measures.over_splits import add_variances, variance_of_mean
from featx.measures.per_image import Floats
from featx.measures.resampled import MEANS_OF_CLASSES, EffectiveSizes
from featx.measures.resampling import ENDS, LEAST_FREEDOM, NORMAL, kish_size, units_of


@dataclass(frozen=True)
class SampleSize:
    """How many independent test images a score between 0 and 1 is at most known from."""

    most: float
    perfect: float
    """Their number if the score is exactly 0 or 1: the images of a group may all be alike."""

    @classmethod
    def of(cls, labels: Labels, *, measure: str) -> "SampleSize":
        """The sizes of these test images for `accuracy`, `balanced_accuracy` or `average_precision`."""
        units = units_of(labels)
        if measure == "accuracy":
            return cls(kish_size(labels.weights), kish_size(units.weights))
        sizes = EffectiveSizes.of(labels, units, correct=np.zeros(len(labels)))
        return cls(sizes.balanced, sizes.perfect * MEANS_OF_CLASSES[measure])


def interval_over_draws(values: Floats, *, shared: float, tested: tuple[float, float], size: SampleSize) -> Interval:
    """The 95 % interval of the score that a head reaches on average over all draws and all images like these.

    `values` (J,) is the score on each draw. Two draws share the part `shared` of their training rows, so that the
    variance of the mean over draws is (1/J + shared / (1 - shared)) s^2 (Nadeau & Bengio 2003). The variance that comes
    from the test images, which draws share too, is added: `tested` is `SharedImages.variance_of` and its degrees of
    freedom. The sum has Satterthwaite's (1946). The interval is Wilson's, for as many images as a share of that
    variance has (Korn & Graubard 1998). If there is one draw, or all have the same training rows, the interval holds
    for these training rows only.

    >>> import numpy as np
    >>> from featx.measures import SampleSize, interval_over_draws
    >>> values = np.array([0.61, 0.66, 0.58, 0.63, 0.62])
    >>> size = SampleSize(most=500, perfect=500)
    >>> low, high = interval_over_draws(values, shared=0.1, tested=(0.0004, 499), size=size)
    >>> round(low, 3), round(high, 3)
    (0.566, 0.671)
    """
    mean = float(values.mean())
    variance, freedom = _variance(values, shared, tested)
    if freedom < LEAST_FREEDOM:
        return 0.0, 1.0
    widening = float(stats.t.ppf(ENDS[1], freedom)) / NORMAL
    if not EQUAL < mean < 1 - EQUAL:
        return wilson(round(mean), size.perfect / widening**2)
    equal = mean * (1 - mean) / variance if variance > 0 else np.inf
    return wilson(mean, min(equal, size.most) / widening**2)


def difference_over_draws(
    values: Floats, others: Floats, *, shared: tuple[float, float], tested: tuple[float, float]
) -> Interval:
    """The 95 % interval of the mean of `values` (J,) minus that of `others` (J,), two scores on the same draws, by t.

    Variances are added as in `interval_over_draws`. The scores may have different numbers of shots, and draws of them
    then `shared` different parts of their training rows. What two draws have in common by their training rows is at
    most the larger part of the variance of the difference, and at most the sum of what both scores have in common by
    themselves: the smaller one counts. `tested` has `SharedImages.variance` of the pair.

    >>> import numpy as np
    >>> from featx.measures import difference_over_draws
    >>> values, others = np.array([0.64, 0.66, 0.65]), np.array([0.60, 0.60, 0.60])
    >>> low, high = difference_over_draws(values, others, shared=(0.0, 0.0), tested=(0.0001, 499))
    >>> round(low, 3), round(high, 3)
    (0.026, 0.074)
    """
    differences = values - others
    variance, freedom = tested
    if len(values) > 1 and max(shared) < 1:
        as_one, between_freedom = variance_of_mean(differences, _odds(max(shared)))
        apart = variance_of_mean(differences, 0.0)[0] + _common(values, shared[0]) + _common(others, shared[1])
        variance, freedom = _add((min(as_one, apart), between_freedom), tested)
    if freedom < LEAST_FREEDOM:
        return -1.0, 1.0
    half = float(stats.t.ppf(ENDS[1], freedom)) * float(np.sqrt(variance))
    return float(differences.mean()) - half, float(differences.mean()) + half


def _common(values: Floats, shared: float) -> float:
    """The variance that draws have in common because they share this part of their training rows."""
    return float(values.var(ddof=1)) * _odds(shared)


def _odds(shared: float) -> float:
    return shared / (1 - shared)


def _variance(values: Floats, shared: float, tested: tuple[float, float]) -> tuple[float, float]:
    """The variance of the mean and its degrees of freedom: between draws, if they differ, and from the test images."""
    if len(values) < 2 or shared == 1:
        return tested
    return _add(variance_of_mean(values, _odds(shared)), tested)


def _add(between: tuple[float, float], tested: tuple[float, float]) -> tuple[float, float]:
    """Both variances together; if nothing varies, the freedom is that of the test images."""
    total, freedom = add_variances(between, tested)
    return (total, freedom) if total > 0 else tested
