"""Probabilities and what is true in; every measure with its interval out."""

from typing import Any

import numpy as np

from featx.measures.draws import MEASURES, Draws, defined, draw_measures
from featx.measures.explaining import MOST_CLASSES, MOST_GROUPS, explain_intervals, explain_undefined
from featx.measures.images import Floats, class_share, right_share
from featx.measures.metrics import ClassMetrics, GroupMetrics, HeadMetrics, Interval, Labels
from featx.measures.resampling import RARE, Units, effective_size, find_interval, wilson
from featx.truth import Truth

OF_CLASS = ("precision", "recall", "f1", "auroc", "average_precision")


def measure(probabilities: Floats, truth: Truth, *, seed: int = 0) -> HeadMetrics:
    """The measures of these probabilities (n, classes), their columns in the order of truth's classes.

    Intervals are those of a bootstrap over the images, or over whole groups where there are some: 2,000 resamples, or
    100 and a normal interval where images, times classes for rankings, are too many; `interval` tells. The same seed
    draws the same resamples. Raises TableError where the shapes differ, a number is no probability, or nothing weighs
    anything.
    """
    draws, right = draw_measures(probabilities, truth, seed=seed), right_share(probabilities, truth)
    measured = {name: draws.value(name) for name in MEASURES}
    intervals = {name: draws.interval(name) for name in MEASURES}
    accuracy_ci, is_wilsons = _accuracy_interval(draws, right, truth)
    confusion, weighted_confusion = _confusions(probabilities, truth)
    return HeadMetrics(
        n=len(truth),
        labels=_labels(truth),
        accuracy=float(draws.values["accuracy"][0]),
        accuracy_ci=accuracy_ci,
        majority_accuracy=_majority(truth),
        **measured,  # type: ignore[arg-type]
        **{f"{name}_ci": interval for name, interval in intervals.items()},  # type: ignore[arg-type]
        per_class=_per_class(draws, truth),
        per_group=_per_group(right, truth),
        confusion=confusion,
        weighted_confusion=weighted_confusion,
        weighted=truth.weights is not None,
        undefined=dict(explain_undefined(measured, intervals, truth, draws=draws)),
        interval=explain_intervals(draws, wilson=is_wilsons),
    )


def _accuracy_interval(draws: Draws, right: Floats, truth: Truth) -> tuple[Interval, bool]:
    """The interval of accuracy, and whether it is Wilson's, for too few are wrong, or right, to be resampled."""
    size, share = effective_size(right, truth.weight, draws.units), float(draws.values["accuracy"][0])
    bootstrapped = draws.interval("accuracy")
    rarer = round(size * min(share, 1 - share), 6)  # whole images are whole, whatever scale their weights have
    if bootstrapped is None or rarer < RARE:
        return wilson(share, size), True
    return bootstrapped, False


def _labels(truth: Truth) -> Labels:
    if truth.multilabel:
        return "several"
    return "single" if truth.given is None else "soft"


def _majority(truth: Truth) -> float:
    if truth.multilabel:
        _, kind = np.unique(truth.shares > 0, axis=0, return_inverse=True)
        weights = np.bincount(kind.ravel(), truth.weight).astype(np.float64)
    else:
        weights = truth.class_totals
    return float(weights.max() / truth.weight.sum())


def _confusions(
    probabilities: Floats, truth: Truth
) -> tuple[tuple[tuple[int, ...], ...] | None, tuple[tuple[float, ...], ...] | None]:
    if truth.multilabel or len(truth.classes) > MOST_CLASSES:
        return None, None
    classes, guess = len(truth.classes), probabilities.argmax(axis=1)
    counts = np.bincount(truth.labels * classes + guess, minlength=classes**2).reshape(classes, classes)
    confusion = tuple(map(tuple, counts.tolist()))
    if truth.given is None and truth.weights is None:
        return confusion, None
    columns = (np.bincount(guess, truth.weight * class_share(truth, column), classes) for column in range(classes))
    return confusion, tuple(tuple(column.tolist()) for column in columns)


def _per_class(draws: Draws, truth: Truth) -> tuple[ClassMetrics, ...]:
    if truth.multilabel:
        counts = (truth.shares > 0).sum(axis=0)
    else:
        counts = np.bincount(truth.labels, minlength=len(truth.classes))
    return tuple(
        ClassMetrics(name=name, n=int(counts[index]), **_of_class(draws, index))
        for index, name in enumerate(truth.classes)
    )


def _of_class(draws: Draws, index: int) -> dict[str, Any]:
    drawn = {name: draws.values[f"class.{name}"][index] for name in OF_CLASS}
    intervals = {f"{name}_ci": find_interval(values) for name, values in drawn.items()}
    return {name: defined(values) for name, values in drawn.items()} | intervals


def _per_group(right: Floats, truth: Truth) -> tuple[GroupMetrics, ...] | None:
    if truth.groups is None:
        return None
    names, of_image = np.unique(truth.groups, return_inverse=True)
    if len(names) > MOST_GROUPS:
        return None
    order = np.argsort(of_image, kind="stable")
    images = np.split(order, np.cumsum(np.bincount(of_image))[:-1])
    return tuple(
        _measure_group(name.decode(), right[rows], truth.weight[rows]) for name, rows in zip(names, images, strict=True)
    )


def _measure_group(name: str, right: Floats, weight: Floats) -> GroupMetrics:
    if not weight.sum() > 0:
        return GroupMetrics(name=name, n=len(right), accuracy=None, accuracy_ci=None)
    accuracy, alone = float(np.average(right, weights=weight)), Units(np.arange(len(right)), len(right), "images")
    interval = wilson(accuracy, effective_size(right, weight, alone))
    return GroupMetrics(name=name, n=len(right), accuracy=accuracy, accuracy_ci=interval)
