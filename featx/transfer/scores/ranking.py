"""Ranks sources by what ridge regression predicts, and says which of them the images cannot tell from the first."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featx.labels import Labels
from featx.measures import Interval, mean_interval, resampled_means, standard_error
from featx.transfer.scores.left_out import LeftOut

TIED = 2.0
"""Sources within this many standard errors of the first are tied with it."""
RESAMPLES = 1000


@dataclass(frozen=True)
class RankedSource:
    """One source in the ranking.

    >>> import featx
    >>> first = featx.score_transferability(["photos.h5"]).ranking[0]
    >>> first.rank, first.tied, first.first_in
    (1, True, 1.0)
    """

    backbone: str
    output: str
    rank: int
    tied: bool
    """Whether the images cannot tell it from the first by accuracy: it is one of those to train."""
    first_in: float | None
    """The share of resamples in which its accuracy is the highest; None for images with several labels."""
    difference: float
    """Its accuracy (of images with several labels, its `press`) minus the highest one; at most 0."""
    ci: Interval | None
    """95 % interval of the difference; None for the first, and for images with several labels."""
    seconds_per_image: float | None = None
    """How long the backbone took for an image while it was extracted; None if the cache does not say."""
    pareto: bool | None = None
    """Whether no other source is at least as accurate and cheaper, where tied sources are as accurate as the first.

    None if the cost is unknown, or if costs were measured on different devices.
    """


def rank_sources(
    names: Sequence[tuple[str, str]], left_out: Sequence[LeftOut], labels: Labels, *, seed: int = 0
) -> tuple[RankedSource, ...]:
    """The sources, each with its backbone and output, in the order in which they are to be tried.

    The order is that of the accuracies of left-out predictions. Sources within TIED paired standard errors of the
    highest accuracy come first, in the order of their `press`. Images with several labels are ranked by `press` alone.
    """
    if labels.multilabel:
        return _by_press(names, left_out)
    values = np.stack([one.correct for one in left_out])
    accuracies = np.array([one.accuracy for one in left_out])
    presses = np.array([one.press for one in left_out])
    best = max(range(len(names)), key=lambda index: (round(float(accuracies[index]), 12), presses[index]))
    differences = accuracies - accuracies[best]
    errors = np.array([standard_error(one - values[best], labels) for one in values])
    errors[best] = 0.0
    tied = -differences <= TIED * errors
    firsts = _share_of_firsts(values, labels, seed=seed)
    order = sorted(range(len(names)), key=lambda index: _place(left_out[index], tied=bool(tied[index])))
    return tuple(
        RankedSource(
            *names[index],
            rank=rank,
            tied=bool(tied[index]),
            first_in=float(firsts[index]),
            difference=float(differences[index]),
            ci=None if index == best else mean_interval(values[index] - values[best], labels),
        )
        for rank, index in enumerate(order, start=1)
    )


def _place(source: LeftOut, *, tied: bool) -> tuple[bool, float, float]:
    """What sources are sorted by: the tied ones by `press`, the others by accuracy."""
    return not tied, -source.press if tied else -source.accuracy, -source.press


def _share_of_firsts(values: NDArray[np.float64], labels: Labels, *, seed: int) -> NDArray[np.float64]:
    """(s,): how often each source has the highest accuracy on resamples; equal ones share a first place."""
    if len(values) == 1:
        return np.ones(1)
    means = resampled_means(values, labels, resamples=RESAMPLES, seed=seed)[:, 1:].round(12)
    first = means == means.max(axis=0)
    return np.asarray((first / first.sum(axis=0)).mean(axis=1))


def _by_press(names: Sequence[tuple[str, str]], left_out: Sequence[LeftOut]) -> tuple[RankedSource, ...]:
    order = sorted(range(len(names)), key=lambda index: -left_out[index].press)
    highest = left_out[order[0]].press
    return tuple(
        RankedSource(*names[index], rank, rank == 1, None, left_out[index].press - highest, None)
        for rank, index in enumerate(order, start=1)
    )
