"""Traces learning curves: trains heads on few-shot draws of growing size, and reads off what labels are worth."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from featx.cache import FeatureTable
from featx.compare import (
    Candidate,
    ComparisonProgress,
    FailedCandidate,
    compare_backbones,
    list_candidates,
)
from featx.errors import ChoiceError, TableError, did_you_mean
from featx.heads import AUTO, Result
from featx.measures import MEASURE_TITLES
from featx.showing import Overview, Shown, shorten
from featx.tables import (
    FEW_SHOT_REPEATS,
    SHOTS,
    GivenTables,
    Split,
    as_tables,
    fuse_tables,
    make_splits,
    possible_shots,
)
from featx.transfer.curves.needed import LabelsNeeded, LabelsSaved, best_baseline, labels_needed, labels_saved
from featx.transfer.curves.points import CurvePoint, Line, measure_lines, name_candidates


@dataclass(frozen=True, repr=False)
class LearningCurve(Shown):
    """What heads reach on each source with growing numbers of training images, and the labels that a target needs.

    >>> import featx
    >>> featx.trace_curve(["photos.h5"], heads=["class-mean"], repeats=2, target=0.5, jobs=1)
    LearningCurve: 1 curve at 1, 2, 4 shots
      efficientnet-lite0, class-mean: accuracy ... to ...
    """

    rows: tuple[CurvePoint, ...]
    labels_needed: tuple[LabelsNeeded, ...]
    """One for each curve if there is a target."""
    labels_saved: tuple[LabelsSaved, ...]
    """One for each point of each source, if there is a baseline."""
    failures: tuple[FailedCandidate, ...]
    notes: tuple[str, ...]
    """How the curves were measured, and what was left out."""

    def overview(self) -> Overview:
        """The first and last value of each curve."""
        curves = dict[tuple[str, str], list[CurvePoint]]()
        for row in self.rows:
            curves.setdefault((f"{row.backbone}:{row.output}", row.head), []).append(row)
        facts = tuple(
            (
                f"{own[0].backbone}, {head}",
                f"{MEASURE_TITLES[own[0].measure]} {own[0].value:.3f} to {own[-1].value:.3f}",
            )
            for (_, head), own in curves.items()
        )
        shots = shorten([str(one) for one in sorted({row.shots for row in self.rows})], most=9)
        return Overview(f"LearningCurve: {len(curves)} curve{'s' * (len(curves) != 1)} at {shots} shots", facts)

    def to_dict(self) -> dict[str, Any]:
        """The curves as plain JSON values."""
        return {
            "rows": [row.to_dict() for row in self.rows],
            "labels_needed": [needed.to_dict() for needed in self.labels_needed],
            "labels_saved": [saved.to_dict() for saved in self.labels_saved],
            "failures": [{"candidate": failure.candidate, "reason": failure.reason} for failure in self.failures],
            "notes": list(self.notes),
        }


def trace_curve(
    tables: GivenTables,
    *,
    heads: Sequence[str] = ("logreg",),
    target: float | None = None,
    against: str | None = None,
    shots: Sequence[int] = SHOTS,
    repeats: int = FEW_SHOT_REPEATS,
    seed: int = 0,
    balanced: bool = False,
    tuning: str = AUTO,
    jobs: int | None = None,
    into: Path | str | None = None,
    report: Callable[[ComparisonProgress], None] = lambda progress: None,
) -> LearningCurve:
    """The accuracy of each head on each source, for each number of training images per class, with its interval.

    Tables are of the same images; paths of caches are read. A source is one output of one backbone. For each of
    `shots`, `repeats` few-shot splits are drawn, which are the same for all sources and heads. Numbers of shots for
    which a class has too few images are left out, and named in the notes. Each result is appended to the file `into`;
    results that are there are not computed again. With a `target`, such as 0.9, the curve says how many labels reach
    it. Sources whose card calls them a baseline, or those named `against`, are what the others save labels against: of
    several baselines and heads, the one that is best on validation images.

    Raises TableError if the tables do not fit together or no number of shots can be drawn, ChoiceError if no source is
    named `against`, HeadError for an unknown head.

    >>> import featx
    >>> curve = featx.trace_curve(["photos.h5"], heads=["class-mean"], shots=[1, 4], repeats=3, jobs=1)
    >>> [(row.shots, row.draws) for row in curve.rows]
    [(1, 3), (4, 3)]
    """
    _check_target(target)
    given = as_tables(tables)
    joined = fuse_tables(given)
    possible = _choose_shots(joined, shots, repeats=repeats, seed=seed)
    listed = list_candidates(
        given,
        heads=heads,
        fusions=(),
        splits=partial(_draw, shots=possible, repeats=repeats, seed=seed),
        tuning=tuning,
        balanced=balanced,
        seed=seed,
    )
    candidates = [candidate for candidate in listed if len(candidate.backbones) == 1]
    _check_against(candidates, against)
    compared = compare_backbones(candidates, into=into, jobs=jobs, report=report)
    return draw_curve(
        candidates,
        compared.results,
        target=target,
        against=against,
        failures=compared.failures,
        left_out=[one for one in shots if one not in possible],
    )


def draw_curve(
    candidates: Sequence[Candidate],
    results: Sequence[Result],
    *,
    target: float | None = None,
    against: str | None = None,
    failures: Sequence[FailedCandidate] = (),
    left_out: Sequence[int] = (),
) -> LearningCurve:
    """The learning curves that follow from these results of candidates on few-shot splits; nothing is trained.

    Candidates on several sources together, or on other splits, have no curve; the notes count them. `left_out` are
    numbers of shots for which a class has too few images; the notes name them. Raises TableError if the candidates are
    of different images, or some balanced and others not.

    >>> import featx
    >>> from functools import partial
    >>> draw = partial(featx.make_splits, rule="few-shot", shots=[1, 2], repeats=3)
    >>> candidates = featx.list_candidates(["photos.h5"], heads=["class-mean"], splits=draw)
    >>> curve = featx.draw_curve(candidates, featx.compare_backbones(candidates, jobs=1).results)
    >>> [row.shots for row in curve.rows]
    [1, 2]
    """
    own = [candidate for candidate in candidates if candidate.split.shots and len(candidate.backbones) == 1]
    _check_alike(own)
    lines = measure_lines(own, results)
    baseline = best_baseline(lines, against)
    others = [line for line in lines if not _is_baseline(line, against)]
    saved = [one for line in others for one in labels_saved(line, baseline)] if baseline else []
    notes = [
        *_notes_on_others(len(candidates) - len(own)),
        *_notes_on_shots(own, lines, left_out),
        *_notes_on_measuring(lines, target=target),
        *_notes_on_baseline(baseline if others else None, against),
    ]
    return LearningCurve(
        rows=tuple(point for line in lines for point in line.points),
        labels_needed=() if target is None else tuple(labels_needed(line, target) for line in lines),
        labels_saved=tuple(saved),
        failures=tuple(failures),
        notes=tuple(notes),
    )


def _is_baseline(line: Line, against: str | None) -> bool:
    return bool(line.baseline) or against in (line.backbone, line.label)


def _choose_shots(joined: FeatureTable, shots: Sequence[int], *, repeats: int, seed: int) -> tuple[int, ...]:
    """The numbers of shots that can be drawn, from the smallest. Raises TableError if there are none."""
    asked = sorted(set(shots))
    possible = possible_shots(joined, asked, repeats=repeats, seed=seed)
    if not possible:
        _draw(joined, shots=asked[:1], repeats=repeats, seed=seed)  # raises the error that says why
    return possible


def _draw(joined: FeatureTable, *, shots: Sequence[int], repeats: int, seed: int) -> list[Split]:
    return make_splits(joined, "few-shot", shots=shots, repeats=repeats, seed=seed)


def _check_target(target: float | None) -> None:
    """Raise TableError for a target that no accuracy can reach."""
    if target is not None and not 0 < target <= 1:
        raise TableError(f"the target {target:g} is not a share; give a number above 0 and at most 1, such as 0.9")


def _check_against(candidates: Sequence[Candidate], against: str | None) -> None:
    """Raise ChoiceError if no source has the name."""
    labels = name_candidates(candidates)
    names = list(dict.fromkeys([*(backbone for backbone, _ in labels.values()), *labels]))
    if against is not None and against not in names:
        raise ChoiceError(f"no source is called {against!r}{did_you_mean(against, names)}; choose {', '.join(names)}")


def _check_alike(candidates: Sequence[Candidate]) -> None:
    """Raise TableError unless all candidates can stand in one table."""
    if len({candidate.balanced for candidate in candidates}) > 1:
        raise TableError("some candidates are balanced and others are not; draw the curves of one kind only")
    names = {id(candidate.table.names): candidate.table.names for candidate in candidates}
    first, *others = names.values() if names else [()]
    if not all(np.array_equal(first, other) for other in others):
        raise TableError("the candidates are of different images; draw the curves of each image set alone")


def _notes_on_others(count: int) -> Iterator[str]:
    if count:
        yield f"left out: {count} candidates that are not on one source alone and few-shot draws"


def _notes_on_shots(candidates: Sequence[Candidate], lines: Sequence[Line], left_out: Sequence[int]) -> Iterator[str]:
    """Which numbers of shots are missing, and why."""
    if left_out:
        yield f"left out: {', '.join(map(str, sorted(left_out)))} shots, for which a class has too few images"
    drawn = {candidate.split.shots or 0 for candidate in candidates}
    found = {(line.label, line.head): drawn - {point.shots for point in line.points} for line in lines}
    for label, head in dict.fromkeys((candidate.backbones[0], candidate.head) for candidate in candidates):
        missing = sorted(found.get((label, head), drawn))
        if missing:
            numbers = ", ".join(map(str, missing))
            yield f"left out: {head} on {label} at {numbers} shots, where a draw has no result or no defined measure"


def _notes_on_measuring(lines: Sequence[Line], *, target: float | None) -> Iterator[str]:
    """What the numbers and their intervals mean."""
    if not lines:
        return
    trial = lines[0].trials[0]
    yield (
        f"{MEASURE_TITLES[trial.measure]}: mean over {len(trial.results)} draws of training images, the same for all "
        "heads; 95 % interval: over draws and over images like those tested"
    )
    alone = sorted({one.shots for line in lines for one in line.trials if one.shared == 1})
    if alone:
        why = "there is one draw" if len(trial.results) == 1 else "all draws have the same training images"
        yield f"at {', '.join(map(str, alone))} shots the interval is for these training images only: {why}"
    if any(result.folds is None for line in lines for one in line.trials for result in one.results):
        yield "labels are those of training images; as many others of each class were used to tune each head"
    if target is not None:
        yield (
            "labels needed: read off a rising curve through the points (isotonic regression), linear in the logarithm "
            "of shots; 95 % interval: all numbers of shots at which the interval of the curve contains the target"
        )


def _notes_on_baseline(baseline: Line | None, against: str | None) -> Iterator[str]:
    if baseline is not None:
        yield (
            f"labels saved: against {baseline.head} on {baseline.label}, the best baseline on validation images; "
            "the interval is of paired differences"
        )
    elif against is not None:
        yield f"labels saved: unknown, for {against} has no result, or there is nothing to compare with it"
