"""All measures of a head on labelled images, each with its 95 % interval."""

from dataclasses import replace
from typing import Any

import numpy as np

from featx.labels import Labels
from featx.measures.confusion import (
    count_confusion,
    has_confusion,
    weigh_confusion,
)
from featx.measures.explaining import (
    MOST_GROUPS,
    explain_intervals,
    explain_measures,
    explain_undefined,
)
from featx.measures.metrics import (
    ClassMetrics,
    GroupMetrics,
    HeadMetrics,
    Interval,
    LabelKind,
)
from featx.measures.per_image import Floats, correctness
from featx.measures.resampled import (
    MEASURES,
    ResampledMeasures,
    resample_all,
    value_or_none,
)
from featx.measures.resampling import (
    RARE,
    effective_size,
    find_interval,
    wilson,
)

CLASS_MEASURES = ("precision", "recall", "f1", "auroc", "average_precision")
"""The measures of a single class."""


def measure(probabilities: Floats, labels: Labels, *, seed: int = 0) -> HeadMetrics:
    """All measures of these probabilities (n, classes), whose columns are in the order of `labels.classes`.

    Intervals come from a bootstrap over the images, or over whole groups if there are groups: percentiles of 2,000
    resamples, or a normal interval from 100 if there are too many images (for rankings: images times classes); the
    field `interval` says which. Equal seeds draw equal resamples. Raises TableError if shapes differ, a probability is
    not between 0 and 1, an image has no label, or all weights are 0.

    >>> import numpy as np
    >>> from featx.labels import Labels
    >>> from featx.measures import measure
    >>> labels = Labels(("cat", "dog"), codes=np.array([0, 0, 1, 1]))
    >>> metrics = measure(np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]]), labels)
    >>> metrics.accuracy, metrics.auroc, metrics.confusion
    (0.75, 0.75, ((2, 0), (1, 1)))
    >>> metrics.undefined["micro_f1"]
    'defined for images with several labels'
    """
    resampled = resample_all(probabilities, labels, seed=seed)
    measured, wilson_used = _measure_all(resampled, correctness(probabilities, labels), labels)
    return HeadMetrics(
        **measured,
        **_confusion(probabilities, labels, resampled),
        labels=_label_kind(labels),
        majority_accuracy=_majority_accuracy(labels),
        per_class=_per_class(resampled, labels),
        per_group=_per_group(
            probabilities, labels, seed=seed, resamples=(resampled.resamples, resampled.curve_resamples)
        ),
        weighted=labels.given_weights is not None,
        undefined=dict(explain_undefined(measured, labels, units=resampled.units)),
        interval=explain_intervals(resampled, labels, wilson=wilson_used),
    )


def _measure_all(resampled: ResampledMeasures, correct: Floats, labels: Labels) -> tuple[dict[str, Any], bool]:
    """The measures over all classes with their intervals, and whether the interval of accuracy is Wilson's."""
    accuracy_ci, wilson_used = _accuracy_interval(resampled, correct, labels)
    measured = {"n": len(labels), "accuracy": float(resampled.values["accuracy"][0]), "accuracy_ci": accuracy_ci}
    for name in MEASURES:
        measured[name] = resampled.value(name)
        measured[f"{name}_ci"] = resampled.interval(name)
    return measured, wilson_used


def _accuracy_interval(resampled: ResampledMeasures, correct: Floats, labels: Labels) -> tuple[Interval, bool]:
    """The interval of accuracy, and whether it is Wilson's, which is used if few images are wrong or few correct."""
    size = effective_size(correct, labels.weights, resampled.units)
    share = float(resampled.values["accuracy"][0])
    bootstrapped = resampled.interval("accuracy")
    rarer = round(size * min(share, 1 - share), 6)  # a whole number of images stays whole, whatever the weights' scale
    if bootstrapped is None or rarer < RARE:
        return wilson(share, size), True
    return bootstrapped, False


def _confusion(probabilities: Floats, labels: Labels, resampled: ResampledMeasures) -> dict[str, Any]:
    if not has_confusion(labels):
        return dict.fromkeys(("confusion", "weighted_confusion", "confusion_ci"))
    weights, intervals = weigh_confusion(probabilities, labels, resampled.units, rounds=resampled.rounds)
    counts_suffice = labels.given_shares is None and labels.given_weights is None
    return {
        "confusion": count_confusion(probabilities, labels),
        "weighted_confusion": None if counts_suffice else weights,
        "confusion_ci": intervals,
    }


def _label_kind(labels: Labels) -> LabelKind:
    if labels.multilabel:
        return "several"
    return "single" if labels.given_shares is None else "soft"


def _majority_accuracy(labels: Labels) -> float:
    if labels.multilabel:
        _, label_set = np.unique(labels.shares > 0, axis=0, return_inverse=True)
        totals = np.bincount(label_set.ravel(), labels.weights).astype(np.float64)
    else:
        totals = labels.class_totals
    return float(totals.max() / labels.weights.sum())


def _per_class(resampled: ResampledMeasures, labels: Labels) -> tuple[ClassMetrics, ...]:
    if labels.multilabel:
        counts = (labels.shares > 0).sum(axis=0)
    else:
        counts = np.bincount(labels.codes, minlength=len(labels.classes))
    return tuple(
        ClassMetrics(name=name, n=int(counts[index]), **_class_measures(resampled, index))
        for index, name in enumerate(labels.classes)
    )


def _class_measures(resampled: ResampledMeasures, index: int) -> dict[str, Any]:
    values = {name: resampled.values[f"class.{name}"][index] for name in CLASS_MEASURES}
    intervals = {f"{name}_ci": find_interval(resampled) for name, resampled in values.items()}
    return {name: value_or_none(resampled) for name, resampled in values.items()} | intervals


def _per_group(
    probabilities: Floats, labels: Labels, *, seed: int, resamples: tuple[int, int]
) -> tuple[GroupMetrics, ...] | None:
    """The measures of each group, by as many resamples as all images have: all groups together cost the same."""
    if labels.groups is None:
        return None
    names, of_image = np.unique(labels.groups, return_inverse=True)
    if len(names) > MOST_GROUPS:
        return None
    images = np.split(np.argsort(of_image, kind="stable"), np.cumsum(np.bincount(of_image))[:-1])
    ungrouped = replace(labels, groups=None)
    return tuple(
        _measure_group(name.decode(), probabilities[rows], ungrouped.take(rows), seed=seed, resamples=resamples)
        for name, rows in zip(names, images, strict=True)
    )


def _measure_group(
    name: str, probabilities: Floats, labels: Labels, *, seed: int, resamples: tuple[int, int]
) -> GroupMetrics:
    if not labels.weights.sum() > 0:
        return _unmeasured_group(name, len(labels))
    resampled = resample_all(probabilities, labels, seed=seed, resamples=resamples)
    measured, _ = _measure_all(resampled, correctness(probabilities, labels), labels)
    undefined = dict(explain_measures(measured, labels, units=resampled.units, whose="images of this group"))
    return GroupMetrics(name=name, undefined=undefined, **measured)


def _unmeasured_group(name: str, images: int) -> GroupMetrics:
    """A group whose images all have weight 0."""
    measures = ("accuracy", *MEASURES)
    fields = [field for measure in measures for field in (measure, f"{measure}_ci")]
    undefined = dict.fromkeys(measures, "the images of this group weigh nothing")
    return GroupMetrics(name=name, n=images, undefined=undefined, **dict.fromkeys(fields))
