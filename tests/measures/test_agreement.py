"""Agreement of scores with accuracies, and ranks over data sets, against brute force and published figures."""

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from featx.measures import (
    compare_ranks,
    letters_of,
    mean_over_sets,
    nemenyi_distance,
    pairs_in_order,
    pearson,
    rank_rows,
    regret_of_first,
    weighted_tau,
    width_bias,
)

Floats = NDArray[np.float64]


def brute_force_tau(scores: Floats, truths: Floats) -> float:
    """Vigna's additive hyperbolic tau, pair by pair, averaged over both rankings."""
    found = []
    for first, second in ((scores, truths), (truths, scores)):
        order = sorted(range(len(first)), key=lambda place: (-first[place], -second[place]))
        weight = {place: 1 / (rank + 1) for rank, place in enumerate(order)}
        sums = np.zeros(3)
        for one, other in combinations(range(len(first)), 2):
            a, b = np.sign(first[one] - first[other]), np.sign(second[one] - second[other])
            sums += (weight[one] + weight[other]) * np.array([a * b, a * a, b * b])
        found.append(sums[0] / np.sqrt(sums[1] * sums[2]))
    return float(np.mean(found))


@pytest.mark.parametrize("seed", range(20))
def test_weighted_tau_is_that_of_its_definition_also_with_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 6, 9).astype(float)
    truths = rng.integers(0, 6, 9) / 10
    assert weighted_tau(scores, truths) == pytest.approx(brute_force_tau(scores, truths), abs=1e-12)


def test_weighted_tau_minds_the_top_more_than_the_bottom() -> None:
    truths = np.array([0.9, 0.8, 0.7, 0.6])
    wrong_at_the_top = weighted_tau(np.array([3.0, 4.0, 2.0, 1.0]), truths)
    wrong_at_the_bottom = weighted_tau(np.array([4.0, 3.0, 1.0, 2.0]), truths)
    assert wrong_at_the_top is not None
    assert wrong_at_the_bottom is not None
    assert wrong_at_the_top < wrong_at_the_bottom < 1
    assert weighted_tau(truths, truths) == pytest.approx(1)
    assert weighted_tau(-truths, truths) == pytest.approx(-1)


def test_what_is_constant_has_no_correlation() -> None:
    constant, rising = np.ones(4), np.arange(4.0)
    for measure in (weighted_tau, pearson):
        assert measure(constant, rising) is None
        assert measure(rising, constant) is None
    assert width_bias(rising, rising, rising) is None
    assert width_bias(rising, rising[::-1], constant) is None
    assert pairs_in_order(rising, constant) is None


def test_regret_and_pairs_are_those_counted_by_hand() -> None:
    truths = np.array([0.90, 0.89, 0.80, 0.70])
    assert regret_of_first(np.array([4.0, 3.0, 2.0, 1.0]), truths) == 0
    assert regret_of_first(np.array([1.0, 4.0, 2.0, 3.0]), truths) == pytest.approx(0.01)
    # two share the first place: half of each regret
    assert regret_of_first(np.array([1.0, 4.0, 2.0, 4.0]), truths) == pytest.approx((0.01 + 0.20) / 2)
    # five of six pairs are two points apart; 3 before 2 is wrong, and 0 equal to 2 counts half
    assert pairs_in_order(np.array([2.0, 5.0, 2.0, 2.5]), truths) == pytest.approx((0 + 0.5 + 1 + 1 + 0) / 5)


def test_pairs_that_are_exactly_two_points_apart_count() -> None:
    assert pairs_in_order(np.array([1.0, 2.0]), np.array([0.80, 0.82])) == 1
    assert pairs_in_order(np.array([1.0, 2.0]), np.array([0.80, 0.819])) is None


def test_width_bias_is_the_rank_correlation_of_the_rank_errors() -> None:
    rng = np.random.default_rng(3)
    scores, truths, columns = rng.normal(size=(3, 12))
    errors = stats.rankdata(scores) - stats.rankdata(truths)
    assert width_bias(scores, truths, columns) == pytest.approx(stats.spearmanr(columns, errors).statistic)
    assert width_bias(columns, truths, columns) == pytest.approx(
        stats.spearmanr(columns, stats.rankdata(columns) - stats.rankdata(truths)).statistic
    )


def test_the_interval_over_sets_is_that_of_a_t_test() -> None:
    values = np.random.default_rng(0).normal(size=9)
    mean, interval = mean_over_sets(values)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean == pytest.approx(values.mean())
    assert interval == pytest.approx((low, high))
    assert mean_over_sets(np.array([0.5])) == (0.5, None)
    assert mean_over_sets(np.ones(3)) == (1.0, None)


def test_weights_of_sets_count_in_the_mean_and_its_interval() -> None:
    values, weights = np.array([0.7, 0.8, 0.9]), np.array([2.0, 1.0, 1.0])
    mean, interval = mean_over_sets(values, weights, within=(0.75, 2))
    assert mean == pytest.approx(0.775)
    assert interval is not None
    error = np.sqrt(1.5 * ((0.5 * 0.075) ** 2 + (0.25 * 0.025) ** 2 + (0.25 * 0.125) ** 2))
    assert interval[0] == 0.75
    assert interval[1] == pytest.approx(0.775 + stats.t.ppf(0.975, 2) * error)
    assert mean_over_sets(values, np.ones(3))[0] == pytest.approx(mean_over_sets(values)[0])


@pytest.mark.parametrize(
    ("methods", "quantile"),
    [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (8, 3.031), (9, 3.102), (10, 3.164)],
)
def test_critical_differences_are_those_of_demsars_table_5(methods: int, quantile: float) -> None:
    assert nemenyi_distance(methods, 6) == pytest.approx(quantile * np.sqrt(methods * (methods + 1) / 36), rel=5e-4)


def test_demsars_example_of_four_classifiers_on_14_sets() -> None:
    """Table 6 of the paper: mean ranks 3.143, 2.000, 2.893, 1.964, and F = 3.69 with 3 and 39 degrees of freedom.

    Two values of the last row but one are printed as equal there, and ranked apart.
    """
    table = """
    0.763 0.768 0.771 0.798
    0.599 0.591 0.590 0.569
    0.954 0.971 0.968 0.967
    0.628 0.661 0.654 0.657
    0.882 0.888 0.886 0.898
    0.936 0.931 0.916 0.931
    0.661 0.668 0.609 0.685
    0.583 0.583 0.563 0.625
    0.775 0.838 0.866 0.875
    1.000 1.000 1.000 1.000
    0.940 0.962 0.965 0.962
    0.619 0.666 0.614 0.669
    0.972 0.981 0.9751 0.975
    0.957 0.978 0.946 0.970
    """
    values = np.array([line.split() for line in table.strip().splitlines()], float)
    found = compare_ranks(values)
    assert found.means == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    assert found.distance == pytest.approx(1.25, abs=5e-3)
    squares = 14 * (3.143**2 + 2**2 + 2.893**2 + 1.964**2) * 12 / (4 * 5) - 3 * 14 * 5
    assert squares == pytest.approx(9.28, abs=0.02)
    # the paper does not correct for ties, which makes its p larger
    assert found.p == pytest.approx(stats.f.sf(3.69, 3, 39), abs=0.01)
    assert found.groups == ((3, 1, 2, 0),)


def test_friedmans_test_is_that_of_the_chi_square_of_scipy_turned_into_f() -> None:
    rng = np.random.default_rng(5)
    for values in (rng.normal(size=(8, 4)), rng.integers(0, 3, (9, 3)).astype(float)):
        sets, methods = values.shape
        chi = stats.friedmanchisquare(*values.T).statistic
        ratio = (sets - 1) * chi / (sets * (methods - 1) - chi)
        expected = stats.f.sf(ratio, methods - 1, (methods - 1) * (sets - 1))
        assert compare_ranks(values).p == pytest.approx(expected)


def test_equal_methods_are_one_group_and_always_ordered_ones_are_told_apart() -> None:
    assert compare_ranks(np.ones((5, 3))).p == 1
    ordered = compare_ranks(np.tile([0.3, 0.2, 0.1], (30, 1)))
    assert ordered.groups == ((0,), (1,), (2,))
    assert ordered.p is not None
    assert ordered.p < 1e-10
    single = compare_ranks(np.array([[0.2, 0.3]]))
    assert (single.p, single.distance, single.groups) == (None, None, ((1, 0),))


def test_false_differences_are_as_rare_as_they_should_be() -> None:
    rng = np.random.default_rng(0)
    found = [compare_ranks(rng.normal(size=(12, 5))) for _ in range(400)]
    assert np.mean([len(one.groups) > 1 for one in found]) < 0.08
    assert 0.02 < np.mean([one.p is not None and one.p < 0.05 for one in found]) < 0.09


def test_groups_overlap_and_their_letters_say_so() -> None:
    assert letters_of(((0, 1), (1, 2)), 3) == ["a", "ab", "b"]
    assert rank_rows(np.array([[1.0, 1.0 + 1e-15, 0.0]])).tolist() == [[1.5, 1.5, 3.0]]
