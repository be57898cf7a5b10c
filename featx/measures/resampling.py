"""Resamples of a test set as counts: what is a sum over images is then, over all resamples, one product of matrices."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featx.labels import Labels

FEW = 100
"""Resamples where more cost too much: enough for a standard error (Efron & Tibshirani 1993, 6.4)."""
AFFORDABLE = 400_000_000
"""Numbers that may be resampled: images, or images times classes, times resamples."""
ROUND, LEAST = 300_000, 4
"""Counts made at once, which is fastest where they stay near the processor, and the least resamples."""
ENDS = (0.025, 0.975)
"""Of a 95 % interval."""
NORMAL = 1.959964
"""Standard errors to either side that hold 95 % of a normal distribution."""
RARE = 20
"""Where fewer images are wrong, or right, than so many, the bootstrap of a share is too narrow."""


@dataclass(frozen=True)
class Units:
    """What the bootstrap draws: images, or whole groups of them, which is right where images of a group are alike."""

    of_image: NDArray[np.int64]
    """(n,): to which unit each image belongs."""
    count: int
    noun: str

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(count,): the values (n,) of each unit's images, added."""
        return np.bincount(self.of_image, values, self.count).astype(np.float64)

    def draw(self, resamples: int, *, seed: int) -> Iterator[NDArray[np.uint8]]:
        """(count, b): how often each unit is in each resample, b resamples a round.

        The very first column is the sample itself, each unit once. The same seed gives the same resamples, whatever is
        measured: two heads on the same images are compared on the same resamples.
        """
        rng, a_round = np.random.default_rng(seed), max(LEAST, ROUND // self.count)
        for start in range(0, resamples + 1, a_round):
            width = min(a_round, resamples + 1 - start)
            yield self._count(rng, width, whole=start == 0)

    def _count(self, rng: np.random.Generator, width: int, *, whole: bool) -> NDArray[np.uint8]:
        drawn = np.empty((width, self.count), np.int64)
        drawn[0] = np.arange(self.count)
        drawn[whole:] = rng.integers(self.count, size=(width - whole, self.count))
        drawn *= width
        drawn += np.arange(width)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=drawn.size)
        return counts.reshape(self.count, width).astype(np.uint8)


def units_of(truth: Labels) -> Units:
    """The groups of these images where they have any, else the images themselves."""
    if truth.groups is None:
        return Units(np.arange(len(truth)), len(truth), "images")
    names, of_image = np.unique(truth.groups, return_inverse=True)
    return Units(of_image, len(names), "whole groups")


def affordable(numbers: int, *choices: int) -> int:
    """The first of these counts of resamples that does not cost too much of so many numbers, or FEW."""
    return next((resamples for resamples in choices if numbers * resamples <= AFFORDABLE), FEW)


def find_interval(
    draws: NDArray[np.float64], *, bounds: tuple[float, float] = (0.0, 1.0)
) -> tuple[float, float] | None:
    """The 95 % interval of a measure from its value (the first of `draws`) and its values on resamples.

    Percentiles of the resamples (Efron 1979); from FEW resamples 1.96 of their standard deviations to either side.
    Resamples on which the measure is not defined are left out. None where all the others give the same: then they say
    nothing of how sure it is.
    """
    value, drawn = float(draws[0]), draws[1:][np.isfinite(draws[1:])]
    if not np.isfinite(value) or not len(drawn) or np.ptp(drawn) <= 1e-12 * abs(value):
        return None
    if len(draws) - 1 <= FEW:
        error = NORMAL * float(drawn.std(ddof=1))
        low, high = value - error, value + error
    else:
        low, high = (float(end) for end in np.quantile(drawn, ENDS))
    return max(low, bounds[0]), min(high, bounds[1])


def effective_size(right: NDArray[np.float64], weight: NDArray[np.float64], units: Units) -> float:
    """How many independent images of equal weight would tell the share of `right` (n,) as well as these.

    Without groups Kish's. With groups the size at which a binomial share has the
    variance found between groups (Korn & Graubard 1998), no less than Kish's of groups and no more than Kish's of
    images; where all are right or all wrong nothing is known of how alike a group's images are, and groups count.
    """
    least, most = kish_size(units.sum(weight)), kish_size(weight)
    share = float(np.average(right, weights=weight))
    if units.count < 2 or not 0 < share < 1:
        return least
    apart = units.sum(weight * (right - share))
    variance = float(apart @ apart) / weight.sum() ** 2 * units.count / (units.count - 1)
    return float(np.clip(share * (1 - share) / variance, least, most)) if variance > 0 else most


def kish_size(weight: NDArray[np.float64]) -> float:
    """How many of equal weight tell as much as these: (sum w)^2 / sum w^2 (Kish 1965)."""
    return float(weight.sum() ** 2 / (weight @ weight))


def wilson(share: float, size: float) -> tuple[float, float]:
    """Wilson's score interval of a share of `size` images, 95 % (Wilson 1927; Brown, Cai & DasGupta 2001)."""
    shrunk = (share + NORMAL**2 / (2 * size)) / (1 + NORMAL**2 / size)
    half = NORMAL * np.sqrt(share * (1 - share) / size + (NORMAL / (2 * size)) ** 2) / (1 + NORMAL**2 / size)
    return max(0.0, float(shrunk - half)), min(1.0, float(shrunk + half))
