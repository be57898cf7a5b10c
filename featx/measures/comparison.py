"""The result of a paired test of two heads, t-tests of a difference, and Holm's correction over several of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from featx.errors import TableError
from featx.measures.per_image import Floats
from featx.measures.resampling import LEAST_FREEDOM

ZERO = 1e-12
"""Differences up to this count as 0."""

Pair: TypeAlias = tuple[str, str]
"""The names of two heads."""


@dataclass(frozen=True)
class Comparison:
    """How much better head a is than head b, and whether the difference may be chance."""

    a: str
    b: str
    difference: float
    """Measure of a minus measure of b."""
    interval: tuple[float, float] | None
    """95 % interval of the difference; None if the images, or splits, say nothing about it."""
    p: float | None
    """Two-sided p-value; None if the images, or splits, say nothing about it."""
    p_holm: float | None
    """p corrected for all comparisons of one call (Holm 1979)."""
    test: str
    """The name of the test, with what it counts and ignores."""
    n: int
    """Number of images, or of splits."""


def holm(p: Sequence[float]) -> list[float]:
    """The p-values corrected for multiple comparisons by Holm's method (1979), in their order.

    The k-th smallest of m values is multiplied by m + 1 - k, and is at least as large as the one before it.

    >>> from featx.measures import holm
    >>> [round(p, 2) for p in holm([0.04, 0.01, 0.03])]
    [0.06, 0.03, 0.06]
    """
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate(np.asarray(p)[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(raised, 1)
    return [float(value) for value in corrected]


def correct_all(comparisons: Iterable[Comparison]) -> tuple[Comparison, ...]:
    """The comparisons with `p_holm`, corrected over those that have a p-value."""
    every = list(comparisons)
    corrected = iter(holm([comparison.p for comparison in every if comparison.p is not None]))
    return tuple(
        comparison if comparison.p is None else replace(comparison, p_holm=next(corrected)) for comparison in every
    )


def t_comparison(pair: Pair, difference: float, *, variance: float, freedom: float, test: str, n: int) -> Comparison:
    """The comparison of a difference that has this variance, estimated with these degrees of freedom.

    With hardly any freedom, or if nothing varies, there is no interval, and no p unless the heads do not differ.
    """
    error = float(np.sqrt(variance))
    if freedom < LEAST_FREEDOM or error <= ZERO * max(1.0, abs(difference)):
        return Comparison(*pair, difference, None, None if abs(difference) > ZERO else 1.0, None, test, n)
    half = float(stats.t.ppf(0.975, freedom)) * error
    p = float(2 * stats.t.sf(abs(difference) / error, freedom))
    return Comparison(*pair, difference, (difference - half, difference + half), p, None, test, n)


def difference_of(values: Mapping[str, Floats], pair: Pair, size: int) -> Floats:
    """The values of the first head minus those of the second, (size,). Raises TableError if they are not finite."""
    check_values(values, [pair], size)
    for name in pair:
        if not np.isfinite(values[name]).all():
            raise TableError(f"head {name!r} has values that are NaN or infinite; leave it out")
    difference: Floats = values[pair[0]] - values[pair[1]]
    return difference


def check_values(values: Mapping[str, NDArray[Any]], pairs: Iterable[Pair], size: int) -> None:
    """Raise TableError unless each head of the pairs has values of shape (size,)."""
    for name in dict.fromkeys(name for pair in pairs for name in pair):
        if name not in values:
            raise TableError(f"no values are given for head {name!r}, only for {', '.join(values)}; add them")
        if values[name].shape != (size,):
            raise TableError(
                f"the values of head {name!r} have shape {values[name].shape}, not {(size,)}; "
                "give one value per image or split"
            )
