"""Probabilities and what is true in; every measure with its interval out."""

from dataclasses import replace
from typing import Any

import numpy as np

from featx.labels import Labels
from featx.measures.confusion import (
    count_confused,
    has_confusion,
    weigh_confused,
)
from featx.measures.draws import (
    MEASURES,
    Draws,
    defined,
    draw_measures,
)
from featx.measures.explaining import (
    MOST_GROUPS,
    explain_intervals,
    explain_measures,
    explain_undefined,
)
from featx.measures.images import Floats, right_share
from featx.measures.metrics import (
    ClassMetrics,
    GroupMetrics,
    HeadMetrics,
    Interval,
    LabelKind,
)
from featx.measures.resampling import (
    RARE,
    effective_size,
    find_interval,
    wilson,
)

OF_CLASS = ("precision", "recall", "f1", "auroc", "average_precision")


def measure(probabilities: Floats, truth: Labels, *, seed: int = 0) -> HeadMetrics:
    """The measures of these probabilities (n, classes), their columns in the order of truth's classes.

    Intervals are those of a bootstrap over the images, or over whole groups where there are some: 2,000 resamples, or
    100 and a normal interval where images, times classes for rankings, are too many; `interval` tells. The same seed
    draws the same resamples. Raises TableError where the shapes differ, a number is no probability, or nothing weighs
    anything.
    """
    draws = draw_measures(probabilities, truth, seed=seed)
    measured, is_wilsons = _measured(draws, right_share(probabilities, truth), truth)
    return HeadMetrics(
        **measured,
        **_confused(probabilities, truth, draws),
        labels=_labels(truth),
        majority_accuracy=_majority(truth),
        per_class=_per_class(draws, truth),
        per_group=_per_group(probabilities, truth, seed=seed, resamples=(draws.resamples, draws.ranked)),
        weighted=truth.given_weights is not None,
        undefined=dict(explain_undefined(measured, truth, units=draws.units)),
        interval=explain_intervals(draws, truth, wilson=is_wilsons),
    )


def _measured(draws: Draws, right: Floats, truth: Labels) -> tuple[dict[str, Any], bool]:
    """The measures of all classes together with their intervals, and whether that of accuracy is Wilson's."""
    accuracy_ci, is_wilsons = _accuracy_interval(draws, right, truth)
    measured = {"n": len(truth), "accuracy": float(draws.values["accuracy"][0]), "accuracy_ci": accuracy_ci}
    for name in MEASURES:
        measured |= {name: draws.value(name), f"{name}_ci": draws.interval(name)}
    return measured, is_wilsons


def _accuracy_interval(draws: Draws, right: Floats, truth: Labels) -> tuple[Interval, bool]:
    """The interval of accuracy, and whether it is Wilson's, for too few are wrong, or right, to be resampled."""
    size, share = effective_size(right, truth.weights, draws.units), float(draws.values["accuracy"][0])
    bootstrapped = draws.interval("accuracy")
    rarer = round(size * min(share, 1 - share), 6)  # whole images are whole, whatever scale their weights have
    if bootstrapped is None or rarer < RARE:
        return wilson(share, size), True
    return bootstrapped, False


def _confused(probabilities: Floats, truth: Labels, draws: Draws) -> dict[str, Any]:
    if not has_confusion(truth):
        return dict.fromkeys(("confusion", "weighted_confusion", "confusion_ci"))
    weights, intervals = weigh_confused(probabilities, truth, draws.units, rounds=draws.rounds)
    alike = truth.given_shares is None and truth.given_weights is None
    counts = count_confused(probabilities, truth)
    return {"confusion": counts, "weighted_confusion": None if alike else weights, "confusion_ci": intervals}


def _labels(truth: Labels) -> LabelKind:
    if truth.multilabel:
        return "several"
    return "single" if truth.given_shares is None else "soft"


def _majority(truth: Labels) -> float:
    if truth.multilabel:
        _, kind = np.unique(truth.shares > 0, axis=0, return_inverse=True)
        weights = np.bincount(kind.ravel(), truth.weights).astype(np.float64)
    else:
        weights = truth.class_totals
    return float(weights.max() / truth.weights.sum())


def _per_class(draws: Draws, truth: Labels) -> tuple[ClassMetrics, ...]:
    if truth.multilabel:
        counts = (truth.shares > 0).sum(axis=0)
    else:
        counts = np.bincount(truth.codes, minlength=len(truth.classes))
    return tuple(
        ClassMetrics(name=name, n=int(counts[index]), **_of_class(draws, index))
        for index, name in enumerate(truth.classes)
    )


def _of_class(draws: Draws, index: int) -> dict[str, Any]:
    drawn = {name: draws.values[f"class.{name}"][index] for name in OF_CLASS}
    intervals = {f"{name}_ci": find_interval(values) for name, values in drawn.items()}
    return {name: defined(values) for name, values in drawn.items()} | intervals


def _per_group(
    probabilities: Floats, truth: Labels, *, seed: int, resamples: tuple[int, int]
) -> tuple[GroupMetrics, ...] | None:
    """With as many resamples as the whole, which all groups together are as large as."""
    if truth.groups is None:
        return None
    names, of_image = np.unique(truth.groups, return_inverse=True)
    if len(names) > MOST_GROUPS:
        return None
    images = np.split(np.argsort(of_image, kind="stable"), np.cumsum(np.bincount(of_image))[:-1])
    alone = replace(truth, groups=None)
    return tuple(
        _measure_group(name.decode(), probabilities[rows], alone.take(rows), seed=seed, resamples=resamples)
        for name, rows in zip(names, images, strict=True)
    )


def _measure_group(
    name: str, probabilities: Floats, truth: Labels, *, seed: int, resamples: tuple[int, int]
) -> GroupMetrics:
    if not truth.weights.sum() > 0:
        measures = "accuracy", *MEASURES
        fields = [field for measure in measures for field in (measure, f"{measure}_ci")]
        undefined = dict.fromkeys(measures, "the images of this group weigh nothing")
        return GroupMetrics(name=name, n=len(truth), undefined=undefined, **dict.fromkeys(fields))
    draws = draw_measures(probabilities, truth, seed=seed, resamples=resamples)
    measured, _ = _measured(draws, right_share(probabilities, truth), truth)
    undefined = dict(explain_measures(measured, truth, units=draws.units, whose="images of this group"))
    return GroupMetrics(name=name, undefined=undefined, **measured)
