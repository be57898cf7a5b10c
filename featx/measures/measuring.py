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
from featx.measures.intervals import logit_interval, score_interval
from featx.measures.metrics import (
    ClassMetrics,
    GroupMetrics,
    HeadMetrics,
    LabelKind,
)
from featx.measures.per_image import Floats
from featx.measures.resampled import (
    MEASURES,
    ResampledMeasures,
    resample_all,
    value_or_none,
)

CLASS_MEASURES = {
    "precision": score_interval,
    "recall": score_interval,
    "f1": score_interval,
    "auroc": logit_interval,
    "average_precision": logit_interval,
}
"""The measures of a single class, and what computes their intervals."""


def measure(probabilities: Floats, labels: Labels, *, seed: int = 0) -> HeadMetrics:
    """All measures of these probabilities (n, classes), whose columns are in the order of `labels.classes`.

    Intervals come from a bootstrap over the images, or over whole groups if there are groups: 2,000 resamples, or 100
    if there are too many images (for rankings: images times classes). Of log loss, Brier score and calibration error,
    and of accuracy unless few images are wrong, the ends are percentiles (normal if there are 100 resamples). Other
    measures are shares, or like shares: their interval is Wilson's for as many images as a share of the same variance
    would have. That of AUROC, and of the average precision of a single class, is normal on the logit scale. All are
    wider by t / 1.96 for the number of images or groups. Log loss and Brier score have none if fewer than 5 images are
    wrong. The field `interval` says what was done. Equal seeds draw equal resamples.

    Raises TableError if shapes differ, a probability is not between 0 and 1, an image has no label, or all weights are
    0.

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
    measured = _measure_all(resampled, len(labels))
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
        undefined=dict(explain_undefined(measured, labels, resampled=resampled)),
        interval=explain_intervals(resampled, labels),
    )


def _measure_all(resampled: ResampledMeasures, n: int) -> dict[str, Any]:
    """The measures over all classes of n images, with their intervals."""
    measured: dict[str, Any] = {"n": n}
    for name in ("accuracy", *MEASURES):
        measured[name] = resampled.value(name)
        measured[f"{name}_ci"] = resampled.interval(name)
    return measured


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
    widening = resampled.units.widening
    intervals = {f"{name}_ci": CLASS_MEASURES[name](drawn, widening=widening) for name, drawn in values.items()}
    return {name: value_or_none(drawn) for name, drawn in values.items()} | intervals


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
    measured = _measure_all(resampled, len(labels))
    undefined = dict(explain_measures(measured, labels, resampled=resampled, whose="images of this group"))
    return GroupMetrics(name=name, undefined=undefined, **measured)


def _unmeasured_group(name: str, images: int) -> GroupMetrics:
    """A group whose images all have weight 0."""
    measures = ("accuracy", *MEASURES)
    fields = [field for measure in measures for field in (measure, f"{measure}_ci")]
    undefined = dict.fromkeys(measures, "the images of this group weigh nothing")
    return GroupMetrics(name=name, n=images, undefined=undefined, **dict.fromkeys(fields))
