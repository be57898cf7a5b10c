"""Measures against scikit-learn's; intervals against resampling in a loop, and against the labels they are to cover."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray
from scipy.special import expit, logit, softmax
from scipy.stats import binom, binomtest, norm, t
from sklearn import metrics as reference

from featx.errors import TableError
from featx.labels import Labels
from featx.measures import (
    HeadMetrics,
    explaining,
    intervals,
    measure,
    resampled,
    resampling,
)
from featx.measures.intervals import effective_size, score_interval
from featx.measures.resampling import units_of
from tests.support.sizes import shortened

Floats = NDArray[np.float64]
NAMES = ("ok", "crack", "dark", "hot")
KINDS = ("single", "weighted", "soft", "several", "several weighted")


def make_case(kind: str = "single", *, n: int = 120, seed: int = 0, rounded: bool = True) -> tuple[Floats, Labels]:
    """Probabilities, many of them equal where `rounded`, and what is true, of four classes."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(4, size=n, p=[0.5, 0.25, 0.15, 0.1])
    scores = rng.normal(size=(n, 4)) + 1.5 * np.eye(4)[labels]
    scores = np.round(scores, 1) if rounded else scores
    weights = rng.choice([0, 1 / 3, 1, 2.5], size=n) if "weighted" in kind else None
    if "several" in kind:
        shares = (rng.random((n, 4)) < [0.5, 0.3, 0.2, 0.1]).astype(np.float64)
        scores = np.round(2 * shares - 1 + rng.normal(size=(n, 4)), 1)
        return 1 / (1 + np.exp(-scores)), Labels(NAMES, np.full(n, -1), shares, weights, multilabel=True)
    if kind == "soft":
        shares = np.where(rng.random((n, 1)) < 0.5, np.eye(4)[labels], rng.dirichlet(np.ones(4), n))
        return softmax(scores, axis=1), Labels(NAMES, shares.argmax(axis=1), shares, rng.random(n))
    return softmax(scores, axis=1), Labels(NAMES, labels, given_weights=weights)


def expand(probabilities: Floats, labels: Labels) -> tuple[Floats, NDArray[np.int64], Floats]:
    """A row for each class that an image is of, with its label and with weight times share."""
    image, label = np.nonzero(labels.shares)
    return probabilities[image], label, labels.weights[image] * labels.shares[image, label]


def reference_single(probabilities: Floats, labels: Labels) -> dict[str, float]:
    """The measures of images with one label, or soft ones, by scikit-learn."""
    probabilities, label, weight = expand(probabilities, labels)
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


def reference_several(probabilities: Floats, labels: Labels) -> dict[str, float]:
    """The measures of images with several labels, by scikit-learn."""
    named, shares, weighted = probabilities > 0.5, labels.shares.astype(int), {"sample_weight": labels.weights}
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


def reference_of(probabilities: Floats, labels: Labels) -> dict[str, float]:
    return (reference_several if labels.multilabel else reference_single)(probabilities, labels)


def values_of(found: HeadMetrics) -> dict[str, float]:
    """The measures that are defined, by name."""
    return {name: getattr(found, name) for name in ("accuracy", *resampled.MEASURES, "majority_accuracy")}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rounded", [True, False])
def test_every_measure_equals_scikit_learns(kind: str, rounded: bool) -> None:
    probabilities, labels = make_case(kind, rounded=rounded)
    found = measure(probabilities, labels)
    for name, expected in reference_of(probabilities, labels).items():
        assert getattr(found, name) == pytest.approx(expected, abs=1e-12), name


@pytest.mark.parametrize("kind", KINDS)
def test_the_measures_of_each_class_equal_scikit_learns(kind: str) -> None:
    probabilities, labels = make_case(kind)
    found = measure(probabilities, labels)
    for column, row in enumerate(found.per_class):
        if labels.multilabel:
            of, weight, given = labels.shares[:, column], labels.weights, probabilities[:, column]
            named = given > 0.5
        else:
            expanded, label, weight = expand(probabilities, labels)
            of, given, named = label == column, expanded[:, column], expanded.argmax(axis=1) == column
        expected = reference.precision_recall_fscore_support(of, named, sample_weight=weight, average="binary")[:3]
        assert (row.precision, row.recall, row.f1) == pytest.approx(expected)
        assert row.auroc == pytest.approx(reference.roc_auc_score(of, given, sample_weight=weight))
        assert row.average_precision == pytest.approx(
            reference.average_precision_score(of, given, sample_weight=weight)
        )


@pytest.mark.parametrize("kind", ["single", "weighted", "soft"])
def test_both_confusions_equal_scikit_learns(kind: str) -> None:
    probabilities, labels = make_case(kind)
    found, guess = measure(probabilities, labels), probabilities.argmax(axis=1)
    assert np.array_equal(found.confusion or (), reference.confusion_matrix(labels.codes, guess))
    expanded, label, weight = expand(probabilities, labels)
    expected = reference.confusion_matrix(label, expanded.argmax(axis=1), sample_weight=weight)
    if kind == "single":
        assert found.weighted_confusion is None
    else:
        assert found.weighted_confusion is not None
        assert np.allclose(found.weighted_confusion, expected)


def test_the_baseline_is_what_naming_the_most_frequent_reaches() -> None:
    for kind in ("weighted", "soft"):
        _, labels = make_case(kind)
        most = np.eye(4)[np.full(len(labels), (labels.weights @ labels.shares).argmax())]
        assert measure(most, labels).accuracy == pytest.approx(measure(most, labels).majority_accuracy)
    _, labels = make_case("several weighted")
    sets = {tuple(row) for row in labels.shares}
    accuracies = [measure(np.tile(one, (len(labels), 1)), labels).accuracy for one in sets]
    assert measure(labels.shares, labels).majority_accuracy == pytest.approx(max(accuracies))


def loop_draws(probabilities: Floats, labels: Labels, *, of: int, seed: int) -> dict[str, list[float]]:
    """scikit-learn's measures of resamples made one by one, of the same random numbers."""
    rng, units = np.random.default_rng(seed), units_of(labels)
    found: dict[str, list[float]] = {}
    for _ in range(of):
        drawn = rng.integers(units.count, size=units.count)
        rows = np.concatenate([np.flatnonzero(units.of_image == unit) for unit in drawn])
        for name, value in reference_of(probabilities[rows], labels.take(rows)).items():
            found.setdefault(name, []).append(value)
    return found


def widened(drawn: list[float], value: float, factor: float) -> tuple[float, float]:
    """Percentiles of the draws, moved away from the value by this factor."""
    low, high = np.quantile(drawn, [0.025, 0.975])
    return value - factor * (value - low), value + factor * (high - value)


def score_ends(drawn: list[float], value: float, factor: float, *, most: float = np.inf) -> tuple[float, float]:
    """The shares whose distance from the value is 1.96 of their own standard errors: roots of Wilson's equation."""
    size = min(value * (1 - value) / float(np.var(drawn, ddof=1)), most) / factor**2
    z = norm.ppf(0.975) ** 2 / size
    ends = [float(root) for root in np.roots([1 + z, -2 * value - z, value**2]).real]
    return min(ends), max(ends)


def logit_ends(drawn: list[float], value: float, factor: float) -> tuple[float, float]:
    half = norm.ppf(0.975) * factor * np.std(drawn, ddof=1) / (value * (1 - value))
    low, high = expit(logit(value) + np.array([-half, half]))
    return float(low), float(high)


def factor_of(labels: Labels) -> float:
    """How much wider intervals are than the bootstrap's, by the number of images or groups."""
    units = units_of(labels)
    sums = np.bincount(units.of_image, labels.weights)
    sums = sums[sums > 0]
    freedom = sums.sum() ** 2 / np.sum(sums**2) - 1
    return float(t.ppf(0.975, freedom) / norm.ppf(0.975) * np.sqrt(len(sums) / (len(sums) - 1)))


def balanced_size(labels: Labels) -> float:
    """Kish's size of the images, all classes weighing the same."""
    shares = labels.weights[:, None] * labels.shares
    weights = (shares / shares.sum(axis=0)).sum(axis=1)
    return float(weights.sum() ** 2 / np.sum(weights**2))


@pytest.mark.parametrize(
    "kind", shortened(["weighted groups", "several weighted", "soft", "several", "single", "weighted"], most=2)
)
def test_every_resample_measures_what_scikit_learn_measures_on_its_rows(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resampled, "RESAMPLES", 20)
    monkeypatch.setattr(intervals, "FEW_RESAMPLES", 3)
    monkeypatch.setattr(resampled, "RARE", 0)
    probabilities, labels = make_case(kind)
    if "groups" in kind:
        labels = replace(labels, groups=np.repeat(np.arange(30), 4).astype("S"))
    expected, found = loop_draws(probabilities, labels, of=20, seed=5), measure(probabilities, labels, seed=5)
    factor, most = factor_of(labels), balanced_size(labels)
    for name in expected.keys() - {"ece", "accuracy"}:
        value = getattr(found, name)
        if name in ("log_loss", "brier"):
            low, high = widened(expected[name], value, factor)
            error = np.std(expected[name], ddof=1) / value
            ends = low, max(high, value * np.exp(norm.ppf(0.975) * factor * error))
        elif name == "auroc":
            ends = logit_ends(expected[name], value, factor)
        elif name in ("balanced_accuracy", "macro_f1", "average_precision"):
            ends = score_ends(expected[name], value, factor, most=most)
        else:
            ends = score_ends(expected[name], value, factor)
        assert getattr(found, f"{name}_ci") == pytest.approx(ends, abs=1e-6), name
    if labels.groups is None:
        assert found.accuracy_ci == pytest.approx(widened(expected["accuracy"], found.accuracy, factor))
    if found.ece_ci:
        assert found.ece_ci[1] == pytest.approx(widened(expected["ece"], found.ece or 0, factor)[1])


def test_the_resamples_do_not_depend_on_how_many_are_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities, labels = make_case("weighted")
    expected = measure(probabilities, labels, seed=3)
    monkeypatch.setattr(resampling, "COUNTS_PER_ROUND", 1)
    assert measure(probabilities, labels, seed=3) == expected


def test_if_resamples_cost_too_much_the_interval_is_normal_and_nearly_equal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    probabilities, labels = make_case("weighted", n=600)
    many = measure(probabilities, labels)
    monkeypatch.setattr(resampling, "AFFORDABLE", resampled.RESAMPLES * 600)
    ranked = measure(probabilities, labels)
    assert "of AUROC, average precision and confusion normal, 100 resamples" in ranked.interval
    assert ranked.accuracy_ci == many.accuracy_ci
    assert ranked.auroc_ci == pytest.approx(many.auroc_ci, abs=0.01)
    monkeypatch.setattr(resampling, "AFFORDABLE", 0)
    few = measure(probabilities, labels)
    assert few.interval.startswith("95 % normal bootstrap of 600 images, 100 resamples")
    assert few.accuracy_ci == pytest.approx(many.accuracy_ci, abs=0.015)
    assert few.log_loss_ci == pytest.approx(many.log_loss_ci, abs=0.05)


def test_equal_seeds_give_equal_intervals_and_others_do_not() -> None:
    probabilities, labels = make_case()
    assert measure(probabilities, labels, seed=1) == measure(probabilities, labels, seed=1)
    assert measure(probabilities, labels, seed=1).auroc_ci != measure(probabilities, labels, seed=2).auroc_ci


@pytest.mark.parametrize(("right", "n"), [(80, 100), (560, 656)])
def test_the_interval_of_accuracy_is_that_of_the_binomial_distribution(right: int, n: int) -> None:
    labels, probabilities = Labels(("a", "b"), np.zeros(n, np.int64)), np.eye(2)[(np.arange(n) >= right).astype(int)]
    expected = binom.ppf([0.025, 0.975], n, right / n) / n
    assert measure(probabilities, labels).accuracy_ci == pytest.approx(expected, abs=1.01 / n)


@pytest.mark.parametrize(("right", "n"), [(100, 100), (0, 7), (1, 1), (97, 100), (3, 12)])
def test_if_few_are_wrong_the_interval_of_accuracy_is_wilsons(right: int, n: int) -> None:
    labels, probabilities = Labels(("a", "b"), np.zeros(n, np.int64)), np.eye(2)[(np.arange(n) >= right).astype(int)]
    found = measure(probabilities, labels)
    expected = binomtest(right, n).proportion_ci(method="wilson")
    assert found.accuracy_ci == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert "of accuracy Wilson's score interval" in found.interval


def test_equal_images_of_a_group_count_as_one() -> None:
    right = np.array([1, 1, 1, 0, 1, 1, 0, 1, 1, 1.0])
    alone = Labels(("a",), np.zeros(10, np.int64))
    grouped = Labels(("a",), np.zeros(100, np.int64), groups=np.repeat(np.arange(10), 10).astype("S"))
    size = effective_size(np.repeat(right, 10), grouped.weights, units_of(grouped))
    assert effective_size(right, alone.weights, units_of(alone)) == pytest.approx(10)
    assert size == pytest.approx(10 * (1.959964 / t.ppf(0.975, 9)) ** 2)


def test_with_unequal_weights_fewer_images_count() -> None:
    labels = Labels(("a",), np.zeros(4, np.int64), given_weights=np.array([1.0, 1, 1, 3]))
    assert effective_size(np.ones(4), labels.weights, units_of(labels)) == pytest.approx(36 / 12)


def share_of_right(rng: np.random.Generator, kind: str) -> tuple[Floats, Labels]:
    """Which of some images are right, nine in ten of all there are, and how they were sampled."""
    n, weights, groups, chance = 100, None, None, np.full(100, 0.9)
    if kind == "few wrong":
        n, chance = 25, np.full(25, 0.9)
    elif kind == "weighted":
        weights = rng.choice([1 / 3, 1.0], 100)
    elif kind == "few groups":
        n, groups = 100, np.repeat(np.arange(5), 20).astype("S")
        chance = np.repeat(rng.beta(9, 1, 5), 20)
    elif kind == "groups":
        n, groups = 240, np.repeat(np.arange(40), 6).astype("S")
        chance = np.repeat(rng.beta(3.6, 0.4, 40), 6)
    return (rng.random(n) < chance).astype(np.float64), Labels(("a", "b"), np.zeros(n, np.int64), None, weights, groups)


@pytest.mark.parametrize("kind", shortened(["plain", "few groups", "few wrong", "weighted", "groups"]))
def test_nineteen_in_twenty_intervals_of_accuracy_hold_the_true_one(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampled, "RESAMPLES", 100)
    rng, held = np.random.default_rng(0), 0
    for seed in range(300):
        right, labels = share_of_right(rng, kind)
        low, high = measure(np.stack([right, 1 - right], axis=1), labels, seed=seed).accuracy_ci
        held += low <= 0.9 <= high
    assert 0.91 <= held / 300 <= 0.99


@pytest.mark.parametrize(("temperature", "true"), shortened([(1.0, 0.0), (0.4, 0.167)]))
def test_nineteen_in_twenty_intervals_hold_the_true_calibration_error(
    temperature: float, true: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resampled, "RESAMPLES", 200)
    rng, held = np.random.default_rng(0), 0
    for seed in range(100):
        scores = 1.5 * rng.normal(size=(300, 3))
        labels = (softmax(scores, axis=1).cumsum(axis=1) > rng.random((300, 1))).argmax(axis=1)
        found = measure(softmax(scores / temperature, axis=1), Labels(("a", "b", "c"), labels), seed=seed)
        assert found.ece_ci is not None
        held += found.ece_ci[0] <= true + 0.002 and true - 0.002 <= found.ece_ci[1]
    assert held >= 91


def test_one_class_alone_has_no_ranking_and_a_reason_for_it() -> None:
    labels = Labels(("ok", "crack"), np.zeros(50, np.int64))
    found = measure(np.tile([0.9, 0.1], (50, 1)), labels)
    assert (found.auroc, found.average_precision, found.auroc_ci) == (None, None, None)
    assert found.undefined["auroc"] == "all test images are of class 'ok', so there are no others to rank them against"
    assert [row.auroc for row in found.per_class] == [None, None]
    assert found.accuracy == found.balanced_accuracy == 1


def test_a_class_without_images_has_no_recall_and_one_never_predicted_no_precision() -> None:
    labels = Labels(("a", "b", "c"), np.array([0, 0, 1]))
    absent, named = measure(np.eye(3)[[0, 2, 0]], labels).per_class[2], measure(np.eye(3)[[0, 0, 0]], labels).per_class
    assert (absent.recall, absent.precision, absent.f1) == (None, 0, 0)
    assert (named[1].recall, named[1].precision, named[1].f1) == (0, None, 0)
    assert (named[2].recall, named[2].precision, named[2].f1) == (None, None, None)


def test_if_all_images_are_correct_the_intervals_are_those_of_shares_of_their_number() -> None:
    labels = Labels(("a", "b"), np.arange(60) % 2)
    found = measure(labels.shares, labels)
    assert found.accuracy_ci == pytest.approx((0.93983, 1), abs=1e-5)
    assert found.balanced_accuracy_ci == found.macro_f1_ci
    assert found.macro_f1_ci == pytest.approx((0.93983, 1), abs=5e-3)
    assert found.auroc_ci == found.average_precision_ci
    assert found.auroc_ci == pytest.approx(binomtest(30, 30).proportion_ci(method="wilson"), abs=6e-3)


def test_if_few_images_are_wrong_losses_have_no_interval_and_a_reason_for_it() -> None:
    rng = np.random.default_rng(0)
    labels = Labels(("a", "b"), np.arange(200) % 2)
    for wrong in (4, 5):
        sure = 0.6 + 0.39 * rng.random(200)
        sure[:wrong] = 0.2
        shares = np.where(labels.shares > 0, sure[:, None], 1 - sure[:, None])
        found = measure(shares, labels)
        assert (found.log_loss_ci is None, found.brier_ci is None) == (wrong == 4, wrong == 4)
        assert ("log_loss_ci" in found.undefined) == (wrong == 4)
    few = measure(np.where(labels.shares > 0, 0.9, 0.1), labels)
    assert few.undefined["brier_ci"].startswith("fewer than 5 images' worth are wrong")


def test_groups_of_which_one_has_nearly_all_weight_have_no_endless_intervals() -> None:
    probabilities, labels = make_case(n=40)
    weights = np.repeat([1e7, 1.0], 20)
    heavy = replace(labels, given_weights=weights, groups=np.repeat([b"g", b"h"], 20))
    found = measure(probabilities, heavy)
    assert found.accuracy_ci == (0, 1)
    assert found.brier_ci is None
    assert found.undefined["brier_ci"].startswith("nearly all weight is on one of 2 whole groups")


def test_a_single_group_has_no_intervals_but_the_whole_range_of_accuracy() -> None:
    probabilities, labels = make_case()
    found = measure(probabilities, replace(labels, groups=np.repeat(b"one", 120)))
    assert found.accuracy_ci == (0, 1)
    assert (found.auroc_ci, found.macro_f1_ci, found.log_loss_ci, found.per_class[0].recall_ci) == (None,) * 4
    assert found.undefined["auroc_ci"] == "all weight is on one of 1 whole groups, which says nothing about others"


def test_a_measure_between_0_and_1_keeps_its_interval_there() -> None:
    for value in (0.0, 1e-9, 0.5, 1 - 1e-9, 1.0):
        drawn = np.clip(value + 0.2 * np.random.default_rng(0).normal(size=200), 0, 1)
        for interval in (intervals.score_interval, intervals.logit_interval):
            low, high = interval(np.concatenate([[value], drawn]), perfect=9, widening=3) or (0, 1)
            assert 0 <= low <= value <= high <= 1
    assert score_interval(np.array([1.0, 1, 1])) is None


def test_images_with_several_labels_have_measures_of_their_own() -> None:
    found = measure(*make_case("several"))
    assert (found.balanced_accuracy, found.ece, found.confusion) == (None, None, None)
    assert found.undefined["ece"] == "defined for images with one label"
    assert found.hamming_loss is not None
    assert measure(*make_case()).undefined["micro_f1"] == "defined for images with several labels"


def test_without_a_label_or_a_predicted_class_there_is_no_f1() -> None:
    labels = Labels(("a", "b"), np.full(9, -1), np.zeros((9, 2)), multilabel=True)
    found = measure(np.full((9, 2), 0.2), labels)
    assert (found.accuracy, found.macro_f1, found.micro_f1, found.average_precision) == (1, None, None, None)
    assert found.undefined["micro_f1"] == "no class is true of any of the test images, and none is named"
    assert found.undefined["auroc"] == "every class is true of all test images or of none"


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_that_is_none_says_why(kind: str) -> None:
    probabilities, labels = make_case(kind)
    heaviest = labels.take(np.array([labels.weights.argmax()]))
    for case, of in ((probabilities, labels), (labels.shares, labels), (probabilities[:1], heaviest)):
        found = measure(case, of)
        for name, value in asdict(found).items():
            if value is None and name != "weighted_confusion":
                assert {name, name.removesuffix("_ci")} & found.undefined.keys(), name
        groups = np.where(of.weights > 0, np.where(np.arange(len(of)) % 3, b"some", b"others"), b"none")
        for row in measure(case, replace(of, groups=groups)).per_group or ():
            reasons = row.undefined.keys() | {
                name for name in found.undefined if name in explaining.INAPPLICABLE[of.multilabel]
            }
            for name, value in asdict(row).items():
                assert value is not None or {name, name.removesuffix("_ci")} & reasons, name
        json.dumps(asdict(found), allow_nan=False)


def test_what_is_undefined_for_a_group_has_its_reason_there() -> None:
    probabilities, labels = make_case("weighted")
    groups = np.where(labels.weights == 0, "none", np.array(NAMES)[labels.codes]).astype("S")
    found = {row.name: row for row in measure(probabilities, replace(labels, groups=groups)).per_group or ()}
    assert found["none"].undefined["accuracy"].startswith("the images of this group weigh nothing")
    assert {value for name, value in asdict(found["none"]).items() if name not in ("name", "n", "undefined")} == {None}
    assert found["hot"].auroc is None
    assert found["hot"].undefined["auroc"] == (
        "all images of this group that weigh anything are of class 'hot', so there are no others to rank them against"
    )
    assert found["hot"].accuracy == found["hot"].balanced_accuracy
    assert "hamming_loss" not in found["hot"].undefined


@pytest.mark.parametrize("kind", KINDS)
def test_each_group_has_measures_and_intervals_of_its_own(kind: str) -> None:
    probabilities, labels = make_case(kind)
    names = np.array(["left", "right", "none"]).astype("S")
    groups = names[np.where(labels.weights == 0, 2, np.arange(120) % 2)]
    found = measure(probabilities, replace(labels, groups=groups))
    assert found.per_group is not None
    for row in found.per_group:
        rows = np.flatnonzero(groups == row.name.encode())
        assert row.n == len(rows)
        if row.name != "none":
            alone = asdict(measure(probabilities[rows], labels.take(rows)))
            alone["undefined"] = {key: why for key, why in alone["undefined"].items() if key in row.undefined}
            assert asdict(row) == {"name": row.name} | {key: alone[key] for key in asdict(row) if key != "name"}
    count = len(found.per_group)
    assert found.interval.startswith(f"95 % percentile bootstrap of {count} whole groups")
    assert f"rough, for {count} whole groups are few" in found.interval


def test_groups_have_as_many_resamples_as_all_images_together(monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities, labels = make_case(n=240)
    grouped = replace(labels, groups=(np.arange(240) // 80).astype("S"))
    monkeypatch.setattr(resampling, "AFFORDABLE", 2000 * 240)  # and not of rankings, of 4 classes
    drawn = resampled.resample_all(probabilities[:80], labels.take(np.arange(80)), seed=0, resamples=(2000, 100))
    (first, *_) = measure(probabilities, grouped).per_group or ()
    assert first.log_loss_ci == drawn.interval("log_loss")
    assert first.auroc_ci == drawn.interval("auroc")
    assert len(drawn.values["auroc"]) == 101


def test_too_many_groups_are_not_listed_and_the_reason_is_given() -> None:
    probabilities, labels = make_case(n=1500)
    found = measure(probabilities, replace(labels, groups=np.arange(1500).astype("S")))
    assert found.per_group is None
    assert found.undefined["per_group"] == "1500 groups are too many to list (more than 200)"


@pytest.mark.parametrize("grouped", shortened([True, False]))
@pytest.mark.parametrize("kind", shortened(["soft", "single", "weighted"]))
def test_confusion_has_the_intervals_of_a_loop_and_its_diagonal_those_of_recall(
    kind: str, grouped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resampled, "RESAMPLES", 200)
    probabilities, labels = make_case(kind)
    labels = replace(labels, groups=(np.arange(120) // 4).astype("S")) if grouped else labels
    found, units = measure(probabilities, labels), units_of(labels)
    assert found.confusion_ci is not None
    diagonal = [found.confusion_ci[place][place] for place in range(4)]
    assert diagonal == [pytest.approx(one.recall_ci) for one in found.per_class]
    _, label, weight = expand(probabilities, labels)
    image, guess = np.nonzero(labels.shares)[0], probabilities.argmax(axis=1)
    drawn = [
        reference.confusion_matrix(
            label, guess[image], sample_weight=weight * times[units.of_image[image]], labels=range(4)
        )
        for counts in units.draw(resampled.RESAMPLES, seed=0)
        for times in counts.T
    ]
    with np.errstate(invalid="ignore"):
        shares = np.array(drawn[1:]) / np.sum(drawn[1:], axis=2, keepdims=True)
    for row, named in np.ndindex(4, 4):
        of_cell = shares[:, row, named]
        value = found_share(found, row, named)
        if (ends := found.confusion_ci[row][named]) is None:
            assert np.nanmin(of_cell) == np.nanmax(of_cell) == value
        else:
            drawn = of_cell[np.isfinite(of_cell)].tolist()
            assert ends == pytest.approx(score_ends(drawn, value, factor_of(labels)), abs=1e-6)


def found_share(found: HeadMetrics, row: int, named: int) -> float:
    """The cell of the confusion matrix as a share of its row."""
    cells = found.weighted_confusion or found.confusion
    assert cells is not None
    return cells[row][named] / sum(cells[row])


def test_very_many_classes_have_no_confusion_and_a_reason_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featx.measures.confusion.MOST_CLASSES", 2)
    monkeypatch.setattr("featx.measures.explaining.MOST_CLASSES", 2)
    found = measure(*make_case("weighted"))
    assert (found.confusion, found.weighted_confusion, found.confusion_ci) == (None, None, None)
    assert found.undefined["confusion"] == "4 classes are too many to list in pairs (more than 2)"


@given(st.sampled_from(KINDS), st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3))
@settings(deadline=None, max_examples=25)
def test_neither_the_order_of_rows_nor_the_scale_of_weights_matters(kind: str, seed: int, scale: float) -> None:
    probabilities, labels = make_case(kind, n=60, seed=seed)
    order = np.random.default_rng(seed).permutation(60)
    with fewer_resamples():
        expected, shuffled = measure(probabilities, labels), measure(probabilities[order], labels.take(order))
        scaled = measure(probabilities, replace(labels, given_weights=labels.weights * scale))
    assert values_of(shuffled) == pytest.approx(values_of(expected))
    assert values_of(scaled) == pytest.approx(values_of(expected))
    assert scaled.accuracy_ci == pytest.approx(expected.accuracy_ci)


@given(st.sampled_from(KINDS), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=25)
def test_a_row_that_is_there_twice_counts_as_one_of_twice_the_weight(kind: str, seed: int) -> None:
    probabilities, labels = make_case(kind, n=60, seed=seed)
    times = np.random.default_rng(seed).integers(1, 4, 60)
    rows = np.repeat(np.arange(60), times)
    with fewer_resamples():
        repeated = measure(probabilities[rows], labels.take(rows))
        weighted = measure(probabilities, replace(labels, given_weights=labels.weights * times))
    assert values_of(weighted) == pytest.approx(values_of(repeated))


@contextmanager
def fewer_resamples() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resampled, "RESAMPLES", 3)
        yield


def test_soft_labels_that_are_all_in_one_class_are_labels() -> None:
    probabilities, labels = make_case("weighted")
    soft = replace(labels, given_shares=labels.shares)
    assert values_of(measure(probabilities, soft)) == pytest.approx(values_of(measure(probabilities, labels)))


@pytest.mark.parametrize(
    ("probabilities", "match"),
    [
        (np.full((3, 2), 0.5), r"the probabilities have shape \(3, 2\), but there are 4 images and 2 classes"),
        (np.full((4, 2), 0.6), "the probabilities of row 0 sum to 1.2, not 1"),
        (np.tile([1.5, -0.5], (4, 1)), "range from -0.5 to 1.5, not from 0 to 1"),
        (np.full((4, 2), np.nan), "range from nan to nan, not from 0 to 1"),
    ],
)
def test_what_is_no_probability_is_refused(probabilities: Floats, match: str) -> None:
    with pytest.raises(TableError, match=match):
        measure(probabilities, Labels(("a", "b"), np.zeros(4, np.int64)))


@pytest.mark.parametrize("weights", [[0, 0], [1, -1], [np.nan, 1]])
def test_weights_that_weigh_nothing_are_refused(weights: list[float]) -> None:
    with pytest.raises(TableError, match="weights of the evaluated images"):
        measure(np.full((2, 2), 0.5), Labels(("a", "b"), np.zeros(2, np.int64), given_weights=np.array(weights)))


def test_nothing_to_measure_on_is_refused() -> None:
    with pytest.raises(TableError, match="there are no images to measure on"):
        measure(np.empty((0, 2)), Labels(("a", "b"), np.empty(0, np.int64)))


def test_rows_without_a_label_are_refused() -> None:
    with pytest.raises(TableError, match=r"row 1 has no label to compare with \(2 rows in total\)"):
        measure(np.full((3, 2), 0.5), Labels(("a", "b"), np.array([0, -1, -1])))
    shares = np.array([[0.5, 0.5], [np.nan, np.nan]])
    with pytest.raises(TableError, match=r"row 1 has no label to compare with \(1 rows in total\)"):
        measure(np.full((2, 2), 0.5), Labels(("a", "b"), np.zeros(2, np.int64), shares))
