"""Chooses what a head takes over: sources one by one, or pooled images, each only if it helps on validation images."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from featx.estimators import LinearScores
from featx.heads import calibrate
from featx.labels import Labels
from featx.transfer.parameters.drawing import GAMMAS, Draw, Drawing
from featx.transfer.parameters.pooling import WEIGHTS, Pooling
from featx.transfer.parameters.sources import LinearSource

MARGIN = 0.05
"""The part by which a source must lower the log loss, or it is not used.

With fewer than ten images of each class, 2 % let a source of shuffled labels in: six times as many settings are tried
with a source as without (benchmarks/parameters.py).
"""
BOTH = (True, False)
"""Whether the intercepts of the sources are kept, or fitted to the target without a penalty."""

Scores: TypeAlias = NDArray[np.float64]
"""(n, C): class scores of the validation rows by fits to other rows."""


@dataclass(frozen=True)
class Way:
    """One way to train the head, with its class scores of the validation rows."""

    name: str
    """`target`, `drawn` or `pooled`."""
    scores: Scores
    loss: float
    """Log loss in nats of these scores over their best temperature."""
    params: Mapping[str, Any]
    fit: Callable[[], Pipeline]
    draw: Draw | None = None
    weight: float = 0.0
    tried: int = 1
    """Number of parameter sets that it is the best of."""


@dataclass(frozen=True)
class _Tried:
    """A setting with its class scores and its loss."""

    setting: Any
    scores: Scores
    loss: float


class Judge:
    """Compares settings by the log loss of validation rows with these labels, over the best temperature of each."""

    def __init__(self, labels: Labels) -> None:
        self.labels = labels

    def try_out(self, setting: Any, scores: Scores) -> _Tried:
        """The loss of a setting with these class scores (n, C) of the validation rows."""
        return _Tried(setting, scores, calibrate(scores, self.labels).loss)


@dataclass(frozen=True)
class Chosen:
    """The gammas of some sources, the best draw with them, and why each source is used or not."""

    sources: Sequence[LinearSource]
    way: Way | None
    """None if no source is used."""
    gammas: tuple[float, ...]
    reasons: tuple[str, ...]
    loss: float
    """The best loss that was found with any source."""
    alone: float
    """The lowest loss of heads without any source."""


class SourceSelection:
    """Forward selection of sources: each is admitted only if it lowers the log loss by the margin."""

    def __init__(self, drawing: Drawing, sources: Sequence[LinearSource], judge: Judge, *, target_loss: float) -> None:
        self._drawing = drawing
        self._sources = sources
        self._judge = judge
        self._alone = min(target_loss, *(one.loss for one in self._sweep((0.0,) * len(sources))))

    def choose(self) -> Chosen:
        """The sources that help, with their gammas."""
        gammas = (0.0,) * len(self._sources)
        reasons = [""] * len(self._sources)
        least, settled, found = self._alone, list[_Tried](), self._alone
        waiting = list(range(len(self._sources)))
        while waiting:
            rounds = {place: self._with(gammas, place) for place in waiting}
            bests = {place: min(tried, key=lambda one: one.loss) for place, tried in rounds.items()}
            first = min(waiting, key=lambda place: bests[place].loss)
            found = min(found, bests[first].loss) if settled else bests[first].loss
            if bests[first].loss >= (1 - MARGIN) * least:
                for place in waiting:
                    reasons[place] = _why(bests[place].loss, least, helps=False)
                break
            reasons[first] = _why(bests[first].loss, least, helps=True)
            least, settled, gammas = bests[first].loss, rounds[first], bests[first].setting.gammas
            waiting.remove(first)
        way = self._way(settled) if settled else None
        return Chosen(self._sources, way, gammas, tuple(reasons), loss=found, alone=self._alone)

    def _with(self, gammas: tuple[float, ...], place: int) -> list[_Tried]:
        """All draws with each gamma of one more source."""
        return [one for gamma in GAMMAS for one in self._sweep((*gammas[:place], gamma, *gammas[place + 1 :]))]

    def _sweep(self, gammas: tuple[float, ...]) -> Iterator[_Tried]:
        """Each penalty, with the intercepts kept and free, towards this sum of the sources."""
        towards = self._sum(gammas)
        for keeps in BOTH:
            for value, scores in self._drawing.sweep(towards, keeps_intercept=keeps):
                yield self._judge.try_out(Draw(gammas, keeps, value), scores)

    def _sum(self, gammas: Sequence[float]) -> LinearScores:
        """The sum of the scores of the sources, each times its gamma."""
        found = self._sources[0].scores.times(gammas[0])
        for source, gamma in zip(self._sources[1:], gammas[1:], strict=True):
            found = found.plus(source.scores.times(gamma))
        return found

    def _way(self, tried: Sequence[_Tried]) -> Way:
        """The best of these draws."""
        best = min(tried, key=lambda one: one.loss)
        draw: Draw = best.setting
        return Way(
            name="drawn",
            scores=best.scores,
            loss=best.loss,
            params=self._drawing.params(draw),
            fit=partial(self._drawing.pipeline, self._sum(draw.gammas), draw),
            draw=draw,
            tried=len(tried),
        )


def _why(loss: float, alone: float, *, helps: bool) -> str:
    beside = f"log loss {loss:.3f} with it, {alone:.3f} without it"
    return beside if helps else f"{beside}: not lower by {MARGIN:.0%}, so it is not used"


def pooled_way(pooling: Pooling, judge: Judge) -> Way:
    """The best weight and penalty of a fit to the images of target and source together."""
    tried = [judge.try_out((weight, value), scores) for weight in WEIGHTS for value, scores in pooling.sweep(weight)]
    best = min(tried, key=lambda one: one.loss)
    weight, value = best.setting
    return Way(
        name="pooled",
        scores=best.scores,
        loss=best.loss,
        params=pooling.params(weight, value),
        fit=partial(pooling.pipeline, weight, value),
        weight=weight,
        tried=len(tried),
    )
