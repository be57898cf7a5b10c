"""Which candidates a round drops: those that are surely worse than the first, at most half of them."""

from collections.abc import Sequence
from statistics import NormalDist

from featx.measures import Interval
from featx.transfer import RankedSource

RISK = 0.05
"""The chance that any of all comparisons wrongly finds the better one of two candidates worse."""


def find_hopeless(ranking: Sequence[RankedSource], *, comparisons: int) -> dict[str, Interval]:
    """The sources that are less accurate than the first, the worst first, with the intervals that say so.

    The interval of a difference is the paired one, widened for this many comparisons (Bonferroni).
    """
    widened = {one.backbone: _widen(one, comparisons) for one in sorted(ranking, key=lambda one: one.difference)}
    return {name: ends for name, ends in widened.items() if ends is not None and ends[1] < 0}


def choose_dropped(hopeless: dict[str, Interval], *, alive: int) -> dict[str, Interval]:
    """The hopeless ones that are dropped now: the worst half of all; or all, if only the first would be left.

    After a few images an interval is itself uncertain, so that a round drops no more than half.
    """
    most = len(hopeless) if len(hopeless) == alive - 1 else alive // 2
    return dict(list(hopeless.items())[:most])


def _widen(one: RankedSource, comparisons: int) -> Interval | None:
    if one.ci is None:
        return None
    normal = NormalDist()
    factor = normal.inv_cdf(1 - RISK / (2 * comparisons)) / normal.inv_cdf(1 - RISK / 2)
    half = factor * (one.ci[1] - one.difference)
    return one.difference - half, one.difference + half
