"""The rounds of a trial: each takes more images, compares the candidates on them, and drops the hopeless ones."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np

from featx.choosing.candidates import Candidate
from featx.choosing.halving import choose_dropped, find_hopeless
from featx.choosing.sampling import ROUNDS, Sample
from featx.choosing.trials import DroppedSource, FailedSource, TriedSource
from featx.errors import BackboneError, FeatxError, one_line
from featx.extract import Progress
from featx.measures import Interval
from featx.tables import fuse_tables
from featx.transfer import RankedSource, SourceScore, TransferScores, score_transferability

WORTH = 1.1
"""A further round takes at least this many times as many images; for fewer, a session is not worth opening."""


@dataclass
class Trial:
    """The candidates that are left, and what was found of all of them."""

    alive: list[Candidate]
    sample: Sample
    scores: Sequence[str]
    budget: float | None
    """Seconds after which no further round begins."""
    report: Callable[[Progress], None]
    dropped: list[DroppedSource] = field(default_factory=list)
    failed: list[FailedSource] = field(default_factory=list)
    found: dict[str, TriedSource] = field(default_factory=dict)
    """Of each backbone, the last place that it had."""
    rows: dict[str, list[SourceScore]] = field(default_factory=dict)
    last: TransferScores | None = None
    """What the last round found."""
    images: int = 0
    """Number of images that were compared in the last round."""
    _start: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._all = tuple(self.alive)
        self._comparisons = max(1, len(self.alive) - 1) * len(ROUNDS)

    def run(self) -> str:
        """Run the rounds, and return why the last one was the last."""
        sizes = self.sample.sizes()
        count = 0
        for number, size in enumerate(sizes, start=1):
            affordable = size if number == 1 else self._affordable(count, size)
            if affordable < size and affordable < WORTH * count:
                break
            count = affordable
            self._run_round(number, count)
            if len(self.alive) == 1:
                return f"stopped after round {number}: {self._why_alone()}"
        if count < sizes[-1]:
            return f"stopped after {count:,} images, as the time of the budget is spent: the order may still change"
        return f"stopped after round {len(sizes)}: all {count:,} images of the sample were tried"

    def _why_alone(self) -> str:
        first = self.alive[0].name
        return f"{first} cannot be overtaken" if self.dropped else f"there is nothing to compare {first} with"

    def _affordable(self, count: int, size: int) -> int:
        """Number of images, at most `size`, that all can try in the time that is left."""
        if self.budget is None:
            return size
        left = self.budget - (time.monotonic() - self._start)
        each = sum(candidate.seconds_per_image or 0.0 for candidate in self.alive)
        return count if left <= 0 else min(size, count + int(left / each)) if each else size

    def _run_round(self, number: int, count: int) -> None:
        rows = self.sample.first(count)
        total = self._computed + sum(len(rows) - self._tried(candidate) for candidate in self.alive)
        for candidate in list(self.alive):
            note = f"{candidate.name}, round {number}"
            try:
                candidate.run(rows, report=self._reporter(self._computed, total, note))
            except FeatxError as error:
                self.alive.remove(candidate)
                self.failed.append(FailedSource(candidate.name, one_line(error)))
        if not self.alive:
            first = self.failed[0]
            raise BackboneError(f"no candidate could be run; the first failed: {first.backbone}: {first.reason}")
        self._compare(number)

    @property
    def _computed(self) -> int:
        """Number of images that all candidates have computed."""
        return sum(candidate.computed for candidate in self._all)

    @staticmethod
    def _tried(candidate: Candidate) -> int:
        return len(candidate.tables[-1]) + len(candidate.tables[-1].failed) if candidate.tables else 0

    def _reporter(self, before: int, total: int, note: str) -> Callable[[Progress], None]:
        """Tells how many images all candidates have computed so far."""
        return lambda progress: self.report(
            replace(
                progress,
                finished=before + progress.finished - progress.earlier,
                total=max(total, before + progress.total - progress.earlier),
                note=note,
                earlier=0,
            )
        )

    def _compare(self, number: int) -> None:
        """Score the candidates on the images that all have, and drop the hopeless ones."""
        tables = [candidate.tables[-1] for candidate in self.alive]
        joined = fuse_tables(tables)
        self.images = len(joined)
        names = tuple(dict.fromkeys(("ridge", *self.scores)))
        found = score_transferability(tables, scores=names, rows=np.arange(self.images), seed=self.sample.seed)
        self.last = found
        for one in found.ranking:
            rows = [row for row in found.rows if row.backbone == one.backbone]
            self.rows[one.backbone] = [row for row in rows if row.score in self.scores]
            self.found[one.backbone] = self._place(one, next(row for row in rows if row.score == "ridge"))
        hopeless = find_hopeless(found.ranking, joined.labels_of(np.arange(self.images)), comparisons=self._comparisons)
        first = max(found.ranking, key=lambda one: (one.difference, one.ci is None)).backbone
        self._drop(choose_dropped(hopeless, alive=len(self.alive)), number, first=first)

    def _place(self, one: RankedSource, ridge: SourceScore) -> TriedSource:
        known = {item.name: getattr(one, item.name) for item in fields(RankedSource)}
        seconds = next(candidate for candidate in self.alive if candidate.name == one.backbone).seconds_for_all()
        return TriedSource(
            **known, accuracy=ridge.value, accuracy_ci=ridge.ci, images=self.images, seconds_for_all=seconds
        )

    def _drop(self, chosen: Mapping[str, Interval], number: int, *, first: str) -> None:
        for name, ends in chosen.items():
            difference = self.found[name].difference
            self.dropped.append(DroppedSource(name, number, self.images, difference, ends, first))
            self.found[name] = replace(self.found[name], dropped_in=number)
        self.alive = [candidate for candidate in self.alive if candidate.name not in chosen]
