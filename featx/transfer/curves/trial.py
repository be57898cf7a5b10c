"""One head on one source with one number of shots: its results on all draws."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from featx.compare import Candidate
from featx.heads import Result
from featx.labels import Labels
from featx.measures import share_of_rows
from featx.tables import RowIndices


@dataclass(frozen=True)
class Trial:
    """The draws of one number of shots for one head on one source, each with its result."""

    candidates: tuple[Candidate, ...]
    results: tuple[Result, ...]
    """One for each candidate."""
    labels: tuple[Labels, ...]
    """The labels of the rows that each draw tests."""

    @property
    def shots(self) -> int:
        """Training images of each class."""
        return self.candidates[0].split.shots or 0

    @property
    def name(self) -> str:
        """Head, source and shots: different trials have different names."""
        return f"{self.candidates[0].variant}, {self.candidates[0].split.kind}"

    @property
    def measure(self) -> str:
        """The name of the measure."""
        return self.results[0].measure

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """(J,): the measure on the test images of each draw."""
        return np.array([result.value for result in self.results])

    @cached_property
    def shared(self) -> float:
        """The part of its training rows that a draw shares with another one, on average."""
        return share_of_rows([candidate.split.fitted for candidate in self.candidates])

    @property
    def rows(self) -> list[RowIndices]:
        """The rows that each draw tests."""
        return [candidate.split.test for candidate in self.candidates]
