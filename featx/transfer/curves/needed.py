"""How many labels a target accuracy needs, and how many a source saves against a baseline."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any, TypeAlias

import numpy as np

from featx.measures import (
    difference_over_draws,
    first_reaching,
    rising_curve,
    shots_between,
)
from featx.transfer.curves.points import CurvePoint, Line
from featx.transfer.curves.tested import TestedImages
from featx.transfer.curves.trial import Trial

Shots: TypeAlias = tuple[int, int | None]
"""95 % interval of a number of shots; the upper end is None if it may be above every measured number."""
ROUNDING = 1e-9
"""Numbers of shots that are above a whole number by no more than this are that number."""


@dataclass(frozen=True)
class LabelsNeeded:
    """How many training images a head on one source needs to reach the target.

    >>> import featx
    >>> curve = featx.trace_curve(["photos.h5"], heads=["class-mean"], target=0.5, repeats=3, jobs=1)
    >>> needed = curve.labels_needed[0]
    >>> needed.target, needed.ci[0]
    (0.5, 1)
    >>> needed.labels == 5 * needed.shots
    True
    """

    backbone: str
    output: str
    head: str
    target: float
    shots: int | None
    """Training images of each class; None if the largest measured number does not reach the target."""
    ci: Shots
    """95 % interval of `shots`; the upper end is None if the largest measured number may not reach the target.

    Then the lower end is that largest number if it surely does not reach the target.
    """
    labels: int | None
    """Training images of all classes together; None as `shots`."""

    def to_dict(self) -> dict[str, Any]:
        """The number as plain JSON values."""
        return asdict(self) | {"ci": list(self.ci)}


@dataclass(frozen=True)
class LabelsSaved:
    """How many training images the baseline needs to reach what a source reaches with fewer.

    >>> import featx
    >>> pixels = featx.load_backbone("raw-pixels")
    >>> _ = featx.extract_features(featx.list_images("photos"), pixels, into="pixels.h5")
    >>> curve = featx.trace_curve(["photos.h5", "pixels.h5"], heads=["class-mean"], shots=[1, 4], repeats=3, jobs=1)
    >>> saved = curve.labels_saved[0]
    >>> saved.backbone, saved.against, saved.shots
    ('efficientnet-lite0', 'raw-pixels', 1)
    """

    backbone: str
    output: str
    head: str
    shots: int
    """Training images of each class that the source has."""
    value: float
    """What the source reaches with them."""
    against: str
    """Backbone of the baseline."""
    against_output: str
    against_head: str
    against_shots: int | None
    """Training images of each class with which the baseline reaches it; None if it never does."""
    ci: Shots
    """95 % interval of `against_shots`, as that of LabelsNeeded."""
    ratio: float | None
    """How many times as many labels the baseline needs: `against_shots`, before it is rounded up, by `shots`."""
    ratio_ci: tuple[float, float | None]
    """95 % interval of the ratio; the upper end is None if the baseline may never reach it."""

    def to_dict(self) -> dict[str, Any]:
        """The numbers as plain JSON values."""
        return asdict(self) | {"ci": list(self.ci), "ratio_ci": list(self.ratio_ci)}


def labels_needed(line: Line, target: float) -> LabelsNeeded:
    """The training images with which this curve reaches the target."""
    curve = rising_curve(line.values, line.intervals)
    found = first_reaching(line.shots, curve, target)
    low, high = _around(found, shots_between(line.shots, line.intervals, target))
    shots = None if found is None else _whole(found)
    labels = None if shots is None else line.labels(shots)
    return LabelsNeeded(line.backbone, line.output, line.head, target, shots, (_whole(low), _or_none(high)), labels)


def labels_saved(line: Line, baseline: Line) -> Iterator[LabelsSaved]:
    """For each number of shots of the source, how many the baseline needs."""
    curve = rising_curve(baseline.values, baseline.intervals)
    tested = TestedImages.of((*line.trials, *baseline.trials))
    for point, trial in zip(line.points, line.trials, strict=True):
        found = first_reaching(baseline.shots, curve, point.value)
        differences = np.array([_difference(one, trial, tested) for one in baseline.trials])
        ends = _around(found, shots_between(baseline.shots, differences, 0.0))
        yield _saved(point, baseline, found, ends)


def _saved(point: CurvePoint, baseline: Line, found: float | None, ends: tuple[float, float | None]) -> LabelsSaved:
    low, high = ends
    return LabelsSaved(
        point.backbone,
        point.output,
        point.head,
        shots=point.shots,
        value=point.value,
        against=baseline.backbone,
        against_output=baseline.output,
        against_head=baseline.head,
        against_shots=_or_none(found),
        ci=(_whole(low), _or_none(high)),
        ratio=None if found is None else found / point.shots,
        ratio_ci=(low / point.shots, None if high is None else high / point.shots),
    )


def _difference(baseline: Trial, trial: Trial, tested: TestedImages) -> tuple[float, float]:
    """The interval of what the baseline reaches minus what the source reaches, on the draws that both have."""
    return difference_over_draws(
        baseline.values,
        trial.values,
        shared=(baseline.shared, trial.shared),
        tested=tested.of_difference(baseline, trial),
    )


def best_baseline(lines: Sequence[Line], against: str | None) -> Line | None:
    """The baseline with the highest mean measure on validation images, of those named `against` if that is given."""
    if against is None:
        named = [line for line in lines if line.baseline]
    else:
        named = [line for line in lines if against in (line.backbone, line.label)]
    return max(named, key=lambda line: line.validated, default=None)


def _around(found: float | None, ends: tuple[float, float | None]) -> tuple[float, float | None]:
    """The interval, made wider if it does not contain the number that was found."""
    low, high = ends
    if found is None:
        return low, high
    return min(low, found), None if high is None else max(high, found)


def _whole(shots: float) -> int:
    """The smallest whole number of shots that is not below this one."""
    return ceil(shots - ROUNDING)


def _or_none(shots: float | None) -> int | None:
    return None if shots is None else _whole(shots)
