"""The points of learning curves: what one head reaches on one source with a number of training images of each class."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.compare import Candidate
from featx.heads import Result
from featx.labels import Labels
from featx.measures import Interval, SampleSize, interval_over_draws
from featx.transfer.curves.tested import TestedImages
from featx.transfer.curves.trial import Trial
from featx.transfer.scores.scoring import name_sources


@dataclass(frozen=True)
class CurvePoint:
    """What one head reaches on one source with `shots` training images of each class, on average over draws.

    >>> import featx
    >>> point = featx.trace_curve(["photos.h5"], heads=["class-mean"], shots=[1], repeats=3, jobs=1).rows[0]
    >>> point.backbone, point.head, point.shots, point.measure, point.draws
    ('efficientnet-lite0', 'class-mean', 1, 'accuracy', 3)
    >>> point.ci[0] < point.value <= point.ci[1]
    True
    """

    backbone: str
    output: str
    head: str
    shots: int
    """Training images of each class; at least as many if images have several labels."""
    measure: str
    """`accuracy`; `balanced_accuracy` if classes are balanced; `average_precision` if images have several labels."""
    value: float
    """Mean over the draws of the measure on their test images."""
    ci: Interval
    """95 % interval over draws of training images and over images like those tested.

    If there is one draw, or all draws have the same training images, it holds for these training images only.
    """
    n: int
    """Number of different images that were tested."""
    draws: int

    def to_dict(self) -> dict[str, Any]:
        """The point as plain JSON values; the value is under the name of the measure."""
        return {
            "backbone": self.backbone,
            "output": self.output,
            "head": self.head,
            "shots": self.shots,
            "measure": self.measure,
            self.measure: self.value,
            "ci": list(self.ci),
            "n": self.n,
            "draws": self.draws,
        }


@dataclass(frozen=True)
class Line:
    """The curve of one head on one source."""

    backbone: str
    output: str
    head: str
    baseline: str
    """What the source is if it transfers nothing; empty for others."""
    label: str
    """How messages name the source."""
    trials: tuple[Trial, ...]
    """One for each number of shots, which rises."""
    points: tuple[CurvePoint, ...]
    """One for each of these trials."""

    @cached_property
    def shots(self) -> NDArray[np.int64]:
        """(k,)."""
        return np.array([point.shots for point in self.points])

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """(k,)."""
        return np.array([point.value for point in self.points])

    @cached_property
    def intervals(self) -> NDArray[np.float64]:
        """(k, 2)."""
        return np.array([point.ci for point in self.points])

    @property
    def validated(self) -> float:
        """Mean over draws and numbers of shots of the measure on validation images, by which lines are chosen."""
        return float(np.mean([result.validated for trial in self.trials for result in trial.results]))

    def labels(self, shots: float) -> int:
        """The number of training images of all classes together, with `shots` of each."""
        of_trials = [np.mean([len(one.split.fitted) for one in trial.candidates]) for trial in self.trials]
        return round(shots * float(np.interp(np.log2(shots), np.log2(self.shots), of_trials / self.shots)))


def measure_lines(candidates: Sequence[Candidate], results: Sequence[Result]) -> list[Line]:
    """One curve for each head on each source, in the order of the candidates, without points that miss a result.

    The candidates are of the same images, each on one source and a few-shot draw.
    """
    by_key = {result.key: result for result in results}
    grouped = dict[tuple[str, str], list[Candidate]]()
    for candidate in candidates:
        grouped.setdefault((candidate.backbones[0], candidate.head), []).append(candidate)
    names = name_candidates(candidates)
    one_per_split = {candidate.split.key: candidate for candidate in candidates}
    labels = {key: one.table.labels_of(one.split.test) for key, one in one_per_split.items()}
    lines = []
    for (label, _), own in grouped.items():
        trials = tuple(sorted(_complete_trials(own, by_key, labels), key=lambda trial: trial.shots))
        if trials:
            lines.append(_measure_line(trials, label, names[label]))
    return lines


def name_candidates(candidates: Sequence[Candidate]) -> dict[str, tuple[str, str]]:
    """Label of each source -> its backbone and output."""
    sources = {candidate.backbones[0]: candidate.table.sources[0] for candidate in candidates}
    return dict(zip(sources, name_sources(list(sources.values())), strict=True))


def _complete_trials(
    candidates: Sequence[Candidate], results: Mapping[str, Result], labels: Mapping[str, Labels]
) -> Iterator[Trial]:
    """One trial for each number of shots of which every draw has a result with a defined measure."""
    by_shots = dict[int, list[Candidate]]()
    for candidate in candidates:
        by_shots.setdefault(candidate.split.shots or 0, []).append(candidate)
    for own in by_shots.values():
        found = [results[candidate.key] for candidate in own if candidate.key in results]
        if len(found) == len(own) and np.isfinite([result.value for result in found]).all():
            yield Trial(tuple(own), tuple(found), tuple(labels[candidate.split.key] for candidate in own))


def _measure_line(trials: tuple[Trial, ...], label: str, source: tuple[str, str]) -> Line:
    tested = TestedImages.of(trials)
    first = trials[0].candidates[0]
    points = tuple(
        CurvePoint(
            *source,
            head=first.head,
            shots=trial.shots,
            measure=trial.measure,
            value=float(trial.values.mean()),
            ci=interval_over_draws(
                trial.values,
                shared=trial.shared,
                tested=tested.of_mean(trial),
                size=SampleSize.of(trial.labels[0], measure=trial.measure),
            ),
            n=len(np.unique(np.concatenate(trial.rows))),
            draws=len(trial.results),
        )
        for trial in trials
    )
    baseline = str(first.table.sources[0].card.get("baseline", ""))
    return Line(*source, first.head, baseline, label, trials, points)
