"""What transfer is worth: the accuracy with each source minus that of the best baseline, with a verdict."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias

from featx.compare import FailedCandidate
from featx.measures import Interval, holm
from featx.showing import Overview, Shown, shorten

Verdict: TypeAlias = Literal["helps", "harms", "undecided"]

SIGNIFICANT = 0.05
"""Below this, p after Holm's correction decides."""
MAJORITY = "majority"
"""Name of the baseline that always predicts the most frequent class."""


@dataclass(frozen=True)
class PartGain:
    """The gain on the test images of one class or one group alone.

    >>> import featx
    >>> gain = featx.measure_gain(["photos.h5"], heads=["ridge"], shots=[2], jobs=1)
    >>> part = gain.rows[0].per_class[0]
    >>> part.name, part.n
    ('circle', 12)
    """

    name: str
    """Name of the class or group."""
    n: int
    """Number of different test images of it."""
    difference: float
    """Share of them that are right with the source, minus that of the baseline."""
    ci: Interval | None
    """95 % interval of the difference; None if the images say nothing about it."""
    p: float | None
    p_holm: float | None
    """p corrected for all classes, or all groups, of the row."""
    verdict: Verdict


@dataclass(frozen=True)
class SourceGain:
    """What one source is worth with one head, for one number of labels.

    >>> import featx
    >>> row = featx.measure_gain(["photos.h5"], heads=["ridge"], shots=[2], jobs=1).rows[0]
    >>> row.backbone, row.shots, row.baseline
    ('efficientnet-lite0', 2, 'majority')
    >>> row.difference == row.accuracy - row.baseline_accuracy
    True
    """

    backbone: str
    output: str
    head: str
    baseline: str
    """The best baseline by validation images: `majority`, or a backbone, with its output if it has several."""
    baseline_head: str
    """The head on it; empty for `majority`."""
    shots: int | None
    """Training images of each class; None for all."""
    n: int
    """Number of different test images."""
    accuracy: float
    """With the source, on the test images; over several draws the mean. `Gain.measure` says which measure it is."""
    accuracy_ci: Interval | None
    """Its 95 % interval."""
    baseline_accuracy: float
    """Of the baseline, on the same test images."""
    difference: float
    """The gain: below 0 it is negative transfer."""
    ci: Interval | None
    """95 % interval of the difference; None if the images say nothing about it."""
    p: float | None
    p_holm: float | None
    """p corrected for all rows of one call (Holm 1979)."""
    verdict: Verdict
    why: str
    """Why there is no p-value; empty if there is one."""
    test: str
    """The name of the test, with what it counts."""
    per_class: tuple[PartGain, ...] = ()
    """Empty for several labels, and if the baseline names one class always, which is then right on this class alone."""
    per_group: tuple[PartGain, ...] = ()
    """Empty if there are no groups; within a group its images are the sample, as if they were independent."""
    source_accuracy: float | None = None
    """Across caches: the same measure of the same head on the test images of its own domain; else None."""
    source_log_loss: float | None = None
    """Across caches: mean log loss in nats there, E of the source."""
    target_log_loss: float | None = None
    """Across caches: mean log loss in nats on the test images of the target, of classes that the head knows."""


@dataclass(frozen=True)
class BaselineAccuracy:
    """What one baseline reaches with one head, for one number of labels.

    >>> import featx
    >>> featx.measure_gain(["photos.h5"], heads=["ridge"], shots=[2], jobs=1).baselines[0].baseline
    'majority'
    """

    baseline: str
    """`majority`, or a backbone, with its output if it has several."""
    head: str
    """Empty for `majority`."""
    shots: int | None
    """Training images of each class; None for all."""
    validated: float
    """The measure on validation images, by which the best baseline is chosen."""
    accuracy: float
    """The measure on the test images."""
    best: bool
    """Whether sources are compared with this one."""


@dataclass(frozen=True, repr=False)
class Gain(Shown):
    """What each source is worth, with the baselines and with notes on how that was measured.

    >>> import featx
    >>> featx.measure_gain(["photos.h5"], heads=["ridge"], shots=[2], jobs=1)
    Gain: 2 rows, accuracy against the best baseline
      helps: efficientnet-lite0 (2 of 2)
    """

    rows: tuple[SourceGain, ...]
    baselines: tuple[BaselineAccuracy, ...]
    measure: str
    """`accuracy`, `balanced_accuracy` or, of images with several labels, `average_precision`."""
    notes: tuple[str, ...]
    failures: tuple[FailedCandidate, ...] = ()
    """What could not be trained."""

    def overview(self) -> Overview:
        """How often each source helps and harms."""
        facts = tuple((verdict, shorten(self._counted(verdict))) for verdict in ("helps", "harms", "undecided"))
        count = f"{len(self.rows)} row{'s' * (len(self.rows) != 1)}"
        return Overview(f"Gain: {count}, {self.measure.replace('_', ' ')} against the best baseline", facts)

    def _counted(self, verdict: str) -> list[str]:
        """Each source with this verdict, and in how many of its rows."""
        of_source: dict[str, list[str]] = {}
        for row in self.rows:
            of_source.setdefault(row.backbone, []).append(row.verdict)
        return [
            f"{name} ({found.count(verdict)} of {len(found)})" for name, found in of_source.items() if verdict in found
        ]

    def to_records(self) -> list[dict[str, Any]]:
        """One flat row for each source and number of labels, without classes and groups.

        `pandas.DataFrame` and `polars.DataFrame` take them.
        """
        return [_flat(row) for row in self.rows]

    def to_dict(self) -> dict[str, Any]:
        """The gain as plain JSON values."""
        return asdict(self)


def _flat(row: SourceGain) -> dict[str, Any]:
    values = asdict(row)
    for name in ("per_class", "per_group"):
        del values[name]
    for name in ("accuracy_ci", "ci"):
        low, high = values.pop(name) or (None, None)
        values |= {f"{name}_low": low, f"{name}_high": high}
    return values


def correct_rows(rows: Sequence[SourceGain]) -> tuple[SourceGain, ...]:
    """The rows with `p_holm` and the verdict, corrected over all that have a p-value."""
    corrected = correct_p([row.p for row in rows])
    return tuple(
        replace(row, p_holm=p_holm, verdict=decide(row.difference, p_holm))
        for row, p_holm in zip(rows, corrected, strict=True)
    )


def correct_parts(parts: Iterable[PartGain]) -> tuple[PartGain, ...]:
    """The parts of one row with `p_holm` and the verdict, corrected over all that have a p-value."""
    parts = list(parts)
    corrected = correct_p([part.p for part in parts])
    return tuple(
        replace(part, p_holm=p_holm, verdict=decide(part.difference, p_holm))
        for part, p_holm in zip(parts, corrected, strict=True)
    )


def correct_p(p: Sequence[float | None]) -> list[float | None]:
    """The p-values after Holm's correction over those that are known."""
    corrected = iter(holm([value for value in p if value is not None]))
    return [None if value is None else next(corrected) for value in p]


def decide(difference: float, p_holm: float | None) -> Verdict:
    """`helps` or `harms` if the difference is significant, else `undecided`."""
    if p_holm is None or p_holm >= SIGNIFICANT:
        return "undecided"
    return "helps" if difference > 0 else "harms"
