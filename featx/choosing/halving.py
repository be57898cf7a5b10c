"""Which candidates a round drops: those that are surely worse than the first, at most half of them."""

from collections.abc import Sequence

from featx.labels import Labels
from featx.measures import Interval, widen_interval
from featx.transfer import RankedSource

LEAST_COMPARED = 20
"""On fewer images nothing is dropped: differences that happen to be equal would have no interval at all."""


def find_hopeless(ranking: Sequence[RankedSource], labels: Labels, *, comparisons: int) -> dict[str, Interval]:
    """The sources that are less accurate than the first, the worst first, with the intervals that say so.

    The interval of a difference on these images is the paired one, widened for this many comparisons (Bonferroni).
    """
    if len(labels) < LEAST_COMPARED:
        return {}
    worst_first = sorted(ranking, key=lambda one: one.difference)
    widened = {one.backbone: widen_interval(one.ci, labels, comparisons=comparisons) for one in worst_first if one.ci}
    return {name: ends for name, ends in widened.items() if ends[1] < 0}


def choose_dropped(hopeless: dict[str, Interval], *, alive: int) -> dict[str, Interval]:
    """The hopeless ones that are dropped now: the worst half of all; or all, if only the first would be left.

    After a few images an interval is itself uncertain, so that a round drops no more than half.
    """
    most = len(hopeless) if len(hopeless) == alive - 1 else alive // 2
    return dict(list(hopeless.items())[:most])
