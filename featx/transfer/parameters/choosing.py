"""Chooses what a head takes over: sources one by one, or pooled images, each only if it helps on validation images."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from featx.estimators import LinearScores
from featx.heads import calibrate
from featx.labels import Labels
from featx.transfer.parameters.drawing import GAMMAS, Draw, Drawing, Term
from featx.transfer.parameters.pooling import WEIGHTS, Pooling
from featx.transfer.parameters.sources import LinearSource

MARGIN = 0.05
"""The part by which a second source, or pooled images, must lower the log loss, or they are not used."""
FOR_TARGET = 1.0
"""What speaks for a head without sources: a difference in log likelihood, in nats over all validation images."""
FOR_OTHERS = 5.0
"""What speaks against an unusual draw, in the same unit. Of some 120 draws, about e^5, one looks better by luck."""
USUALLY = Term(0.75, 0)
"""What is usually taken of a source: three quarters, since its scores are too sure of themselves elsewhere."""
NOTHING = Term(0.0, 0)
"""What is taken of a source that is not used."""
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
        self.tried = 0
        """How many settings were compared."""

    def is_likelier(self, one: float, other: float, *, by: float) -> bool:
        """Whether validation images are likelier by this many nats at the first mean loss than at the other one."""
        return (other - one) * len(self.labels.codes) > by

    def try_out(self, setting: Any, scores: Scores) -> _Tried:
        """The loss of a setting with these class scores (n, C) of the validation rows."""
        self.tried += 1
        return _Tried(setting, scores, calibrate(scores, self.labels).loss)


@dataclass(frozen=True)
class Chosen:
    """What is taken of some sources, the draw with it, and why each source is used or not."""

    sources: Sequence[LinearSource]
    way: Way | None
    """None if no source is used."""
    terms: tuple[Term, ...]
    """Of each source."""
    reasons: tuple[str, ...]
    loss: float | None
    """The loss with sources: of the way, or else of the draw that was not used; None if none was tried."""
    alone: float
    """The lowest loss of heads without any source."""


class SourceSelection:
    """Sources are admitted one by one: the first unless validation images speak against it, others only if they help.

    The usual draw, towards most of the source with a moderate penalty, was better than what the few validation images
    of few-shot splits chose, so that small differences do not speak against it.
    """

    def __init__(self, drawing: Drawing, sources: Sequence[LinearSource], judge: Judge, *, target_loss: float) -> None:
        self._drawing = drawing
        self._sources = sources
        self._judge = judge
        self._nothing = (NOTHING,) * len(sources)
        self._alone = min([target_loss, *(one.loss for one in self._sweep(self._nothing))])

    def choose(self) -> Chosen:
        """What is taken of each source."""
        reasons = {place: source.doubt for place, source in enumerate(self._sources)}
        waiting = [place for place, doubt in reasons.items() if not doubt]
        firsts = {place: self._first(place) for place in waiting}
        place = min(waiting, key=lambda place: firsts[place].loss, default=None)
        used = place is not None and self._speaks_for(firsts[place])
        reasons |= {one: _why(tried.loss, self._alone, used=used and one == place) for one, tried in firsts.items()}
        if place is None or not used:
            return self._chosen(None, reasons, loss=None if place is None else firsts[place].loss)
        waiting.remove(place)
        return self._chosen(self._add(firsts[place], waiting, reasons), reasons, loss=None)

    def _first(self, place: int) -> _Tried:
        """The usual draw with this source alone, or the best one if validation images speak against the usual one."""
        terms = (*self._nothing[:place], USUALLY, *self._nothing[place + 1 :])
        usual = self._draw(terms, keeps_intercept=True, values=[self._drawing.usual])
        best = self._best_with(self._nothing, place)
        return next((one for one in usual if not self._judge.is_likelier(best.loss, one.loss, by=FOR_OTHERS)), best)

    def _speaks_for(self, first: _Tried) -> bool:
        """Whether validation images do not speak for a head without sources."""
        return not self._judge.is_likelier(self._alone, first.loss, by=FOR_TARGET)

    def _add(self, chosen: _Tried, waiting: list[int], reasons: dict[int, str]) -> _Tried:
        """The best draw with further sources, each of which lowers the loss by the margin."""
        while waiting:
            found = {place: self._best_with(chosen.setting.terms, place) for place in waiting}
            place = min(found, key=lambda place: found[place].loss)
            used = found[place].loss < (1 - MARGIN) * chosen.loss
            reasons |= {one: _why(tried.loss, chosen.loss, used=used and one == place) for one, tried in found.items()}
            if not used:
                break
            chosen = found[place]
            waiting.remove(place)
        return chosen

    def _best_with(self, terms: tuple[Term, ...], place: int) -> _Tried:
        return min(self._with(terms, place), key=lambda one: one.loss)

    def _with(self, terms: tuple[Term, ...], place: int) -> list[_Tried]:
        """All draws with each gamma and each variant of one more source."""
        more = [Term(gamma, variant) for variant in range(len(self._sources[place].variants)) for gamma in GAMMAS]
        return [one for term in more for one in self._sweep((*terms[:place], term, *terms[place + 1 :]))]

    def _sweep(self, terms: tuple[Term, ...]) -> Iterator[_Tried]:
        """Each penalty, with the intercepts kept and free, towards this sum of the sources."""
        for keeps in BOTH:
            yield from self._draw(terms, keeps_intercept=keeps)

    def _draw(
        self, terms: tuple[Term, ...], *, keeps_intercept: bool, values: Sequence[float] | None = None
    ) -> Iterator[_Tried]:
        """Each of the penalties that converges, or all usual ones, towards this sum of the sources."""
        for value, scores in self._drawing.sweep(self._sum(terms), keeps_intercept=keeps_intercept, values=values):
            yield self._judge.try_out(Draw(terms, keeps_intercept, value), scores)

    def _sum(self, terms: Sequence[Term]) -> LinearScores:
        """The sum of the scores of the sources, each times its gamma."""
        first, *others = (
            source.variants[term.variant].times(term.gamma) for source, term in zip(self._sources, terms, strict=True)
        )
        return reduce(LinearScores.plus, others, first)

    def _chosen(self, tried: _Tried | None, reasons: Mapping[int, str], *, loss: float | None) -> Chosen:
        return Chosen(
            sources=self._sources,
            way=None if tried is None else self._way(tried),
            terms=self._nothing if tried is None else tried.setting.terms,
            reasons=tuple(reasons[place] for place in range(len(self._sources))),
            loss=loss if tried is None else tried.loss,
            alone=self._alone,
        )

    def _way(self, tried: _Tried) -> Way:
        draw: Draw = tried.setting
        return Way(
            name="drawn",
            scores=tried.scores,
            loss=tried.loss,
            params=self._drawing.params(draw),
            fit=partial(self._drawing.pipeline, self._sum(draw.terms), draw),
            tried=self._judge.tried,
        )


def _why(loss: float, alone: float, *, used: bool) -> str:
    beside = f"log loss {loss:.3f} with it, {alone:.3f} without it"
    return beside if used else f"{beside}, so it is not used"


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
