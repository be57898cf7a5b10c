"""Measures against scikit-learn's; intervals against resampling in a loop, and against the truth they are to cover."""

from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn import metrics as reference

from featx.measures import HeadMetrics, measure
from featx.truth import Truth

Floats = NDArray[np.float64]
NAMES = ("ok", "crack", "dark", "hot")
KINDS = ("single", "weighted", "soft", "several", "several weighted")


def make_case(kind: str = "single", *, n: int = 120, seed: int = 0, rounded: bool = True) -> tuple[Floats, Truth]:
    """Probabilities, many of them equal where `rounded`, and what is true, of four classes."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(4, size=n, p=[0.5, 0.25, 0.15, 0.1])
    scores = rng.normal(size=(n, 4)) + 1.5 * np.eye(4)[labels]
    scores = np.round(scores, 1) if rounded else scores
    weights = rng.choice([0, 1 / 3, 1, 2.5], size=n) if "weighted" in kind else None
    if "several" in kind:
        shares = (rng.random((n, 4)) < [0.5, 0.3, 0.2, 0.1]).astype(np.float64)
        scores = np.round(2 * shares - 1 + rng.normal(size=(n, 4)), 1)
        return 1 / (1 + np.exp(-scores)), Truth(NAMES, np.full(n, -1), shares, weights, multilabel=True)
    if kind == "soft":
        shares = np.where(rng.random((n, 1)) < 0.5, np.eye(4)[labels], rng.dirichlet(np.ones(4), n))
        return softmax(scores, axis=1), Truth(NAMES, shares.argmax(axis=1), shares, rng.random(n))
    return softmax(scores, axis=1), Truth(NAMES, labels, weights=weights)


def expand(probabilities: Floats, truth: Truth) -> tuple[Floats, NDArray[np.int64], Floats]:
    """A row for each class that an image is of, with its label and with weight times share."""
    image, label = np.nonzero(truth.shares)
    return probabilities[image], label, truth.weight[image] * truth.shares[image, label]


def reference_single(probabilities: Floats, truth: Truth) -> dict[str, float]:
    """The measures of images with one label, or soft ones, by scikit-learn."""
    probabilities, label, weight = expand(probabilities, truth)
    guess, one_hot = probabilities.argmax(axis=1), np.eye(4)[label]
    weighted = {"sample_weight": weight}
    return {
        "accuracy": reference.accuracy_score(label, guess, **weighted),
        "balanced_accuracy": reference.balanced_accuracy_score(label, guess, **weighted),
        "macro_f1": reference.f1_score(label, guess, average="macro", **weighted),
        "auroc": reference.roc_auc_score(label, probabilities, multi_class="ovr", **weighted),
        "average_precision": reference.average_precision_score(one_hot, probabilities, **weighted),
        "log_loss": reference.log_loss(label, probabilities, **weighted),
        "brier": reference.brier_score_loss(label, probabilities, labels=np.arange(4), scale_by_half=False, **weighted),
        "ece": slow_calibration_error(probabilities, label == guess, weight),
    }


def reference_several(probabilities: Floats, truth: Truth) -> dict[str, float]:
    """The measures of images with several labels, by scikit-learn."""
    named, shares, weighted = probabilities > 0.5, truth.shares.astype(int), {"sample_weight": truth.weight}
    columns = list(zip(shares.T, probabilities.T, strict=True))
    return {
        "accuracy": reference.accuracy_score(shares, named, **weighted),
        "macro_f1": reference.f1_score(shares, named, average="macro", **weighted),
        "micro_f1": reference.f1_score(shares, named, average="micro", **weighted),
        "hamming_loss": reference.hamming_loss(shares, named, **weighted),
        "auroc": reference.roc_auc_score(shares, probabilities, average="macro", **weighted),
        "average_precision": reference.average_precision_score(shares, probabilities, average="macro", **weighted),
        "log_loss": float(np.mean([reference.log_loss(of, given, **weighted) for of, given in columns])),
        "brier": float(np.mean([reference.brier_score_loss(of, given, **weighted) for of, given in columns])),
    }


def slow_calibration_error(probabilities: Floats, right: NDArray[np.bool_], weight: Floats) -> float:
    """Guo et al. 2017, equation 3, bin by bin."""
    highest, edges, error = probabilities.max(axis=1), np.arange(16) / 15, 0.0
    for low, high in pairwise(edges):
        inside = (highest > low) & (highest <= high)
        if weight[inside].sum() > 0:
            gap = np.average(right[inside], weights=weight[inside]) - np.average(
                highest[inside], weights=weight[inside]
            )
            error += weight[inside].sum() / weight.sum() * abs(gap)
    return error


def reference_of(probabilities: Floats, truth: Truth) -> dict[str, float]:
    return (reference_several if truth.multilabel else reference_single)(probabilities, truth)


def values_of(found: HeadMetrics) -> dict[str, float]:
    """The measures that are defined, by name."""
    values = asdict(found)
    return {name.removesuffix("_ci"): values[name.removesuffix("_ci")] for name in values if name.endswith("_ci")} | {
        "majority_accuracy": found.majority_accuracy
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rounded", [True, False])
def test_every_measure_equals_scikit_learns(kind: str, rounded: bool) -> None:
    probabilities, truth = make_case(kind, rounded=rounded)
    found = measure(probabilities, truth)
    for name, expected in reference_of(probabilities, truth).items():
        assert getattr(found, name) == pytest.approx(expected, abs=1e-12), name


@pytest.mark.parametrize("kind", KINDS)
def test_the_measures_of_each_class_equal_scikit_learns(kind: str) -> None:
    probabilities, truth = make_case(kind)
    found = measure(probabilities, truth)
    for column, row in enumerate(found.per_class):
        if truth.multilabel:
            of, weight, given = truth.shares[:, column], truth.weight, probabilities[:, column]
            named = given > 0.5
        else:
            expanded, label, weight = expand(probabilities, truth)
            of, given, named = label == column, expanded[:, column], expanded.argmax(axis=1) == column
        expected = reference.precision_recall_fscore_support(of, named, sample_weight=weight, average="binary")[:3]
        assert (row.precision, row.recall, row.f1) == pytest.approx(expected)
        assert row.auroc == pytest.approx(reference.roc_auc_score(of, given, sample_weight=weight))
        assert row.average_precision == pytest.approx(
            reference.average_precision_score(of, given, sample_weight=weight)
        )


@pytest.mark.parametrize("kind", ["single", "weighted", "soft"])
def test_both_confusions_equal_scikit_learns(kind: str) -> None:
    probabilities, truth = make_case(kind)
    found, guess = measure(probabilities, truth), probabilities.argmax(axis=1)
    assert np.array_equal(found.confusion or (), reference.confusion_matrix(truth.labels, guess))
    expanded, label, weight = expand(probabilities, truth)
    expected = reference.confusion_matrix(label, expanded.argmax(axis=1), sample_weight=weight)
    if kind == "single":
        assert found.weighted_confusion is None
    else:
        assert found.weighted_confusion is not None
        assert np.allclose(found.weighted_confusion, expected)


def test_the_baseline_is_what_naming_the_most_frequent_reaches() -> None:
    for kind in ("weighted", "soft"):
        _, truth = make_case(kind)
        most = np.eye(4)[np.full(len(truth), (truth.weight @ truth.shares).argmax())]
        assert measure(most, truth).accuracy == pytest.approx(measure(most, truth).majority_accuracy)
    _, truth = make_case("several weighted")
    sets = {tuple(row) for row in truth.shares}
    accuracies = [measure(np.tile(one, (len(truth), 1)), truth).accuracy for one in sets]
    assert measure(truth.shares, truth).majority_accuracy == pytest.approx(max(accuracies))
