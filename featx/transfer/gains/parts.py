"""The gain on each class and on each group of the test images: harm is often local."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from featx.compare import Outcome, SplitImages
from featx.transfer.gains.constant import settle
from featx.transfer.gains.gain import PartGain, correct_parts
from featx.transfer.gains.predictors import Predictor
from featx.transfer.scores.rows import Indices

MOST_CLASSES = 100
"""Classes that are compared one by one: those with the most test images."""
MOST_GROUPS = 20
"""Groups that are compared one by one: those with the most test images."""

Places: TypeAlias = Mapping[str, Sequence[Indices]]
"""For each class or group, the positions of its test images in every split."""
PartGains: TypeAlias = Mapping[str, tuple[PartGain, ...]]
"""Name of a source -> its gain on each class or group."""


def compare_classes(images: SplitImages, sources: Sequence[Predictor], best: Predictor) -> PartGains:
    """The gain of each source on each class; none for several labels, or if the best always predicts one class."""
    if images.multilabel or best.fixed:
        return {}
    return _compare_parts(images, sources, best, _classes(images))


def compare_groups(images: SplitImages, sources: Sequence[Predictor], best: Predictor) -> PartGains:
    """The gain of each source on each group, whose images count as independent; none for several labels."""
    if images.multilabel or images.labels[0].groups is None:
        return {}
    return _compare_parts(images, sources, best, _groups(images), within_group=True)


def _compare_parts(
    images: SplitImages,
    sources: Sequence[Predictor],
    best: Predictor,
    places: Places,
    *,
    within_group: bool = False,
) -> PartGains:
    """For each source the gain on each part, corrected over its parts."""
    found: dict[str, list[PartGain]] = {source.name: [] for source in sources}
    for name, of_part in places.items():
        part = images.take(of_part)
        part = part.without_groups() if within_group else part
        shortened = [_restrict(one, of_part, part) for one in (*sources, best)]
        pairs = [(source.name, best.name) for source in sources]
        comparisons = part.compare({one.name: one.outcomes for one in shortened}, pairs)
        for source, compared in zip(shortened, comparisons, strict=False):
            settled = settle(compared, part, source, shortened[-1])
            found[source.name].append(
                PartGain(name, len(part.tested), settled.difference, settled.interval, settled.p, None, "undecided")
            )
    return {name: correct_parts(parts) for name, parts in found.items()}


def _restrict(predictor: Predictor, places: Sequence[Indices], part: SplitImages) -> Predictor:
    """The predictor on the test images of one part; it is compared by accuracy there."""
    correct = tuple(of_split[some] for of_split, some in zip(predictor.correct, places, strict=True) if len(some))
    outcomes = tuple(
        Outcome(float(np.average(of_split, weights=labels.weights)), of_split)
        for of_split, labels in zip(correct, part.labels, strict=True)
    )
    return replace(predictor, outcomes=outcomes, correct=correct)


def _classes(images: SplitImages) -> Places:
    codes = [labels.codes for labels in images.labels]
    names = images.labels[0].classes
    return {
        names[code]: [np.flatnonzero(of_split == code) for of_split in codes] for code in _largest(codes, MOST_CLASSES)
    }


def _groups(images: SplitImages) -> Places:
    groups = [labels.groups for labels in images.labels if labels.groups is not None]
    return {
        name.decode(): [np.flatnonzero(of_split == name) for of_split in groups]
        for name in _largest(groups, MOST_GROUPS)
    }


def _largest(values: Sequence[NDArray[Any]], most: int) -> Iterator[Any]:
    names, counts = np.unique(np.concatenate(values), return_counts=True)
    chosen = np.sort(np.argsort(-counts, kind="stable")[:most])
    yield from names[chosen]


def notes_on_parts(images: SplitImages) -> Iterator[str]:
    """Which classes and groups are not compared one by one."""
    if images.multilabel:
        yield "several labels an image: classes and groups are not compared one by one"
        return
    for what, most, values in (
        ("classes", MOST_CLASSES, [labels.codes for labels in images.labels]),
        ("groups", MOST_GROUPS, [labels.groups for labels in images.labels if labels.groups is not None]),
    ):
        count = len(np.unique(np.concatenate(values))) if values else 0
        if count > most:
            yield f"{what} one by one: only the {most} of {count:,} with the most test images"
