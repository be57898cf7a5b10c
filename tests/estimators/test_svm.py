"""Support vector machines find the margins that independent implementations find, and say where they approximate."""

import logging
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.kernel_approximation import Nystroem
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVC, LinearSVC

from featx.errors import ConvergenceError, HeadError
from featx.estimators import (
    FeatureScaler,
    KernelMap,
    KernelSVM,
    LinearSVM,
)
from featx.estimators.kernel import resolve_gamma
from featx.estimators.squared_hinge import SquaredHinge
from featx.estimators.targets import label_targets, share_targets
from tests.support.learning import blobs, soft

SHAPES = pytest.mark.parametrize(("count", "columns"), [(90, 5), (60, 20), (30, 50)], ids=["long", "square", "wide"])


def least_by_scipy(rows: NDArray[Any], sides: NDArray[Any], weights: NDArray[Any], *, cost: float) -> NDArray[Any]:
    """Coefficients and intercept (d + 1,) of |a|^2 / 2 + C sum w max(0, 1 - t f)^2, by a general minimiser."""

    def objective(point: NDArray[Any]) -> tuple[float, NDArray[Any]]:
        short = np.maximum(1 - sides * (rows @ point[:-1] + point[-1]), 0)
        force = -2 * cost * weights * sides * short
        slope = np.append(point[:-1] + rows.T @ force, force.sum())
        return float(0.5 * point[:-1] @ point[:-1] + cost * weights @ short**2), slope

    found = minimize(objective, np.zeros(rows.shape[1] + 1), jac=True, method="BFGS", options={"gtol": 1e-9})
    return np.asarray(found.x)


@SHAPES
@pytest.mark.parametrize("cost", [0.01, 1.0])
@pytest.mark.parametrize("classes", [2, 3])
def test_the_linear_machine_is_at_the_minimum_that_a_general_minimiser_finds(
    count: int, columns: int, cost: float, classes: int
) -> None:
    X, y, _ = blobs(count, columns, classes=classes)
    weights = np.linspace(0.1, 2, count)
    fitted, tight = (LinearSVM(cost, tol=tol).fit(X, y, weights) for tol in (1e-10, 1e-14))
    for place, one in enumerate([1] if classes == 2 else range(classes)):
        expected = least_by_scipy(X, np.where(y == one, 1.0, -1.0), weights, cost=cost)
        assert np.allclose(np.append(fitted.coef_[place], fitted.intercept_[place]), expected, atol=5e-5)
        assert np.allclose(np.append(tight.coef_[place], tight.intercept_[place]), expected, atol=1e-5)


def test_soft_labels_pull_a_row_to_both_sides_as_a_general_minimiser_finds() -> None:
    X, _, _ = blobs()
    shares = soft(90)
    fitted = LinearSVM(0.5).fit_soft(X, shares)
    twice, sides = np.vstack([X, X]), np.repeat([1.0, -1.0], 90)
    for place in range(3):
        weights = np.concatenate([shares[:, place], 1 - shares[:, place]])
        expected = least_by_scipy(twice, sides, weights, cost=0.5)
        assert np.allclose(fitted.coef_[place], expected[:-1], atol=1e-5)


@SHAPES
def test_the_linear_machine_decides_as_that_of_scikit_learn(count: int, columns: int) -> None:
    X, y, new = blobs(count, columns)
    theirs = LinearSVC(C=0.3, intercept_scaling=100, tol=1e-8, max_iter=100_000, dual=False)
    ours = LinearSVM(0.3).fit(X, y).decision_function(new)
    assert np.allclose(ours, theirs.fit(X, y).decision_function(new), atol=1e-2)


@SHAPES
@pytest.mark.parametrize("far", [3.9, 100])
def test_single_precision_decides_as_double_precision_also_far_from_zero(count: int, columns: int, far: float) -> None:
    X, y, new = blobs(count, columns)
    double = LinearSVM(1.0).fit(X + far, y)
    single = LinearSVM(1.0).fit((X + far).astype(np.float32), y)
    assert single.coef_.dtype == single.decision_function((new + far).astype(np.float32)).dtype == np.float32
    assert np.allclose(double.decision_function(new + far), single.decision_function(new + far), atol=2e-2)


def test_with_a_high_cost_and_columns_not_centred_single_precision_converges() -> None:
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(900, 100)) + 3.9).astype(np.float32)
    y = X[:, :3].sum(axis=1) + rng.normal(size=900) > 11.7
    assert (LinearSVM(1e3).fit(X, y).predict(X) == y).mean() > 0.75


@pytest.mark.parametrize("cost", [1e-8, 1e3])
def test_the_linear_machine_converges_with_any_cost(cost: float) -> None:
    for apart in (0.0, 5.0):
        X, y, _ = blobs(60, 20, apart=apart)
        LinearSVM(cost).fit(X.astype(np.float32), y)


def test_the_slope_is_that_of_finite_differences() -> None:
    X, _, _ = blobs(40)
    problem = SquaredHinge(X, share_targets(soft(40), None, None, rows=40))
    point = np.random.default_rng(0).normal(size=problem.start().shape)
    state = problem.evaluate(point, C=0.7)
    for place in np.ndindex(point.shape):
        step = np.zeros_like(point)
        step[place] = 1e-6
        ahead, behind = (problem.evaluate(point + way * step, C=0.7).value.sum() for way in (1, -1))
        assert state.slope[place] == pytest.approx((ahead - behind) / 2e-6, rel=1e-4, abs=1e-4)


def test_a_linear_machine_that_does_not_converge_is_an_error_with_steps_and_gradient() -> None:
    X, y, _ = blobs()
    with pytest.raises(
        ConvergenceError, match=r"linear SVM did not converge in 1 iterations: gradient norm [\d.e-]+ at C = 1"
    ):
        LinearSVM(max_iter=1).fit(X, y)


@pytest.mark.parametrize("classifier", [LinearSVM(0.0), LinearSVM(float("nan")), KernelSVM(-1.0)])
def test_a_cost_that_is_not_above_0_is_an_error(classifier: Any) -> None:
    X, y, _ = blobs()
    with pytest.raises(HeadError, match="give a number above 0"):
        classifier.fit(X, y)


def test_classes_are_balanced_by_their_weights() -> None:
    X, y, _ = blobs(classes=2, apart=0.3)
    rare = (y == 1) & (np.arange(len(y)) > 20)
    X, y = X[~rare], y[~rare]
    counts = np.bincount(y)
    for kind in (LinearSVM, KernelSVM):
        balanced = kind(class_weight="balanced").fit(X, y)
        weighted = kind().fit(X, y, (len(y) / 2 / counts)[y])
        assert np.allclose(balanced.decision_function(X), weighted.decision_function(X), atol=1e-4)


@pytest.mark.parametrize("gamma", ["scale", 0.5])
def test_two_classes_are_divided_as_by_the_machine_of_scikit_learn(gamma: Any) -> None:
    X, y, new = blobs(classes=2)
    weights = np.linspace(0.1, 2, len(X))
    theirs = SVC(C=3.0, gamma=gamma if gamma == "scale" else gamma / X.shape[1], tol=1e-8)
    if gamma == "scale":
        theirs.set_params(gamma=resolve_gamma("scale", X, weights))
    ours = KernelSVM(3.0, gamma).fit(X, y, weights)
    assert np.allclose(ours.decision_function(new), theirs.fit(X, y, weights).decision_function(new), atol=1e-3)


def test_three_classes_have_the_margins_of_each_against_the_rest() -> None:
    X, y, new = blobs()
    ours = KernelSVM(3.0, 0.5).fit(X, y).decision_function(new)
    for place in range(3):
        theirs = SVC(C=3.0, gamma=0.5 / X.shape[1], tol=1e-8).fit(X, y == place)
        assert np.allclose(ours[:, place], theirs.decision_function(new), atol=1e-3)


def test_gamma_by_scale_is_that_of_scikit_learn_and_counts_weights() -> None:
    X, _, _ = blobs()
    assert resolve_gamma("scale", X) == pytest.approx(1 / (X.shape[1] * X.var()))
    counts = np.arange(len(X)) % 3
    repeated = np.repeat(X, counts, axis=0)
    assert resolve_gamma("scale", X, counts.astype(float)) == pytest.approx(1 / (X.shape[1] * repeated.var()))
    assert resolve_gamma("scale", np.ones((4, 2))) == pytest.approx(1 / 2)


@pytest.mark.parametrize("gamma", [0.0, -1.0, "auto"])
def test_a_gamma_that_is_none_is_an_error(gamma: Any) -> None:
    X, y, _ = blobs()
    for estimator in (KernelMap(gamma), KernelSVM(gamma=gamma)):
        with pytest.raises(HeadError, match="in units of 1 / columns, or 'scale'"):
            estimator.fit(X, y)


def test_above_the_limit_the_kernel_is_approximated_which_is_told_once_and_kept(
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X, y, new = blobs()
    monkeypatch.setattr("featx.estimators.kernel.EXACT_ROWS", 89)
    with caplog.at_level(logging.WARNING, logger="featx"):
        exact, approximate = KernelSVM(approximate=False).fit(X, y), KernelSVM(n_components=40).fit(X, y)
    assert (exact.approximate_, approximate.approximate_) == (False, True)
    told = "90 rows are above the limit of 89 for an exact kernel; it is approximated by a map of 40 columns"
    assert [record.getMessage() for record in caplog.records] == [told]
    assert (exact.predict(new) == approximate.predict(new)).mean() > 0.9


def test_a_map_of_all_rows_has_the_kernel_as_its_products() -> None:
    X, _, _ = blobs(40)
    mapped = KernelMap(0.5, 1000).fit_transform(X)
    assert mapped.shape == (40, 40)
    assert np.allclose(mapped @ mapped.T, rbf_kernel(X, gamma=0.5 / X.shape[1]), atol=1e-6)


def test_the_map_is_that_of_scikit_learn_and_its_seed_draws_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    X, _, new = blobs()
    theirs = Nystroem(gamma=0.5 / X.shape[1], n_components=10, random_state=3).fit(X)
    ours = KernelMap(0.5, 10, seed=3).fit(X)
    assert np.allclose(ours.transform(new), theirs.transform(new))
    monkeypatch.setattr("featx.estimators.kernel.DISTANCES_AT_ONCE", 70)
    assert np.allclose(ours.transform(new), theirs.transform(new))
    assert not np.allclose(ours.transform(new), KernelMap(0.5, 10, seed=4).fit(X).transform(new))


def test_how_many_rows_are_scored_at_a_time_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y, new = blobs()
    fitted = KernelSVM().fit(FeatureScaler().fit_transform(X), y)
    whole = fitted.decision_function(new)
    monkeypatch.setattr("featx.estimators.kernel.DISTANCES_AT_ONCE", 100)
    assert np.allclose(fitted.decision_function(new), whole)


def test_labels_and_shares_of_0_and_1_are_the_same_problem() -> None:
    X, y, _ = blobs()
    hard, shares = SquaredHinge(X, label_targets(y, None, None)), share_targets(np.eye(3)[y], None, None, rows=90)
    assert np.array_equal(hard.positive, SquaredHinge(X, shares).positive)
