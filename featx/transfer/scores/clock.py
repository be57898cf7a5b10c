"""Counts the seconds that each score of a source takes."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from featx.transfer.scores.rows import Floats, Indices
from featx.transfer.scores.spectrum import Collector


class Clock:
    """Seconds of each score, and those that all scores share."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def time(self, score: str = "") -> Iterator[None]:
        """Count the seconds of the block for this score, or for all."""
        start = time.perf_counter()
        yield
        self._seconds[score] += time.perf_counter() - start

    def seconds(self, score: str) -> float:
        """Those of this score, and those that all share."""
        return self._seconds[score] + self._seconds[""]


class Timed:
    """A collector whose seconds are counted for a score, or for all."""

    def __init__(self, collector: Collector, clock: Clock, score: str = "") -> None:
        self._collector = collector
        self._clock = clock
        self._score = score

    def add(self, places: Indices, *, centred: Floats, turned: Floats) -> None:
        """Give these rows to the collector."""
        with self._clock.time(self._score):
            self._collector.add(places, centred=centred, turned=turned)
