"""Tests of pairs of heads against scipy's, against resampling in a loop, and against how often they are wrong."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray
from scipy import stats

from featx.errors import TableError
from featx.labels import Labels
from featx.measures import (
    SharedImages,
    corrected_t_test,
    domains_t_test,
    draws_t_test,
    holm,
    intervals,
    mcnemar,
    measure,
    paired,
    paired_bootstrap,
    paired_measures,
    paired_recalls,
    paired_resamples,
    resample_measure,
    resampling,
    row_values,
)
from tests.measures.test_measures import KINDS, loop_draws, make_case

Floats = NDArray[np.float64]
PAIR = ("a", "b")


def make_labels(n: int, *, weights: Floats | None = None, groups: NDArray[np.bytes_] | None = None) -> Labels:
    """Images of one class: the tests of pairs look at weights and groups alone."""
    return Labels(("x", "y"), np.zeros(n, np.int64), None, weights, groups)


def outcomes(better: int, worse: int, both: int) -> dict[str, Floats]:
    """So many images that a alone names rightly, that b alone does, and that both do."""
    counts = (better, worse, both)
    return {"a": np.repeat([1.0, 0.0, 1.0], counts), "b": np.repeat([0.0, 1.0, 1.0], counts)}


@pytest.mark.parametrize("kind", KINDS)
def test_the_weighted_mean_of_what_rows_add_is_the_measure(kind: str) -> None:
    probabilities, labels = make_case(kind)
    found = measure(probabilities, labels)
    for name in ("accuracy", "log_loss", "brier"):
        values = row_values(probabilities, labels, measure=name)
        assert np.average(values, weights=labels.weights) == pytest.approx(getattr(found, name))


def test_a_measure_that_is_no_mean_over_images_is_refused() -> None:
    with pytest.raises(TableError, match="'auroc' is not a mean over images; choose from accuracy, log_loss, brier"):
        row_values(*make_case(), measure="auroc")  # type: ignore[arg-type]


def test_the_paired_bootstrap_is_that_of_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paired, "PAIRED_RESAMPLES", 300)
    rng = np.random.default_rng(0)
    labels = make_labels(80, weights=rng.random(80))
    values = {"a": rng.normal(size=80) + 0.2, "b": rng.normal(size=80)}
    (found,) = paired_bootstrap(values, [PAIR], labels=labels, seed=7)
    draws, again = [], np.random.default_rng(7)
    for _ in range(300):
        rows = again.integers(80, size=80)
        draws.append(np.average((values["a"] - values["b"])[rows], weights=labels.weights[rows]))
    assert found.difference == pytest.approx(np.average(values["a"] - values["b"], weights=labels.weights))
    assert found.interval == pytest.approx(np.quantile(draws, [0.025, 0.975]))
    assert found.p == pytest.approx(2 * (np.sum(np.array(draws) <= 0) + 1) / 301)
    assert found.test == "paired bootstrap of 80 images, 300 resamples"


def test_heads_on_groups_of_equal_size_are_compared_by_the_t_test_of_the_groups_means() -> None:
    rng = np.random.default_rng(0)
    values = {"a": rng.normal(size=40) + 0.2, "b": rng.normal(size=40)}
    labels = make_labels(40, groups=np.repeat(np.arange(8), 5).astype("S"))
    (found,) = paired_bootstrap(values, [PAIR], labels=labels)
    theirs = stats.ttest_1samp((values["a"] - values["b"]).reshape(8, 5).mean(axis=1), 0)
    assert found.p == pytest.approx(theirs.pvalue)
    assert found.interval == pytest.approx(tuple(theirs.confidence_interval()))
    assert found.test == "t-test over 8 whole groups"


def test_heads_on_groups_of_unequal_weight_have_the_variance_of_a_ratio_and_fewer_degrees_of_freedom() -> None:
    rng = np.random.default_rng(0)
    weights = rng.random(60)
    group = rng.integers(7, size=60)
    values = {"a": rng.normal(size=60), "b": rng.normal(size=60)}
    labels = make_labels(60, weights=weights, groups=group.astype("S"))
    (found,) = paired_bootstrap(values, [PAIR], labels=labels)
    differences = values["a"] - values["b"]
    mean = np.average(differences, weights=weights)
    sums = np.array([(weights * (differences - mean))[group == one].sum() for one in range(7)])
    sizes = np.array([weights[group == one].sum() for one in range(7)])
    error = np.sqrt(7 / 6 * np.sum(sums**2)) / weights.sum()
    freedom = sizes.sum() ** 2 / np.sum(sizes**2) - 1
    assert freedom < 6
    assert found.p == pytest.approx(2 * stats.t.sf(abs(mean) / error, freedom))


@pytest.mark.parametrize("groups", [5, 10, 20])
def test_equally_good_heads_seldom_differ_on_a_few_groups(groups: int) -> None:
    rng, found = np.random.default_rng(groups), 0
    names = np.repeat(np.arange(groups), 20).astype("S")
    for _ in range(400):
        chance = 1 / (1 + np.exp(-1.5 - rng.normal(size=(2, groups)).repeat(20, axis=1)))
        values = dict(zip(PAIR, (rng.random((2, 20 * groups)) < chance).astype(np.float64), strict=True))
        p = paired_bootstrap(values, [PAIR], labels=make_labels(20 * groups, groups=names))[0].p
        found += p is not None and p < 0.05
    assert found / 400 <= 0.07


def test_a_single_group_says_nothing_about_others() -> None:
    rng = np.random.default_rng(0)
    values = {"a": rng.random(9), "b": rng.random(9)}
    labels = make_labels(9, groups=np.repeat(b"one", 9))
    for each in (values, {"a": np.ones(9), "b": np.zeros(9)}):
        (found,) = paired_bootstrap(each, [PAIR], labels=labels)
        assert (found.interval, found.p, found.p_holm) == (None, None, None)
    (found,) = paired_measures(
        {name: np.stack([v, 1 - v], axis=1) for name, v in values.items()},
        [PAIR],
        labels=replace(labels, codes=np.arange(9) % 2),
        measure="auroc",
    )
    assert (found.interval, found.p) == (None, None)


def test_heads_of_equal_accuracy_seldom_differ_by_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paired, "PAIRED_RESAMPLES", 500)
    rng, found = np.random.default_rng(0), {"bootstrap": 0, "mcnemar": 0}
    for seed in range(300):
        values = {name: (rng.random(200) < 0.8).astype(np.float64) for name in PAIR}
        found["bootstrap"] += (paired_bootstrap(values, [PAIR], labels=make_labels(200), seed=seed)[0].p or 0) < 0.05
        found["mcnemar"] += (mcnemar(values, [PAIR], labels=make_labels(200))[0].p or 0) < 0.05
    assert 0.02 <= found["bootstrap"] / 300 <= 0.08
    assert found["mcnemar"] / 300 <= 0.06


def test_heads_that_never_differ_have_no_interval_and_p_1() -> None:
    values = {"a": np.ones(50), "b": np.ones(50)}
    (found,) = paired_bootstrap(values, [PAIR], labels=make_labels(50))
    assert (found.difference, found.interval, found.p, found.p_holm) == (0, None, 1, 1)


@pytest.mark.parametrize("groups", [None, np.repeat([b"g", b"h"], 5)], ids=["images", "groups"])
def test_weights_that_are_all_zero_are_an_error(groups: NDArray[np.bytes_] | None) -> None:
    with pytest.raises(TableError, match="weights of the evaluated images are all 0"):
        paired_bootstrap(outcomes(5, 3, 2), [PAIR], labels=make_labels(10, weights=np.zeros(10), groups=groups))


def test_a_difference_that_is_equal_on_all_images_has_no_p() -> None:
    values = {"a": np.full(50, 0.7), "b": np.full(50, 0.5)}
    (found,) = paired_bootstrap(values, [PAIR], labels=make_labels(50))
    assert (found.interval, found.p, found.p_holm) == (None, None, None)


def test_pairs_that_are_tested_together_are_corrected_together() -> None:
    rng = np.random.default_rng(0)
    values = {name: rng.normal(size=60) + shift for name, shift in (("a", 0.5), ("b", 0.0), ("c", 0.2))}
    pairs = [("a", "b"), ("a", "c"), ("c", "b")]
    together = paired_bootstrap(values, pairs, labels=make_labels(60))
    alone = [paired_bootstrap(values, [pair], labels=make_labels(60))[0] for pair in pairs]
    assert [one.p for one in together] == [one.p for one in alone]
    assert [one.p_holm for one in together] == holm([one.p for one in alone if one.p is not None])
    assert [(one.a, one.b) for one in together] == pairs


@pytest.mark.parametrize(("better", "worse"), [(9, 2), (2, 9), (12, 12), (0, 0), (5, 0)])
def test_mcnemar_of_few_images_is_the_binomial_test(better: int, worse: int) -> None:
    (found,) = mcnemar(outcomes(better, worse, 40), [PAIR], labels=make_labels(better + worse + 40))
    expected = stats.binomtest(better, better + worse).pvalue if better + worse else 1.0
    assert found.p == pytest.approx(expected)
    assert found.test == f"exact McNemar, {better} and {worse} of {better + worse + 40} images"


def test_mcnemar_of_many_images_is_the_corrected_chi_squared() -> None:
    (found,) = mcnemar(outcomes(40, 20, 100), [PAIR], labels=make_labels(160))
    assert found.p == pytest.approx(stats.chi2.sf((20 - 1) ** 2 / 60, 1))
    assert found.p == pytest.approx(stats.binomtest(40, 60).pvalue, abs=0.002)
    assert found.difference == pytest.approx(20 / 160)


def test_nineteen_in_twenty_intervals_of_mcnemar_hold_the_true_difference() -> None:
    rng, held = np.random.default_rng(0), 0
    for _ in range(400):
        kind = rng.choice(3, size=80, p=[0.12, 0.06, 0.82])
        values = {"a": (kind != 1).astype(np.float64), "b": (kind != 0).astype(np.float64)}
        interval = mcnemar(values, [PAIR], labels=make_labels(80))[0].interval
        assert interval is not None
        held += interval[0] <= 0.06 <= interval[1]
    assert 0.92 <= held / 400 <= 0.99


def test_mcnemar_says_what_it_ignores() -> None:
    labels = make_labels(51, weights=np.ones(51), groups=np.arange(51).astype("S"))
    assert mcnemar(outcomes(9, 2, 40), [PAIR], labels=labels)[0].test.endswith("images, weights and groups ignored")


def test_mcnemar_refuses_soft_labels() -> None:
    _, labels = make_case("soft")
    with pytest.raises(TableError, match="not soft labels; use paired_bootstrap"):
        mcnemar({"a": np.ones(120), "b": np.ones(120)}, [PAIR], labels=labels)


@pytest.mark.parametrize("name", ["missing", "short", "nan"])
def test_values_that_do_not_fit_are_refused(name: str) -> None:
    values = {"a": np.ones(9), "short": np.ones(8), "nan": np.full(9, np.nan)}
    with pytest.raises(TableError, match=f"'{name}'"):
        paired_bootstrap(values, [("a", name)], labels=make_labels(9))


def test_holms_correction_equals_scipys_example_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holms_correction_keeps_the_order_and_lies_between_none_and_bonferronis(p: list[float]) -> None:
    corrected = holm(p)
    order = np.argsort(p, kind="stable")
    assert np.all(np.diff(np.array(corrected)[order]) >= 0)
    assert all(one <= held <= min(1, one * len(p)) + 1e-15 for one, held in zip(p, corrected, strict=True))


def test_the_corrected_t_test_is_scipys_if_nothing_overlaps() -> None:
    a, b = [0.81, 0.83, 0.80, 0.86, 0.84], [0.80, 0.80, 0.81, 0.82, 0.80]
    (found,) = corrected_t_test({"a": a, "b": b}, [PAIR], train=[10**12] * 5, test=[1] * 5)
    expected = stats.ttest_rel(a, b)
    interval = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.interval == pytest.approx((interval.low, interval.high))
    assert found.n == 5


def test_the_corrected_t_test_grows_the_variance_by_the_overlap() -> None:
    a, b = [0.81, 0.83, 0.80, 0.86, 0.84], [0.80, 0.80, 0.81, 0.82, 0.80]
    (found,) = corrected_t_test({"a": a, "b": b}, [PAIR], train=[75] * 5, test=[25] * 5)
    apart = np.subtract(a, b)
    t = apart.mean() / np.sqrt((1 / 5 + 1 / 3) * apart.var(ddof=1))
    assert found.p == pytest.approx(2 * stats.t.sf(t, 4))


def test_the_t_test_of_draws_is_scipys_if_they_share_no_image() -> None:
    a, b = [0.8, 0.7, 0.9, 0.85], [0.7, 0.72, 0.8, 0.7]
    rows = [np.arange(4 * draw, 4 * draw + 4) for draw in range(4)]
    (found,) = draws_t_test({"a": a, "b": b}, [("a", "b")], train=rows)
    theirs = stats.ttest_rel(a, b)
    assert found.p == pytest.approx(theirs.pvalue)
    assert found.interval == pytest.approx(tuple(theirs.confidence_interval()))


def test_the_t_test_of_draws_counts_what_they_share() -> None:
    scores = {"a": [0.8, 0.7, 0.9], "b": [0.7, 0.72, 0.8]}
    half = [np.array([0, 1]), np.array([1, 2]), np.array([2, 0])]
    (found,) = draws_t_test(scores, [("a", "b")], train=half)
    (alone,) = corrected_t_test(scores, [("a", "b")], train=[2, 2, 2], test=[2, 2, 2])
    assert (found.p, found.interval) == (alone.p, alone.interval)
    assert "two of which share 50% of their training images" in found.test


def draw_guesses(
    rng: np.random.Generator, *, draws: int, n: int = 50, of: int = 50
) -> tuple[list[Labels], list[NDArray[np.int64]]]:
    """Labels and rows of the test images of some draws: n of the `of` images that there are."""
    rows = [np.sort(rng.choice(of, n, replace=False)) for _ in range(draws)]
    codes = rng.integers(3, size=of)
    return [Labels(("x", "y", "z"), codes[one]) for one in rows], rows


def test_test_images_that_all_draws_share_add_the_variance_of_their_mean_difference() -> None:
    rng = np.random.default_rng(0)
    labels, rows = draw_guesses(rng, draws=4)
    guesses = {name: [rng.integers(3, size=50) for _ in range(4)] for name in PAIR}
    shared = SharedImages.of_guesses(guesses, labels=labels, rows=rows)
    right = {name: np.array([one == labels[0].codes for one in of]).mean(axis=0) for name, of in guesses.items()}
    assert shared.variance(PAIR) == pytest.approx(np.var(right["a"] - right["b"], ddof=1) / 50)
    assert (shared.freedom, shared.count, shared.noun) == (49, 50, "images")


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("grouped", [False, True])
def test_test_images_that_some_draws_share_add_what_leaving_each_out_shows(balanced: bool, grouped: bool) -> None:
    """The jackknife over images, or groups, of the mean score over draws; with many images it is the same."""
    rng = np.random.default_rng(1)
    labels, rows = draw_guesses(rng, draws=3, n=400, of=600)
    names = (np.arange(600) // 2).astype("S")
    if grouped:
        labels = [replace(one, groups=names[of]) for one, of in zip(labels, rows, strict=True)]
    guesses = {name: [np.where(rng.random(400) < 0.7, one.codes, 0) for one in labels] for name in PAIR}
    shared = SharedImages.of_guesses(guesses, labels=labels, rows=rows, balanced=balanced)

    def mean_difference(without: int) -> float:
        scores: dict[str, list[float]] = {name: [] for name in PAIR}
        for name, draw in [(name, draw) for name in PAIR for draw in range(3)]:
            unit = rows[draw] // 2 if grouped else rows[draw]
            right = (guesses[name][draw] == labels[draw].codes)[unit != without]
            codes = labels[draw].codes[unit != without]
            recalls = [right[codes == one].mean() for one in range(3)]
            scores[name].append(np.mean(recalls) if balanced else right.mean())
        return float(np.mean(scores["a"]) - np.mean(scores["b"]))

    units = shared.count
    tested = np.unique(np.concatenate(rows) // 2 if grouped else np.concatenate(rows))
    left_out = np.array([mean_difference(int(one)) for one in tested])
    assert units == len(left_out)
    jackknife = (units - 1) / units * np.sum((left_out - left_out.mean()) ** 2)
    assert shared.variance(PAIR) == pytest.approx(jackknife, rel=0.02)


def test_resamples_of_the_same_test_images_add_the_variance_of_their_mean() -> None:
    rng = np.random.default_rng(0)
    labels, _ = draw_guesses(rng, draws=3)
    values = {name: [rng.normal(size=201) for _ in range(3)] for name in PAIR}
    shared = SharedImages.of_resamples(values, labels=labels, aligned=True)
    mean = np.mean(np.subtract(values["a"], values["b"]), axis=0)[1:]
    assert shared.variance(PAIR) == pytest.approx(np.var(mean, ddof=1) * 50 / 49)
    apart = SharedImages.of_resamples(values, labels=labels, aligned=False)
    each = [np.var((a - b)[1:], ddof=1) for a, b in zip(values["a"], values["b"], strict=True)]
    assert apart.variance(PAIR) == pytest.approx(np.mean(each) * 50 / 49)
    assert apart.variance(PAIR) > shared.variance(PAIR)


def test_draws_that_are_all_tested_on_one_group_have_no_p() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(2, size=33)
    labels = Labels(("x", "y"), codes, groups=np.repeat(b"one", 33))
    guesses = {name: [rng.integers(2, size=33) for _ in range(3)] for name in PAIR}
    tested = SharedImages.of_guesses(guesses, labels=[labels] * 3, rows=[np.arange(33)] * 3)
    scores = {name: [float((guess == codes).mean()) for guess in of_draws] for name, of_draws in guesses.items()}
    (found,) = draws_t_test(scores, [PAIR], train=[np.array([draw, 9]) for draw in range(3)], tested=tested)
    assert (found.interval, found.p, found.p_holm) == (None, None, None)
    assert found.difference == pytest.approx(np.mean(scores["a"]) - np.mean(scores["b"]))


def test_both_variances_of_draws_are_added_with_satterthwaites_degrees_of_freedom() -> None:
    rng = np.random.default_rng(0)
    labels, rows = draw_guesses(rng, draws=3)
    guesses = {name: [rng.integers(3, size=50) for _ in range(3)] for name in PAIR}
    shared = SharedImages.of_guesses(guesses, labels=labels, rows=rows)
    scores = {"a": [0.8, 0.7, 0.9], "b": [0.7, 0.72, 0.8]}
    half = [np.array([0, 1]), np.array([1, 2]), np.array([2, 0])]
    (found,) = draws_t_test(scores, [PAIR], train=half, tested=shared)
    differences = np.subtract(scores["a"], scores["b"])
    of_draws = differences.var(ddof=1) * (1 / 3 + 0.5 / 0.5)
    of_images = shared.variance(PAIR)
    freedom = (of_draws + of_images) ** 2 / (of_draws**2 / 2 + of_images**2 / 49)
    assert found.p == pytest.approx(2 * stats.t.sf(differences.mean() / np.sqrt(of_draws + of_images), freedom))
    assert found.test.endswith("of their training images, tested on 50 images")


@pytest.mark.exhaustive
@pytest.mark.parametrize("draws", [5, 20])
def test_equally_good_heads_seldom_differ_on_draws_with_the_same_test_images(draws: int) -> None:
    rng, found = np.random.default_rng(draws), 0
    labels, rows = [Labels(("x", "y"), np.zeros(100, np.int64))] * draws, [np.arange(100)] * draws
    train = [np.arange(10 * draw, 10 * draw + 10) for draw in range(draws)]
    for _ in range(200):
        chance = {name: rng.beta(2, 1, size=100) for name in PAIR}
        guesses = {name: [(rng.random(100) > of).astype(int) for _ in range(draws)] for name, of in chance.items()}
        scores = {name: [float(np.mean(one == 0)) for one in of] for name, of in guesses.items()}
        shared = SharedImages.of_guesses(guesses, labels=labels, rows=rows)
        p = draws_t_test(scores, [PAIR], train=train, tested=shared)[0].p
        found += p is not None and p < 0.05
    assert found / 200 <= 0.07


def draw_domains(
    rng: np.random.Generator, sizes: tuple[int, ...], *, chance: float = 0.7
) -> tuple[dict[str, list[Any]], list[Labels], list[Any]]:
    """On domains of these sizes: where each of two equally good heads is right, the labels, and the rows."""
    ends = np.cumsum([0, *sizes])
    rows = [np.arange(start, stop) for start, stop in pairwise(ends)]
    labels = [Labels(("x", "y"), np.zeros(size, np.int64)) for size in sizes]
    right = {name: [(rng.random(size) < chance).astype(float) for size in sizes] for name in PAIR}
    return right, labels, rows


def test_the_mean_over_domains_has_the_variance_of_the_images_of_each_domain() -> None:
    right, labels, rows = draw_domains(np.random.default_rng(0), (50, 200, 80))
    tested = SharedImages.of_values(right, labels=labels, rows=rows)
    scores = {name: [float(one.mean()) for one in of_head] for name, of_head in right.items()}
    (found,) = domains_t_test(scores, [PAIR], tested=tested, domains=3)
    differences = [a - b for a, b in zip(right["a"], right["b"], strict=True)]
    variance = sum(one.var() / len(one) for one in differences) / 3**2 * 330 / 329
    mean = np.mean([one.mean() for one in differences])
    half = stats.t.ppf(0.975, 329) * np.sqrt(variance)
    assert found.interval == pytest.approx((mean - half, mean + half))
    assert found.p == pytest.approx(2 * stats.t.sf(abs(mean) / np.sqrt(variance), 329))
    assert found.test == "t-test over 330 images of 3 domains, which says nothing about other domains"


def test_equally_good_heads_seldom_differ_over_domains() -> None:
    rng, found = np.random.default_rng(1), 0
    for _ in range(300):
        right, labels, rows = draw_domains(rng, (40, 100))
        tested = SharedImages.of_values(right, labels=labels, rows=rows)
        scores = {name: [float(one.mean()) for one in of_head] for name, of_head in right.items()}
        p = domains_t_test(scores, [PAIR], tested=tested, domains=2)[0].p
        found += p is not None and p < 0.05
    assert 0.01 <= found / 300 <= 0.09


def test_things_that_all_domains_draw_count_once() -> None:
    rng, found = np.random.default_rng(2), np.zeros(2)
    things = np.array([b"%d" % thing for thing in range(40)])
    rows = [np.arange(40 * domain, 40 * domain + 40) for domain in range(3)]
    labels = [Labels(("x", "y"), np.zeros(40, np.int64))] * 3
    for _ in range(150):
        of_thing = {name: (rng.random(40) < 0.7).astype(float) for name in PAIR}
        right = {name: [np.where(rng.random(40) < 0.05, 1 - one, one) for _ in rows] for name, one in of_thing.items()}
        scores = {name: [float(one.mean()) for one in of_head] for name, of_head in right.items()}
        for place, groups in enumerate((things, None)):
            grouped = [replace(one, groups=groups) for one in labels]
            tested = SharedImages.of_values(right, labels=grouped, rows=rows)
            p = domains_t_test(scores, [PAIR], tested=tested, domains=3)[0].p
            found[place] += p is not None and p < 0.05
    assert found[0] / 150 <= 0.1
    assert found[1] / 150 >= 0.12


def test_draws_of_the_same_images_have_a_difference_and_no_p() -> None:
    (found,) = draws_t_test({"a": [0.8, 0.7], "b": [0.7, 0.72]}, [("a", "b")], train=[np.arange(3)] * 2)
    assert found.difference == pytest.approx(0.04)
    assert (found.interval, found.p, found.p_holm) == (None, None, None)
    assert found.test == "none, for 2 draws are all of the same training images"


def test_a_single_draw_cannot_be_tested() -> None:
    rows = np.arange(3)
    with pytest.raises(TableError, match="needs two or more"):
        draws_t_test({"a": [0.8], "b": [0.7]}, [("a", "b")], train=[rows])


@pytest.mark.parametrize(("a", "p"), [([0.5, 0.5, 0.5], 1.0), ([0.6, 0.6, 0.6], None)])
def test_splits_with_equal_differences_have_no_p(a: Sequence[float], p: float | None) -> None:
    (found,) = corrected_t_test({"a": a, "b": [0.5] * 3}, [PAIR], train=[8] * 3, test=[2] * 3)
    assert (found.p, found.interval) == (p, None)


@pytest.mark.parametrize(("train", "test"), [([8], [2]), ([8, 8], [2])])
def test_too_few_splits_are_refused(train: list[int], test: list[int]) -> None:
    with pytest.raises(TableError, match="two or more splits"):
        corrected_t_test({"a": [0.5], "b": [0.5]}, [PAIR], train=train, test=test)


def test_weights_of_the_paired_bootstrap_are_repeated_rows_in_its_difference() -> None:
    rng = np.random.default_rng(0)
    values, times = {"a": rng.random(40), "b": rng.random(40)}, rng.integers(1, 4, 40)
    weighted = paired_bootstrap(values, [PAIR], labels=make_labels(40, weights=times.astype(np.float64)))
    repeated = paired_bootstrap(
        {name: np.repeat(value, times) for name, value in values.items()}, [PAIR], labels=make_labels(int(times.sum()))
    )
    assert weighted[0].difference == pytest.approx(repeated[0].difference)
    assert replace(weighted[0], a="c").a == "c"


@pytest.mark.parametrize(
    ("kind", "name"), [("single", "auroc"), ("several", "average_precision"), ("soft", "macro_f1")]
)
def test_any_measure_is_compared_on_resamples_that_both_heads_share(
    kind: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paired, "PAIRED_RESAMPLES", 20)
    monkeypatch.setattr(intervals, "FEW_RESAMPLES", 3)
    better, labels = make_case(kind)
    worse = 0.5 * better + 0.5 * better[np.random.default_rng(1).permutation(len(labels))]
    (found,) = paired_measures({"a": better, "b": worse}, [PAIR], labels=labels, measure=name, seed=4)
    drawn = [np.array(loop_draws(one, labels, of=20, seed=4)[name]) for one in (better, worse)]
    assert found.difference == pytest.approx(
        getattr(measure(better, labels), name) - getattr(measure(worse, labels), name)
    )
    assert found.interval == pytest.approx(np.quantile(drawn[0] - drawn[1], [0.025, 0.975]))


def test_of_accuracy_both_paired_bootstraps_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paired, "PAIRED_RESAMPLES", 2000)
    better, labels = make_case("weighted")
    worse = 0.4 * better + 0.6 * better[np.random.default_rng(1).permutation(len(labels))]
    heads = {"a": better, "b": worse}
    (found,) = paired_measures(heads, [PAIR], labels=labels, measure="accuracy")
    rows = {name: row_values(probabilities, labels) for name, probabilities in heads.items()}
    (expected,) = paired_bootstrap(rows, [PAIR], labels=labels)
    assert 0 < (expected.p or 0) < 0.9
    assert (found.p, found.difference) == pytest.approx((expected.p, expected.difference))
    assert found.interval == pytest.approx(expected.interval)
    monkeypatch.setattr(resampling, "AFFORDABLE", 0)
    (few,) = paired_measures(heads, [PAIR], labels=labels, measure="accuracy")
    assert few.p == pytest.approx(expected.p, abs=0.05)


@pytest.mark.parametrize("kind", ["single", "weighted", "soft"])
@pytest.mark.parametrize("grouped", [False, True])
def test_guesses_are_compared_by_balanced_accuracy_as_probabilities_are(
    kind: str, grouped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paired, "PAIRED_RESAMPLES", 2000)
    better, labels = make_case(kind)
    if grouped:
        labels = replace(labels, groups=(np.arange(len(labels)) // 3).astype("S"))
    worse = 0.4 * better + 0.6 * better[np.random.default_rng(1).permutation(len(labels))]
    heads = {"a": better, "b": worse}
    guesses = {name: probabilities.argmax(axis=1) for name, probabilities in heads.items()}
    (found,) = paired_recalls(guesses, [PAIR], labels=labels, seed=3)
    (expected,) = paired_measures(heads, [PAIR], labels=labels, measure="balanced_accuracy", seed=3)
    assert found.interval == pytest.approx(expected.interval)
    assert (found.p, found.difference) == pytest.approx((expected.p, expected.difference))
    assert found.test == expected.test
    assert found.test.startswith("t-test over 40 whole groups" if grouped else "paired bootstrap of 120 images")


def test_what_is_not_one_an_image_or_resample_is_refused_by_name() -> None:
    _, labels = make_case()
    guesses = {"a": np.zeros(120, np.int64), "b": np.zeros(119, np.int64)}
    with pytest.raises(TableError, match=r"the values of head 'b' have shape \(119,\), not \(120,\)"):
        paired_recalls(guesses, [PAIR], labels=labels)
    with pytest.raises(TableError, match="no values are given for head 'c', only for a, b"):
        paired_resamples({"a": np.ones(9), "b": np.ones(9)}, [("a", "c")], labels=labels)
    with pytest.raises(TableError, match="head 'b' have shape"):
        paired_resamples({"a": np.ones(9), "b": np.ones(10)}, [PAIR], labels=labels)


def test_of_more_numbers_there_are_fewer_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities, labels = make_case()
    counts = []
    for room in (10_000 * 480, 10_000 * 480 - 1, 2_000 * 480 - 1):
        monkeypatch.setattr(resampling, "AFFORDABLE", room)
        counts.append(len(resample_measure(probabilities, labels, measure="auroc")) - 1)
    assert counts == [10_000, 2_000, 100]


@pytest.mark.parametrize("name", ["ece", "hamming_loss", "class.recall", "kappa"])
def test_a_measure_that_is_not_defined_is_not_compared_by(name: str) -> None:
    probabilities, labels = make_case("several" if name == "ece" else "single")
    with pytest.raises(TableError, match=f"'{name}' is not defined for these images"):
        paired_measures({"a": probabilities, "b": probabilities}, [PAIR], labels=labels, measure=name)


def test_fewer_resamples_of_very_many_images_give_nearly_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    values = {"a": rng.normal(size=400) + 0.12, "b": rng.normal(size=400)}
    (many,) = paired_bootstrap(values, [PAIR], labels=make_labels(400))
    monkeypatch.setattr(resampling, "AFFORDABLE", 0)
    (few,) = paired_bootstrap(values, [PAIR], labels=make_labels(400))
    assert few.test == "paired bootstrap of 400 images, 100 resamples"
    assert few.p == pytest.approx(many.p, abs=0.05)
    assert few.interval == pytest.approx(many.interval, abs=0.05)


def test_no_pairs_are_no_comparisons() -> None:
    assert paired_bootstrap({}, [], labels=make_labels(5)) == mcnemar({}, [], labels=make_labels(5)) == ()


def test_a_head_whose_probabilities_are_not_given_is_refused_by_name() -> None:
    probabilities, labels = make_case()
    with pytest.raises(TableError, match="no probabilities are given for head 'b', only for a"):
        paired_measures({"a": probabilities}, [PAIR], labels=labels, measure="auroc")
