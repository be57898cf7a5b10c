"""Bootstrap resamples of a test set as counts: a sum over images is one matrix product for all resamples at once."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from featx.labels import Labels

FEW_RESAMPLES = 100
"""Number of resamples if more would cost too much: enough for a standard error (Efron & Tibshirani 1993, 6.4)."""
AFFORDABLE = 400_000_000
"""Most numbers that are resampled: images, or images times classes, times resamples."""
COUNTS_PER_ROUND = 300_000
"""Counts drawn at once; fastest while they fit into the processor's cache."""
LEAST_PER_ROUND = 4
"""Fewest resamples drawn at once."""
ENDS = (0.025, 0.975)
"""Quantiles at the ends of a 95 % interval."""
NORMAL = 1.959964
"""Half width of a 95 % interval of a normal distribution, in standard errors."""
LEAST_FREEDOM = 0.1
"""With fewer degrees of freedom nearly all weight is on one unit, and an interval would be anything (t is 1e10)."""
GROUPS = "whole groups"
"""What units that are groups are called."""


@dataclass(frozen=True)
class Units:
    """What the bootstrap draws: single images, or whole groups because the images of a group resemble each other."""

    of_image: NDArray[np.int64]
    """(n,): the unit of each image."""
    count: int
    """Number of units."""
    noun: str
    """What the units are called in texts: `images` or `whole groups`."""
    weights: NDArray[np.float64]
    """(count,): the sum of the weights of the images of each unit."""

    @property
    def grouped(self) -> bool:
        """Whether the units are groups and not single images."""
        return self.noun == GROUPS

    @cached_property
    def freedom(self) -> float:
        """Degrees of freedom of a variance between the units: their number minus 1, if all have the same weight.

        Of units of unequal weight it is Kish's effective size minus 1, since the heaviest determine the variance.
        """
        return kish_size(self.weights) - 1

    @cached_property
    def spread(self) -> float:
        """What the variance over resamples is multiplied by to become that over samples: K / (K - 1) for K units."""
        count = int(np.count_nonzero(self.weights))
        return count / (count - 1) if count > 1 else np.inf

    @cached_property
    def widening(self) -> float:
        """How many times as wide as over resamples an interval is: as t is wider than the normal distribution."""
        if self.freedom < LEAST_FREEDOM:
            return np.inf
        return float(stats.t.ppf(ENDS[1], self.freedom)) / NORMAL * float(np.sqrt(self.spread))

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum of the values (n,) over the images of each unit, (count,)."""
        return np.bincount(self.of_image, values, self.count).astype(np.float64)

    def draw(self, resamples: int, *, seed: int) -> Iterator[NDArray[np.uint8]]:
        """How often each unit is in each resample: arrays (count, b) of b resamples each.

        The very first column is the sample itself: each unit once. Equal seeds give equal resamples, whatever is
        measured, so that two heads on the same images are compared on the same resamples.
        """
        rng = np.random.default_rng(seed)
        per_round = max(LEAST_PER_ROUND, COUNTS_PER_ROUND // self.count)
        for start in range(0, resamples + 1, per_round):
            width = min(per_round, resamples + 1 - start)
            yield self._count(rng, width, with_sample=start == 0)

    def _count(self, rng: np.random.Generator, width: int, *, with_sample: bool) -> NDArray[np.uint8]:
        drawn = np.empty((width, self.count), np.int64)
        drawn[0] = np.arange(self.count)
        drawn[with_sample:] = rng.integers(self.count, size=(width - with_sample, self.count))
        drawn *= width
        drawn += np.arange(width)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=drawn.size)
        return counts.reshape(self.count, width).astype(np.uint8)


def units_of(labels: Labels) -> Units:
    """The units to resample: the groups of these images if they have any, else the images."""
    if labels.groups is None:
        return Units(np.arange(len(labels)), len(labels), "images", labels.weights)
    names, of_image = np.unique(labels.groups, return_inverse=True)
    weights = np.bincount(of_image, labels.weights, len(names)).astype(np.float64)
    return Units(of_image, len(names), GROUPS, weights)


def affordable(numbers: int, *choices: int) -> int:
    """The first of these counts of resamples that is affordable for `numbers` values each, or else FEW_RESAMPLES."""
    return next((resamples for resamples in choices if numbers * resamples <= AFFORDABLE), FEW_RESAMPLES)


def kish_size(weights: NDArray[np.float64]) -> float:
    """The effective size of a weighted sample: (sum w)^2 / sum w^2 (Kish 1965)."""
    return float(weights.sum() ** 2 / (weights @ weights))
