"""How far a run is, over all that it does, and how long the rest will take."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

STAGES = ("extraction", "scores", "heads")
GUESSES = {"extraction": 0.02, "scores": 1.0, "heads": 1.0}
"""Seconds that one image, the scores of one source, or one head takes, until some have been timed."""


@dataclass(frozen=True)
class SuiteProgress:
    """How far the run of a suite is."""

    stage: str
    """What is done at the moment: extraction, scores or heads."""
    finished: int
    """Number of images, scored sources or heads of this stage that are done."""
    total: int
    last: str
    """What the stage is at, in words."""
    share: float
    """The share of the whole run, by time, that is done, from 0 to 1."""
    seconds_left: float
    """How long the whole run will still take, as it seems now."""


@dataclass
class _Stage:
    """The work of one stage."""

    guess: float
    total: int = 0
    finished: int = 0
    computed: int = 0
    """How many were computed in this run, and not found."""
    seconds: float = 0.0

    @property
    def each(self) -> float:
        """Seconds that one takes."""
        return self.seconds / self.computed if self.computed else self.guess

    @property
    def left(self) -> float:
        """Seconds that the rest takes."""
        return self.each * max(0, self.total - self.finished)


@dataclass
class Work:
    """Counts the work of all stages, and reports how far it is."""

    report: Callable[[SuiteProgress], None]
    stages: dict[str, _Stage] = field(default_factory=lambda: {name: _Stage(GUESSES[name]) for name in STAGES})
    _stage: str = STAGES[0]
    _last: float = field(default_factory=time.perf_counter)
    _before: float = 0.0
    """Seconds that the stages have taken together."""

    def plan(self, stage: str, total: int) -> None:
        """There is this much work in the stage."""
        self.stages[stage].total = total

    def begin(self, stage: str) -> None:
        """From now on, time is that of this stage."""
        self._stage = stage
        self._last = time.perf_counter()

    def found(self, count: int) -> None:
        """This number of results was there already."""
        self.stages[self._stage].finished += count
        self._last = time.perf_counter()

    def done(self, count: int, last: str) -> None:
        """Report that this number of further results was computed."""
        now = time.perf_counter()
        stage = self.stages[self._stage]
        stage.finished += count
        stage.computed += count
        stage.seconds += now - self._last
        self._before += now - self._last
        self._last = now
        self.tell(last)

    def tell(self, last: str) -> None:
        """Report how far the work is."""
        stage = self.stages[self._stage]
        left = sum(one.left for one in self.stages.values())
        share = self._before / (self._before + left) if self._before + left else 1.0
        self.report(SuiteProgress(self._stage, stage.finished, stage.total, last, share, left))
