"""Where a rising curve reaches a value: the curve through measured points, and the interval of the place."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from featx.measures.per_image import Floats


def rising_curve(values: Floats, intervals: NDArray[np.float64]) -> Floats:
    """The rising values (k,) closest to the measured ones (k,), each by the inverse square of its interval's width.

    `intervals` (k, 2). This is isotonic regression (Barlow et al. 1972): values that fall are averaged.

    >>> import numpy as np
    >>> from featx.measures import rising_curve
    >>> intervals = np.array([[0.4, 0.6], [0.6, 0.8], [0.5, 0.7]])
    >>> rising_curve(np.array([0.5, 0.7, 0.6]), intervals).round(2).tolist()
    [0.5, 0.65, 0.65]
    """
    widths = np.maximum(intervals[:, 1] - intervals[:, 0], 1e-6)
    fitted: Floats = isotonic_regression(values, weights=1 / widths**2).x
    return fitted


def first_reaching(shots: NDArray[np.int64], curve: Floats, target: float) -> float | None:
    """The smallest number of shots at which a rising curve (k,) reaches the target; None if it does not.

    Between two measured numbers the curve is linear in the logarithm of shots. If it begins at or above the target,
    this is the smallest measured number.

    >>> import numpy as np
    >>> from featx.measures import first_reaching
    >>> round(first_reaching(np.array([1, 2, 4]), np.array([0.5, 0.6, 0.8]), 0.7), 2)
    2.83
    """
    reached = np.flatnonzero(curve >= target)
    return _crossing(shots, curve, int(reached[0]), target) if len(reached) else None


def shots_between(
    shots: NDArray[np.int64], intervals: NDArray[np.float64], target: float
) -> tuple[float, float | None]:
    """The 95 % interval of the number of shots at which a rising curve reaches the target.

    It holds every number of shots at which the interval of the curve, one of `intervals` (k, 2), contains the target:
    at the true number, the curve is the target, which its interval contains in 95 % of all cases. The lower end is 1 if
    the curve may be there at the smallest measured number already, and the largest one if it is there nowhere. The
    upper end is None if the curve may not be there at the largest.

    >>> import numpy as np
    >>> from featx.measures import shots_between
    >>> start, end = shots_between(np.array([1, 2, 4]), np.array([[0.4, 0.6], [0.5, 0.7], [0.7, 0.9]]), 0.6)
    >>> round(start, 2), round(end, 2)
    (1.0, 2.83)
    """
    low, high = intervals.T
    maybe = np.flatnonzero(high >= target)
    not_surely = np.flatnonzero(low < target)
    if not len(maybe):
        return float(shots[-1]), None
    start = 1.0 if maybe[0] == 0 else _crossing(shots, high, int(maybe[0]), target)
    if not len(not_surely):
        return start, float(shots[0])
    last = int(not_surely[-1])
    return start, None if last == len(shots) - 1 else _crossing(shots, low, last + 1, target)


def _crossing(shots: NDArray[np.int64], curve: Floats, place: int, target: float) -> float:
    """Where the curve, which is below the target before this place and not below it there, reaches it."""
    if place == 0:
        return float(shots[0])
    before, after = curve[place - 1], curve[place]
    share = (target - before) / (after - before)
    steps = np.log2(shots)
    return float(2 ** (steps[place - 1] + share * (steps[place] - steps[place - 1])))
