"""How sure a mean over images is: of what was right or wrong, or of differences between two heads or sources."""

import numpy as np
from scipy import stats

from featx.labels import Labels
from featx.measures.intervals import effective_size, wilson
from featx.measures.metrics import Interval
from featx.measures.per_image import Floats
from featx.measures.resampling import ENDS, LEAST_FREEDOM, units_of


def accuracy_interval(correct: Floats, labels: Labels) -> Interval:
    """Wilson's 95 % interval of the mean of `correct` (n,) by weight, for the effective number of images.

    >>> import numpy as np
    >>> from featx.labels import Labels
    >>> from featx.measures import accuracy_interval
    >>> labels = Labels(("cat", "dog"), codes=np.zeros(100, np.int64))
    >>> low, high = accuracy_interval(np.arange(100) < 90, labels)
    >>> round(low, 3), round(high, 3)
    (0.826, 0.945)
    """
    units = units_of(labels)
    share = float(np.average(correct, weights=labels.weights))
    return wilson(share, effective_size(np.asarray(correct, np.float64), labels.weights, units))


def standard_error(values: Floats, labels: Labels) -> float:
    """The standard error of the mean of these values (n,) by weight; between groups, if the labels have groups.

    Infinite for a single image or group.

    >>> import numpy as np
    >>> from featx.labels import Labels
    >>> from featx.measures import standard_error
    >>> round(standard_error(np.array([0.0, 1.0, 1.0, 0.0]), Labels(("cat",), codes=np.zeros(4, np.int64))), 4)
    0.2887
    """
    units = units_of(labels)
    if not np.isfinite(units.spread):
        return float("inf")
    deviations = units.sum(labels.weights * (values - np.average(values, weights=labels.weights)))
    return float(np.sqrt(deviations @ deviations * units.spread) / units.weights.sum())


def mean_interval(values: Floats, labels: Labels) -> Interval | None:
    """The 95 % interval of the mean of these values (n,) by weight: Student's t over images, or over groups.

    None for a single image or group.

    >>> import numpy as np
    >>> from featx.labels import Labels
    >>> from featx.measures import mean_interval
    >>> low, high = mean_interval(np.array([0.0, 1.0, 1.0, 0.0]), Labels(("cat",), codes=np.zeros(4, np.int64)))
    >>> round(low, 3), round(high, 3)
    (-0.419, 1.419)
    """
    freedom = units_of(labels).freedom
    if freedom < LEAST_FREEDOM:
        return None
    mean = float(np.average(values, weights=labels.weights))
    half = float(stats.t.ppf(ENDS[1], freedom)) * standard_error(values, labels)
    return mean - half, mean + half


def widen_interval(interval: Interval, labels: Labels, *, comparisons: int) -> Interval:
    """An interval of `mean_interval` for these labels, widened so that those of all comparisons hold at once with 95 %.

    Each then has the confidence 1 - 0.05 / comparisons (Bonferroni), by Student's t.

    >>> import numpy as np
    >>> from featx.labels import Labels
    >>> from featx.measures import widen_interval
    >>> low, high = widen_interval((-1.0, 1.0), Labels(("cat",), codes=np.zeros(50, np.int64)), comparisons=10)
    >>> round(low, 3), round(high, 3)
    (-1.463, 1.463)
    """
    low, high = interval
    freedom = units_of(labels).freedom
    quantiles = stats.t.ppf([1 - (1 - ENDS[1]) / comparisons, ENDS[1]], freedom)
    middle = (low + high) / 2
    half = (high - low) / 2 * float(quantiles[0] / quantiles[1])
    return middle - half, middle + half


def resampled_means(values: Floats, labels: Labels, *, resamples: int, seed: int = 0) -> Floats:
    """The means (s, 1 + b) by weight of s rows of values (s, n): of all images, then of b resamples of them.

    Whole groups are drawn, if the labels have groups. Equal seeds give equal resamples.

    >>> import numpy as np
    >>> from featx.labels import Labels
    >>> from featx.measures import resampled_means
    >>> labels = Labels(("cat", "dog"), codes=np.zeros(4, np.int64))
    >>> resampled_means(np.array([[0.0, 1.0, 1.0, 0.0]]), labels, resamples=10).shape
    (1, 11)
    """
    units = units_of(labels)
    sums = np.stack([units.sum(labels.weights * one) for one in values])
    rounds = units.draw(resamples, seed=seed)
    return np.hstack([(sums @ counts) / (units.weights @ counts) for counts in rounds])
