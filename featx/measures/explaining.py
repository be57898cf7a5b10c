"""Sentences that explain why a measure is undefined and how its interval was computed.

Results on disk contain these sentences: a changed word makes equal results differ.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from featx.labels import Labels
from featx.measures.confusion import MOST_CLASSES, has_confusion
from featx.measures.intervals import RARE
from featx.measures.resampled import (
    LEAST_WRONG,
    LOSSES,
    MEASURES,
    ResampledMeasures,
)
from featx.measures.resampling import FEW_RESAMPLES

MOST_GROUPS = 200
"""The measures of single groups are not listed for more groups."""
FEW_UNITS = 100
"""A bootstrap of fewer images, or groups, is rough."""
INAPPLICABLE = {False: ("micro_f1", "hamming_loss"), True: ("balanced_accuracy", "ece")}
"""The measures that do not apply, by whether images are multi-label."""


def explain_undefined(
    measured: Mapping[str, Any], labels: Labels, *, resampled: ResampledMeasures
) -> Iterator[tuple[str, str]]:
    """Name and reason of every field of HeadMetrics that is None."""
    for name in INAPPLICABLE[labels.multilabel]:
        yield name, "defined for images with " + ("one label" if labels.multilabel else "several labels")
    yield from explain_measures(measured, labels, resampled=resampled)
    if labels.multilabel:
        yield "confusion", "an image with several labels is taken for no single class"
    elif not has_confusion(labels):
        yield "confusion", f"{len(labels.classes)} classes are too many to list in pairs (more than {MOST_CLASSES})"
    if labels.groups is None:
        yield "per_group", "the images have no groups"
    elif resampled.units.count > MOST_GROUPS:
        yield "per_group", f"{resampled.units.count} groups are too many to list (more than {MOST_GROUPS})"


def explain_measures(
    measured: Mapping[str, Any], labels: Labels, *, resampled: ResampledMeasures, whose: str = "test images"
) -> Iterator[tuple[str, str]]:
    """Name and reason of every measure or interval that is None, without measures that do not apply to such labels."""
    for name in MEASURES:
        if name in INAPPLICABLE[labels.multilabel]:
            continue
        if measured[name] is None:
            yield name, _explain_measure(name, labels, whose)
        elif measured[f"{name}_ci"] is None:
            yield f"{name}_ci", _explain_interval(name, resampled)


def _explain_interval(name: str, resampled: ResampledMeasures) -> str:
    """Why a measure that is defined has no interval."""
    units = resampled.units
    if not np.isfinite(units.widening):
        nearly = "nearly " if np.count_nonzero(units.weights) > 1 else ""
        return f"{nearly}all weight is on one of {units.count} {units.noun}, which says nothing about others"
    if name in LOSSES and resampled.sizes.wrong < LEAST_WRONG:
        return (
            f"fewer than {LEAST_WRONG} images' worth are wrong, so that rare large losses may not be among these images"
        )
    return f"the same on all resamples of {units.count} {units.noun}, which so bound nothing"


def _explain_measure(name: str, labels: Labels, whose: str) -> str:
    """Why AUROC, average precision or a multi-label F1 is undefined for every class."""
    images = whose if labels.given_weights is None else f"{whose} that weigh anything"
    if name in ("macro_f1", "micro_f1"):
        return f"no class is true of any of the {images}, and none is named"
    if labels.multilabel:
        return f"every class is true of all {images} or of none"
    only = labels.classes[int(labels.class_totals.argmax())]
    return f"all {images} are of class {only!r}, so there are no others to rank them against"


def explain_intervals(resampled: ResampledMeasures, labels: Labels) -> str:
    """How the intervals were computed, in one line."""
    units = resampled.units
    resamples = resampled.resamples
    curve_resamples = resampled.curve_resamples
    parts = [f"95 % {_kind(resamples)} bootstrap of {units.count} {units.noun}, {resamples} resamples"]
    if curve_resamples != resamples:
        costly = "AUROC, average precision and confusion" if has_confusion(labels) else "AUROC and average precision"
        parts.append(f"of {costly} {_kind(curve_resamples)}, {curve_resamples} resamples")
    parts.append(
        "of shares, F1 and average precision Wilson's for the variance of the resamples, of AUROC normal on the logit"
    )
    if "ece" in resampled.values:
        parts.append("of ECE further down, for it is biased upwards")
    if resampled.accuracy_is_rare:
        why = f"of {units.noun}" if units.grouped else f"for fewer than {RARE} images' worth are wrong or right"
        parts.append(f"of accuracy Wilson's score interval, {why}")
    if units.grouped:
        parts.append(f"wider by t with {units.freedom:.1f} degrees of freedom")
    if units.count < FEW_UNITS:
        parts.append(f"rough, for {units.count} {units.noun} are few")
    return "; ".join(parts)


def _kind(resamples: int) -> str:
    return "normal" if resamples <= FEW_RESAMPLES else "percentile"
