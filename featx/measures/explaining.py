"""Why a measure is not defined, and how its interval was drawn, in words."""

from collections.abc import Iterator, Mapping
from typing import Any

from featx.labels import Labels
from featx.measures.confusion import MOST_CLASSES, has_confusion
from featx.measures.draws import MEASURES, Draws
from featx.measures.resampling import (
    FEW,
    RARE,
    Units,
)

MOST_GROUPS = 200
"""Of more groups the measures of each are not listed."""
FEW_UNITS = 100
"""Of fewer images, or groups, a bootstrap is rough."""
NEVER = {False: ("micro_f1", "hamming_loss"), True: ("balanced_accuracy", "ece")}
"""Measures that are of other labels, by whether images have several."""


def explain_undefined(measured: Mapping[str, Any], truth: Labels, *, units: Units) -> Iterator[tuple[str, str]]:
    """Of every field of all images that is None, why."""
    for name in NEVER[truth.multilabel]:
        yield name, "defined for images with " + ("one label" if truth.multilabel else "several labels")
    yield from explain_measures(measured, truth, units=units)
    if truth.multilabel:
        yield "confusion", "an image with several labels is taken for no single class"
    elif not has_confusion(truth):
        yield "confusion", f"{len(truth.classes)} classes are too many to list in pairs (more than {MOST_CLASSES})"
    if truth.groups is None:
        yield "per_group", "the images have no groups"
    elif units.count > MOST_GROUPS:
        yield "per_group", f"{units.count} groups are too many to list (more than {MOST_GROUPS})"


def explain_measures(
    measured: Mapping[str, Any], truth: Labels, *, units: Units, whose: str = "test images"
) -> Iterator[tuple[str, str]]:
    """Of every measure or interval that is None, why; but of those that are of no image with such labels."""
    for name in MEASURES:
        if name in NEVER[truth.multilabel]:
            continue
        if measured[name] is None:
            yield name, _no_value(name, truth, whose)
        elif measured[f"{name}_ci"] is None:
            yield f"{name}_ci", f"the same on all resamples of {units.count} {units.noun}, which so bound nothing"


def _no_value(name: str, truth: Labels, whose: str) -> str:
    """Why rankings, or F1 of several labels, are defined for no class."""
    images = whose if truth.given_weights is None else f"{whose} that weigh anything"
    if name in ("macro_f1", "micro_f1"):
        return f"no class is true of any of the {images}, and none is named"
    if truth.multilabel:
        return f"every class is true of all {images} or of none"
    only = truth.classes[int(truth.class_totals.argmax())]
    return f"all {images} are of class {only!r}, so there are no others to rank them against"


def explain_intervals(draws: Draws, truth: Labels, *, wilson: bool) -> str:
    """One sentence on how the intervals were drawn."""
    units, resamples, ranked = draws.units, draws.resamples, draws.ranked
    of = f"{units.count} {units.noun}"
    said = [f"95 % {_kind(resamples)} bootstrap of {of}, {resamples} resamples"]
    if ranked != resamples:
        others = "AUROC, average precision and confusion" if has_confusion(truth) else "AUROC and average precision"
        said.append(f"of {others} {_kind(ranked)}, {ranked} resamples")
    if "ece" in draws.values:
        said.append("of ECE further down, for it is biased upwards")
    if wilson:
        said.append(f"of accuracy Wilson's score interval, for fewer than {RARE} images' worth are wrong or right")
    if units.count < FEW_UNITS:
        said.append(f"rough, for {of} are few")
    return "; ".join(said)


def _kind(resamples: int) -> str:
    return "normal" if resamples <= FEW else "percentile"
