"""Judges sources against the best baseline on the same test images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.compare import Outcome, SplitImages
from featx.measures import (
    Comparison,
    Interval,
    SampleSize,
    interval_over_draws,
    share_of_rows,
)
from featx.transfer.gains.constant import settle
from featx.transfer.gains.gain import BaselineAccuracy, SourceGain
from featx.transfer.gains.parts import compare_classes, compare_groups
from featx.transfer.gains.predictors import Predictor


@dataclass(frozen=True)
class Judged:
    """The sources and baselines of one number of shots; p-values are not corrected over rows yet."""

    rows: tuple[SourceGain, ...]
    baselines: tuple[BaselineAccuracy, ...]


def judge(images: SplitImages, sources: Sequence[Predictor], baselines: Sequence[Predictor]) -> Judged:
    """Each source against the baseline that is best on validation images; of equal ones, the first of lowest loss."""
    best = max(baselines, key=lambda one: one.validity)
    shots = images.splits[0].shots
    about_baselines = tuple(
        BaselineAccuracy(one.label, one.head, shots, one.validated, float(one.values.mean()), one is best)
        for one in baselines
    )
    if not sources:
        return Judged((), about_baselines)
    by_class = compare_classes(images, sources, best)
    by_group = compare_groups(images, sources, best)
    outcomes = {one.name: one.outcomes for one in (*sources, best)}
    comparisons = images.compare(outcomes, [(source.name, best.name) for source in sources])
    rows = tuple(
        replace(
            _row(images, source, best, settle(comparison, images, source, best)),
            per_class=by_class.get(source.name, ()),
            per_group=by_group.get(source.name, ()),
        )
        for source, comparison in zip(sources, comparisons, strict=True)
    )
    return Judged(rows, about_baselines)


def _row(images: SplitImages, source: Predictor, best: Predictor, compared: Comparison) -> SourceGain:
    accuracy, of_baseline = float(source.values.mean()), float(best.values.mean())
    return SourceGain(
        backbone=source.backbone,
        output=source.output,
        head=source.head,
        baseline=best.label,
        baseline_head=best.head,
        shots=images.splits[0].shots,
        n=len(images.tested),
        accuracy=accuracy,
        accuracy_ci=interval_of(source, images),
        baseline_accuracy=of_baseline,
        difference=accuracy - of_baseline,
        ci=compared.interval,
        p=compared.p,
        p_holm=None,
        verdict="undecided",
        why="" if compared.p is not None else why_no_p(compared),
        test=compared.test,
    )


def why_no_p(compared: Comparison) -> str:
    """Why a comparison has no p-value."""
    if compared.test.startswith("none"):
        return f"no p-value: {compared.test.removeprefix('none, for ')}"
    return "no p-value: all test images are of one group, or the difference is the same whichever of them are drawn"


def interval_of(predictor: Predictor, images: SplitImages) -> Interval | None:
    """The 95 % interval of the measure: on one split that of its result, over several that of the mean."""
    if len(images.splits) == 1:
        return predictor.interval
    if images.splits[0].shots is None:
        return interval_against_nothing(predictor, images)
    shared = images.shared({predictor.name: predictor.outcomes})
    measure = "average_precision" if images.multilabel else "balanced_accuracy" if images.balanced else "accuracy"
    return interval_over_draws(
        predictor.values,
        shared=share_of_rows([split.fitted for split in images.splits]),
        tested=(shared.variance_of(predictor.name), shared.freedom),
        size=SampleSize.of(images.tested, measure=measure),
    )


def interval_against_nothing(predictor: Predictor, images: SplitImages) -> Interval | None:
    """The 95 % interval of the difference from a predictor that is never right."""
    nothing = [Outcome(0.0, _never_right(images, outcome)) for outcome in predictor.outcomes]
    (compared,) = images.compare({predictor.name: predictor.outcomes, "": nothing}, [(predictor.name, "")])
    if compared.interval is None:
        return None
    return max(compared.interval[0], 0.0), min(compared.interval[1], 1.0)


def _never_right(images: SplitImages, outcome: Outcome) -> NDArray[Any]:
    """What the outcome of a predictor is whose measure is 0."""
    wrong = -1 if images.balanced and not images.multilabel else 0
    return np.full_like(outcome.each, wrong)
