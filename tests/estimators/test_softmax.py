"""Logistic regression of our own, against scikit-learn's, finite differences, and what must not matter."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import skops.io
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from featx.errors import ConvergenceError, HeadError
from featx.estimators import (
    SoftmaxRegression,
    class_scores,
    sweep,
)
from featx.estimators.crossentropy import CrossEntropy
from featx.estimators.descent import Descent
from featx.estimators.targets import expand_shares
from tests.support.classes import Rows, make_rows
from tests.support.sizes import shortened

TIGHT = 1e-10
"""Nearer to the minimum than float64 needs for seven digits."""


def tight(l2: float = 1.0, **params: Any) -> SoftmaxRegression:
    """Ours, with coefficients good to seven digits or so."""
    return SoftmaxRegression(l2, tol=TIGHT, **params)


def peer(l2: float, **params: Any) -> LogisticRegression:
    """Scikit-learn's, by a solver of second order."""
    return LogisticRegression(C=1 / l2, tol=1e-9, max_iter=1000, solver="newton-cholesky", **params)


@parametrize_with_checks([SoftmaxRegression()])
def test_it_is_a_scikit_learn_classifier(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("l2", [100.0, 1.0, 0.01])
@pytest.mark.parametrize(("n", "dim"), [(200, 8), (90, 30), (30, 80)])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_the_solution_of_scikit_learn(classes: int, l2: float, n: int, dim: int, weighted: bool) -> None:
    rows = make_rows(n, dim, classes=classes)
    weights = rows.weights if weighted else None
    ours = tight(l2).fit(rows.X, rows.y, sample_weight=weights)
    theirs = peer(l2).fit(rows.X, rows.y, sample_weight=weights)
    assert_allclose(ours.coef_, theirs.coef_, atol=2e-6)
    assert_allclose(ours.decision_function(rows.held_out), theirs.decision_function(rows.held_out), atol=2e-5)
    assert_allclose(ours.predict_proba(rows.held_out), theirs.predict_proba(rows.held_out), atol=2e-6)
    assert (ours.predict(rows.held_out) == theirs.predict(rows.held_out)).all()


@pytest.mark.parametrize("class_weight", ["balanced", {0: 5.0, 1: 0.5, 2: 1.0}])
def test_class_weights_are_those_of_scikit_learn(class_weight: Any) -> None:
    rows = make_rows()
    some = np.flatnonzero((rows.y != 1) | (np.arange(len(rows.y)) < 40))
    ours = tight(class_weight=class_weight).fit(rows.X[some], rows.y[some])
    theirs = peer(1.0, class_weight=class_weight).fit(rows.X[some], rows.y[some])
    assert_allclose(ours.coef_, theirs.coef_, atol=2e-6)


@pytest.mark.parametrize("n", [120, 10])
def test_the_gradient_by_finite_differences_is_zero_at_the_solution(n: int) -> None:
    rows = make_rows(n, 12)
    fitted = tight(0.3).fit_soft(rows.X, rows.shares, sample_weight=rows.weights)

    def objective(numbers: NDArray[np.float64]) -> float:
        coef, intercept = numbers[:-3].reshape(3, -1), numbers[-3:]
        losses = -(rows.shares * log_softmax(rows.X @ coef.T + intercept, axis=1)).sum(axis=1)
        return float(rows.weights @ losses + 0.15 * (coef**2).sum())

    best = np.concatenate([fitted.coef_.ravel(), fitted.intercept_])
    for step in np.eye(len(best)) * 1e-4:
        assert abs(objective(best + step) - objective(best - step)) / 2e-4 < 1e-5


@pytest.mark.parametrize("n", [120, 10])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_soft_labels_count_as_rows_once_a_class(n: int, class_weight: Any) -> None:
    rows = make_rows(n, 12)
    soft = tight(class_weight=class_weight).fit_soft(rows.X, rows.shares, sample_weight=rows.weights)
    X, y, weights = expand_shares(rows.X, rows.shares, rows.weights)
    hard = tight(class_weight=class_weight).fit(X, y, sample_weight=weights)
    assert len(X) == 3 * n
    assert_allclose(soft.coef_, hard.coef_, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("n", shortened([20, 120]))
@pytest.mark.parametrize("soft", [False, True])
def test_a_sweep_gives_what_fitting_one_by_one_gives(classes: int, n: int, soft: bool) -> None:
    rows = make_rows(n, 30, classes=classes)
    y = rows.shares if soft else rows.y
    grid: dict[str, Any] = {"l2": np.logspace(-4, 3, 8), "class_weight": [None, "balanced"]}
    seen = []
    for params, scores in tight().sweep(rows.X, y, rows.held_out, grid=grid, sample_weight=rows.weights):
        alone = tight(**params)
        fit = alone.fit_soft if soft else alone.fit
        fit(rows.X, y, sample_weight=rows.weights)
        assert_allclose(softmax(scores, axis=1), alone.predict_proba(rows.held_out), atol=1e-5)
        seen.append((params["l2"], params["class_weight"]))
    assert len(set(seen)) == 16
    assert all(one[0] > two[0] for one, two in pairwise(seen) if one[1] == two[1])


def test_as_many_classes_as_rows_are_not_taken_for_numbers_to_predict() -> None:
    assert len(SoftmaxRegression().fit(np.eye(24), np.arange(24)).classes_) == 24


def test_a_sweep_leaves_the_classifier_as_it_was() -> None:
    rows, classifier = make_rows(), SoftmaxRegression(3.0)
    before = dict(vars(classifier))
    list(sweep(classifier, rows.X, rows.y, rows.held_out, grid={"l2": [1.0, 2.0]}))
    assert vars(classifier) == before


def test_a_sweep_over_other_parameters_keeps_its_own_l2() -> None:
    rows = make_rows()
    ((params, scores),) = tight(7.0).sweep(rows.X, rows.y, rows.held_out, grid={"class_weight": ["balanced"]})
    assert params == {"class_weight": "balanced"}
    assert_allclose(scores, class_scores(tight(7.0, **params).fit(rows.X, rows.y), rows.held_out), atol=1e-6)


@pytest.mark.parametrize("n", [120, 20])
def test_rotating_the_features_rotates_the_coefficients(n: int) -> None:
    rows = make_rows(n, 30)
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(30, 30)))
    straight, turned = tight(0.1).fit(rows.X, rows.y), tight(0.1).fit(rows.X @ rotation, rows.y)
    assert_allclose(turned.coef_, straight.coef_ @ rotation, atol=1e-6)


def test_rescaling_features_and_penalty_changes_no_probability_and_no_effort() -> None:
    rows = make_rows()
    one = SoftmaxRegression(1.0).fit(rows.X, rows.y)
    two = SoftmaxRegression(1e-6).fit(rows.X / 1e3, rows.y)
    assert_allclose(one.predict_proba(rows.held_out), two.predict_proba(rows.held_out / 1e3), rtol=1e-6)
    assert one.n_iter_ == two.n_iter_


@pytest.mark.parametrize("n", [120, 20])
def test_moving_the_features_moves_the_intercept_alone(n: int) -> None:
    rows = make_rows(n, 30)
    there, here = tight().fit(rows.X + 1000, rows.y), tight().fit(rows.X, rows.y)
    assert_allclose(there.coef_, here.coef_, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 1000.0, 0.1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [120, 6])
def test_a_constant_column_gets_no_coefficient(value: float, dtype: Any, n: int) -> None:
    rows = make_rows(n, dtype=dtype)
    with_it = np.column_stack([rows.X, np.full(n, value, dtype)])
    fitted, without = (SoftmaxRegression(1e-3).fit(X, rows.y) for X in (with_it, rows.X))
    assert_allclose(fitted.coef_[:, -1], 0, atol=1e-6)
    assert_allclose(fitted.coef_[:, :-1], without.coef_, atol=0.02 * np.abs(without.coef_).max())


@pytest.mark.parametrize("n", [120, 6])
def test_duplicated_columns_share_a_coefficient(n: int) -> None:
    rows = make_rows(n)
    twice = tight(0.5).fit(np.column_stack([rows.X, rows.X]), rows.y)
    assert_allclose(twice.coef_[:, :8], twice.coef_[:, 8:], atol=1e-7)
    assert_allclose(2 * twice.coef_[:, :8], peer(0.25).fit(rows.X, rows.y).coef_, atol=2e-6)


def test_features_that_are_all_alike_give_the_shares_of_the_classes() -> None:
    y = np.repeat([0, 1, 2], [10, 20, 30])
    fitted = SoftmaxRegression().fit(np.ones((60, 5), np.float32), y)
    assert_allclose(fitted.predict_proba(np.ones((1, 5), np.float32)), [[1 / 6, 1 / 3, 1 / 2]], rtol=1e-6)


@pytest.mark.parametrize("n", [120, 20])
def test_rows_without_weight_do_not_matter(n: int) -> None:
    rows = make_rows(n, 30)
    weights = np.where(np.arange(n) % 4 == 0, 0, rows.weights)
    labels = np.where(weights > 0, rows.y, 7)
    weighted = tight().fit(rows.X, labels, sample_weight=weights)
    some = weights > 0
    left_out = tight().fit(rows.X[some], rows.y[some], sample_weight=weights[some])
    assert list(weighted.classes_) == [0, 1, 2]
    assert_allclose(weighted.coef_, left_out.coef_, atol=1e-7)


def separable(n: int, dim: int) -> Rows:
    """Rows in float32 that a plane separates."""
    return make_rows(n, dim, apart=3.0, dtype=np.float32)


@pytest.mark.parametrize(("n", "dim"), [(300, 20), (60, 200)])
@pytest.mark.parametrize("l2", [1e-6, 1e-2, 1e5])
def test_float32_reaches_the_same_solution_where_classes_are_separable(n: int, dim: int, l2: float) -> None:
    rows = separable(n, dim)
    half = SoftmaxRegression(l2).fit(rows.X, rows.y)
    full = tight(l2).fit(rows.X.astype(np.float64), rows.y)
    assert half.coef_.dtype == np.float32
    assert half.gradient_norm_ <= 1e-4
    assert np.linalg.norm(half.coef_ - full.coef_) < 5e-3 * np.linalg.norm(full.coef_)


def test_soft_labels_in_float32_converge_where_nothing_but_rounding_is_left() -> None:
    rows = make_rows(20, 200, dtype=np.float32)
    fitted = SoftmaxRegression(1e-9).fit_soft(rows.X, rows.shares)
    assert_allclose(fitted.predict_proba(rows.X), rows.shares, atol=1e-3)


@pytest.mark.parametrize("n", [500, 300])
def test_a_few_soft_labels_among_separable_rows_converge_in_float32(n: int) -> None:
    rows = make_rows(n, 400, classes=2, dtype=np.float32)
    shares = np.eye(2)[rows.y]
    shares[::6] = [1 / 3, 2 / 3]
    values = list(np.logspace(-6, 3, 19))
    found = list(SoftmaxRegression().sweep(rows.X, shares, rows.X, grid={"l2": values}))
    assert_allclose(softmax(found[-1][1], axis=1), shares, atol=0.02)


def test_a_class_without_any_share_has_no_chance() -> None:
    rows = make_rows()
    shares = np.insert(rows.shares, 1, 0, axis=1)
    with_it, without = tight().fit_soft(rows.X, shares), tight().fit_soft(rows.X, rows.shares)
    found = with_it.predict_proba(rows.held_out)
    assert list(with_it.classes_) == [0, 1, 2, 3]
    assert (found[:, 1] < 1e-200).all()
    assert_allclose(found[:, [0, 2, 3]], without.predict_proba(rows.held_out), atol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample_weight": np.zeros(120)}, "all sample weights are zero"),
        ({"sample_weight": np.where(np.arange(120) == 5, -1, 1)}, "the weight of row 5 is negative"),
        ({"sample_weight": np.ones(3)}, r"shape \(3,\) but there are 120 rows"),
        ({"y": np.zeros(120)}, "only 1 class has rows with a weight above 0"),
        ({"y": np.arange(120) % 2, "sample_weight": np.arange(120) % 2}, "only 1 class"),
    ],
)
def test_what_makes_no_problem_is_refused(change: dict[str, Any], message: str) -> None:
    rows = make_rows()
    with pytest.raises(HeadError, match=message):
        SoftmaxRegression().fit(rows.X, **({"y": rows.y} | change))


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        (np.full((120, 3), 0.5), r"the shares of row 0 are \[0.5 0.5 0.5\]; they must be at least 0 and sum to 1"),
        (np.tile([1.5, -0.5], (120, 1)), "at least 0"),
        (np.full((50, 2), 0.5), "shares for 50 rows but features of 120"),
        (np.tile([1.0, 0.0], (120, 1)), "only 1 class"),
    ],
)
def test_shares_that_are_none_are_refused(shares: NDArray[np.float64], message: str) -> None:
    with pytest.raises(HeadError, match=message):
        SoftmaxRegression().fit_soft(make_rows().X, shares)


def test_class_weights_that_leave_one_class_are_refused() -> None:
    rows = make_rows(classes=2)
    with pytest.raises(HeadError, match="fewer than two classes"):
        SoftmaxRegression(class_weight={0: 1.0, 1: 0.0}).fit(rows.X, rows.y)


@pytest.mark.parametrize("l2", [0.0, -1.0])
def test_a_penalty_that_is_none_is_refused(l2: float) -> None:
    rows = make_rows()
    with pytest.raises(HeadError, match="must be above 0"):
        SoftmaxRegression(l2).fit(rows.X, rows.y)


def test_a_fit_that_ends_early_is_an_error_that_says_how_far_it_came() -> None:
    rows = make_rows()
    with pytest.raises(
        ConvergenceError, match=r"not converge in 2 iterations: the relative norm .* above tol"
    ) as caught:
        SoftmaxRegression(1e-3, max_iter=2).fit(rows.X, rows.y)
    assert caught.value.iterations == 2


@pytest.mark.exhaustive
def test_a_tolerance_that_float32_cannot_reach_is_an_error_and_no_endless_search() -> None:
    rows = make_rows(dtype=np.float32)
    with pytest.raises(ConvergenceError, match="raise tol"):
        SoftmaxRegression(tol=1e-12).fit(rows.X, rows.y)


def test_a_sweep_in_tight_steps_stays_as_quick_as_fits_from_nothing() -> None:
    rows = make_rows(20, 30)
    values = list(np.logspace(3, -4, 8))
    alone = [tight(l2).fit_soft(rows.X, rows.shares).n_iter_ for l2 in values]
    problem = CrossEntropy(rows.X, rows.shares)
    found = Descent(problem, tol=TIGHT, max_iter=1000).follow([l2 / problem.total for l2 in values])
    assert sum(minimum.iterations for minimum in found) < 1.2 * sum(alone)


def test_equal_fits_give_equal_bytes() -> None:
    rows = make_rows(dtype=np.float32)
    one, two = (SoftmaxRegression().fit(rows.X, rows.y) for _ in range(2))
    assert one.coef_.tobytes() == two.coef_.tobytes()


def test_it_is_searched_in_a_pipeline_and_saved_without_pickle() -> None:
    rows = make_rows()
    search = GridSearchCV(make_pipeline(StandardScaler(), SoftmaxRegression()), {"softmaxregression__l2": [0.1, 10.0]})
    best = search.fit(rows.X, rows.y).best_estimator_
    data = skops.io.dumps(best)
    loaded = skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))
    assert set(skops.io.get_untrusted_types(data=data)) == {"featx.estimators.softmax.SoftmaxRegression"}
    assert (loaded.predict_proba(rows.held_out) == best.predict_proba(rows.held_out)).all()
    assert clone(best).get_params()["softmaxregression__l2"] == best[-1].l2
