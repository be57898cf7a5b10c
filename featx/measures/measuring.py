"""Probabilities and what is true in; every measure with its interval out."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from featx.errors import TableError
from featx.measures.images import Floats, class_share, right_share
from featx.measures.metrics import ClassMetrics, GroupMetrics, HeadMetrics, Interval, Labels
from featx.measures.ranking import rank_classes
from featx.measures.resampling import (
    ENDS,
    FEW,
    RARE,
    Units,
    affordable,
    effective_size,
    find_interval,
    units_of,
    wilson,
)
from featx.measures.sums import SumsOverImages
from featx.truth import Truth

MOST_GROUPS = 1000
"""Of more groups the accuracy of each is not listed."""
FEW_UNITS = 30
"""Of fewer images, or groups, a bootstrap is rough."""
OF_CLASS = ("precision", "recall", "f1", "auroc", "average_precision")
SEVERAL_ONLY = ("micro_f1", "hamming_loss")
ONE_ONLY = ("balanced_accuracy", "ece")
MEASURES = (
    *("balanced_accuracy", "macro_f1", "micro_f1", "auroc", "average_precision"),
    *("log_loss", "brier", "ece", "hamming_loss"),
)
"""All but accuracy, whose interval may be another."""
BOUNDS: Mapping[str, Interval] = {"log_loss": (0.0, np.inf), "brier": (0.0, 2.0)}
"""Between what a measure lies, where that is not 0 and 1."""


def measure(probabilities: Floats, truth: Truth, *, seed: int = 0) -> HeadMetrics:
    """The measures of these probabilities (n, classes), their columns in the order of truth's classes.

    Intervals are those of a bootstrap over the images, or over whole groups where there are some: 2,000 resamples, or
    100 and a normal interval where images, times classes for rankings, are too many; `interval` tells. The same seed
    draws the same resamples. Raises TableError where the shapes differ, a number is no probability, or nothing weighs
    anything.
    """
    probabilities = check_probabilities(probabilities, truth)
    units = units_of(truth)
    resamples, ranked = affordable(len(truth)), affordable(probabilities.size)
    draws = _draw(probabilities, truth, units, resamples=resamples, ranked=ranked, seed=seed)
    measured = {name: _value(draws.get(name)) for name in MEASURES}
    intervals = {name: _interval(name, draws) for name in MEASURES}
    accuracy_ci, is_rare = _accuracy_interval(draws["accuracy"], right_share(probabilities, truth), truth, units)
    confusion, weighted_confusion = _confusions(probabilities, truth)
    return HeadMetrics(
        n=len(truth),
        labels=_labels(truth),
        accuracy=float(draws["accuracy"][0]),
        accuracy_ci=accuracy_ci,
        majority_accuracy=_majority(truth),
        **measured,  # type: ignore[arg-type]
        **{f"{name}_ci": interval for name, interval in intervals.items()},  # type: ignore[arg-type]
        per_class=_per_class(draws, truth),
        per_group=_per_group(right_share(probabilities, truth), truth),
        confusion=confusion,
        weighted_confusion=weighted_confusion,
        weighted=truth.weights is not None,
        undefined=dict(_undefined(measured, intervals, truth, units=units)),
        interval=_how(units, resamples=resamples, ranked=ranked, rare=is_rare, calibrated=not truth.multilabel),
    )


def check_probabilities(probabilities: Floats, truth: Truth) -> Floats:
    """The probabilities as float64. Raises TableError where they cannot be measured against what is true."""
    shape = len(truth), len(truth.classes)
    if probabilities.shape != shape:
        raise TableError(f"the probabilities are {probabilities.shape} but images and classes are {shape}; align them")
    if not len(truth):
        raise TableError("there is no image to measure on; give some with labels")
    weight = truth.weight
    if not (weight >= 0).all() or not 0 < weight.sum() < np.inf:
        raise TableError("the weights of the evaluated images are all 0, or one is below 0; give some of them a weight")
    values: Floats = probabilities.astype(np.float64, copy=False)
    lowest, highest = values.min(), values.max()
    if not (lowest >= -1e-6 and highest <= 1 + 1e-6):
        raise TableError(f"probabilities lie between {lowest:g} and {highest:g}, not 0 and 1; normalise them")
    if not truth.multilabel and not np.allclose(total := values.sum(axis=1), 1, atol=1e-3):
        row = int(np.abs(total - 1).argmax())
        raise TableError(f"the probabilities of row {row} sum to {total[row]:g}, not 1; normalise them")
    return values


def _draw(
    probabilities: Floats, truth: Truth, units: Units, *, resamples: int, ranked: int, seed: int
) -> dict[str, Floats]:
    """Every measure on the images themselves and on each resample, (1 + b,) or (classes, 1 + b); NaN: not defined."""
    summed, measured, held, left = SumsOverImages(probabilities, truth, units), [], [], ranked + 1
    for counts in units.draw(resamples, seed=seed):
        measured.append(summed.measure(counts))
        held.append(counts[:, :left])
        left -= held[-1].shape[1]
    draws = {name: np.concatenate([part[name] for part in measured], axis=-1) for name in measured[0]}
    rounds = [counts for counts in held if counts.shape[1]]
    return draws | rank_classes(probabilities, truth, units, rounds=rounds)


def _value(draws: Floats | None) -> float | None:
    return None if draws is None or not np.isfinite(draws[0]) else float(draws[0])


def _interval(name: str, draws: Mapping[str, Floats]) -> Interval | None:
    if name not in draws:
        return None
    interval = find_interval(draws[name], bounds=BOUNDS.get(name, (0.0, 1.0)))
    return _widen(interval, draws["bin.gap"]) if name == "ece" and interval else interval


def _widen(interval: Interval, gaps: Floats) -> Interval:
    """The interval of the calibration error, its lower end no higher than the error's own noise allows.

    The error is biased upwards, resamples of it twice, and even a head without any has some in a sample. But it is off
    by no more than its bins' gaps (bins, 1 + b) are, all together: by what that is on 97.5 % of the resamples.
    """
    apart = np.abs(gaps[:, 1:] - gaps[:, :1]).sum(axis=0)
    least = float(np.abs(gaps[:, 0]).sum() - np.quantile(apart[np.isfinite(apart)], ENDS[1]))
    return max(0.0, min(least, interval[0])), interval[1]


def _accuracy_interval(draws: Floats, right: Floats, truth: Truth, units: Units) -> tuple[Interval, bool]:
    """The interval of accuracy, and whether it is Wilson's, for too few are wrong, or right, to be resampled."""
    size, share = effective_size(right, truth.weight, units), float(draws[0])
    bootstrapped = find_interval(draws)
    if bootstrapped is None or size * min(share, 1 - share) < RARE:
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
        weights = _class_weights(truth)
    return float(weights.max() / truth.weight.sum())


def _class_weights(truth: Truth) -> Floats:
    if truth.given is None:
        return np.bincount(truth.labels, truth.weight, len(truth.classes)).astype(np.float64)
    weights: Floats = truth.weight @ truth.given
    return weights


def _confusions(
    probabilities: Floats, truth: Truth
) -> tuple[tuple[tuple[int, ...], ...] | None, tuple[tuple[float, ...], ...] | None]:
    if truth.multilabel:
        return None, None
    classes, guess = len(truth.classes), probabilities.argmax(axis=1)
    counts = np.bincount(truth.labels * classes + guess, minlength=classes**2).reshape(classes, classes)
    confusion = tuple(map(tuple, counts.tolist()))
    if truth.given is None and truth.weights is None:
        return confusion, None
    columns = (np.bincount(guess, truth.weight * class_share(truth, column), classes) for column in range(classes))
    return confusion, tuple(tuple(column.tolist()) for column in columns)


def _per_class(draws: Mapping[str, Floats], truth: Truth) -> tuple[ClassMetrics, ...]:
    if truth.multilabel:
        counts = (truth.shares > 0).sum(axis=0)
    else:
        counts = np.bincount(truth.labels, minlength=len(truth.classes))
    return tuple(
        ClassMetrics(name=name, n=int(counts[index]), **_of_class(draws, index))
        for index, name in enumerate(truth.classes)
    )


def _of_class(draws: Mapping[str, Floats], index: int) -> dict[str, Any]:
    values = {name: draws[f"class.{name}"][index] for name in OF_CLASS}
    intervals = {f"{name}_ci": find_interval(drawn) for name, drawn in values.items()}
    return {name: _value(drawn) for name, drawn in values.items()} | intervals


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


def _undefined(
    measured: Mapping[str, float | None], intervals: Mapping[str, Interval | None], truth: Truth, *, units: Units
) -> Iterator[tuple[str, str]]:
    """Of every field that is None, why."""
    other = ONE_ONLY if truth.multilabel else SEVERAL_ONLY
    for name, value in measured.items():
        if name in other:
            yield name, "defined for images with " + ("one label" if truth.multilabel else "several labels")
        elif value is None:
            yield name, _no_value(name, truth)
        elif intervals[name] is None:
            yield f"{name}_ci", f"resamples of {units.count} {units.noun} all give {value:.4g}, so they bound nothing"
    if truth.multilabel:
        yield "confusion", "an image with several labels is taken for no single class"
    if truth.groups is None:
        yield "per_group", "the images have no groups"
    elif units.count > MOST_GROUPS:
        yield "per_group", f"{units.count} groups are too many to list (more than {MOST_GROUPS})"


def _no_value(name: str, truth: Truth) -> str:
    """Why rankings, or F1 of several labels, are defined for no class."""
    images = "test images" if truth.weights is None else "test images that weigh anything"
    if name in ("macro_f1", "micro_f1"):
        return f"no class is true of any of the {images}, and none is named"
    if truth.multilabel:
        return f"every class is true of all {images} or of none"
    only = truth.classes[int(_class_weights(truth).argmax())]
    return f"all {images} are of class {only!r}, so there are no others to rank them against"


def _how(units: Units, *, resamples: int, ranked: int, rare: bool, calibrated: bool) -> str:
    """One sentence on how the intervals were drawn."""
    of = f"{units.count} {units.noun}"
    said = [f"95 % {_kind(resamples)} bootstrap of {of}, {resamples} resamples"]
    if ranked != resamples:
        said.append(f"of AUROC and average precision {_kind(ranked)}, {ranked} resamples")
    if calibrated:
        said.append("of ECE further down, for it is biased upwards")
    if rare:
        said.append(f"of accuracy Wilson's score interval, for fewer than {RARE} images' worth are wrong or right")
    if units.count < FEW_UNITS:
        said.append(f"rough, for {of} are few")
    return "; ".join(said)


def _kind(resamples: int) -> str:
    return "normal" if resamples <= FEW else "percentile"
