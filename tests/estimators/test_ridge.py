"""Ridge regression of our own and its leave-one-out scores, against refits one by one and scikit-learn's."""

from typing import Any

import numpy as np
import pytest
import skops.io
from numpy.testing import assert_allclose
from sklearn.linear_model import RidgeClassifier, RidgeClassifierCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from featx.errors import HeadError
from featx.estimators import (
    LooRidgeClassifier,
    class_scores,
    sweep,
)
from featx.estimators.scores import spread_scores
from featx.estimators.targets import expand_shares
from tests.support.classes import make_rows
from tests.support.sizes import shortened


def failing(classifier: LooRidgeClassifier) -> dict[str, str]:
    """Leaving out one of two equal rows, which leaves the other, is not leaving out one row of twice the weight."""
    reason = "what is left out is a row, however much it weighs"
    return {} if classifier.l2 else {"check_sample_weight_equivalence_on_dense_data": reason}


def storing(l2: float | None = None, **params: Any) -> LooRidgeClassifier:
    """One that keeps its left-out scores."""
    return LooRidgeClassifier(l2, store_loo=True, **params)


@parametrize_with_checks([LooRidgeClassifier(), LooRidgeClassifier(1.0)], expected_failed_checks=failing)
def test_it_is_a_scikit_learn_classifier(estimator: Any, check: Any) -> None:
    check(estimator)


SHAPES = [(60, 8), (20, 40), (30, 30)]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("l2", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize(("n", "dim"), SHAPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_the_solution_of_scikit_learn(classes: int, l2: float, n: int, dim: int, weighted: bool) -> None:
    rows = make_rows(n, dim, classes=classes)
    weights = rows.weights if weighted else None
    ours = LooRidgeClassifier(l2).fit(rows.X, rows.y, sample_weight=weights)
    theirs = RidgeClassifier(l2, solver="cholesky").fit(rows.X, rows.y, sample_weight=weights)
    assert_allclose(ours.coef_, np.atleast_2d(theirs.coef_), atol=1e-8)
    assert_allclose(ours.decision_function(rows.held_out), theirs.decision_function(rows.held_out), atol=1e-7)
    assert (ours.predict(rows.held_out) == theirs.predict(rows.held_out)).all()


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("l2", shortened([1e-6, 1e-2, 10.0]))
@pytest.mark.parametrize(("n", "dim"), SHAPES)
@pytest.mark.parametrize("kind", ["plain", "weighted", "soft", "balanced"])
def test_left_out_scores_are_those_of_refits_without_the_row(
    classes: int, l2: float, n: int, dim: int, kind: str
) -> None:
    rows = make_rows(n, dim, classes=classes)
    weights = np.where(np.arange(n) % 7 == 3, 0, rows.weights) if kind != "plain" else np.ones(n)
    class_weight = {0: 2.0, 1: 0.5} if kind == "balanced" else None
    shares = rows.shares if kind == "soft" else np.eye(classes)[rows.y]
    ours = storing(l2, class_weight=class_weight).fit_soft(rows.X, shares, sample_weight=weights)
    for row in range(n):
        others = np.arange(n) != row
        refit = LooRidgeClassifier(l2, class_weight=class_weight)
        refit.fit_soft(rows.X[others], shares[others], sample_weight=weights[others])
        assert_allclose(ours.loo_scores_[row], class_scores(refit, rows.X[[row]])[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(("n", "dim"), SHAPES)
def test_left_out_errors_are_those_of_scikit_learn(classes: int, n: int, dim: int) -> None:
    rows, grid = make_rows(n, dim, classes=classes), [0.1, 1.0, 10.0]
    theirs = RidgeClassifierCV(grid, store_cv_results=True).fit(rows.X, rows.y)
    targets = 2 * np.eye(classes)[rows.y] - 1
    for index, l2 in enumerate(grid):
        scores = storing(l2).fit(rows.X, rows.y).loo_scores_
        errors = (scores[:, 1:] - scores[:, :1] - targets[:, 1:]) if classes == 2 else scores - targets
        assert_allclose(errors**2, theirs.cv_results_[..., index].reshape(n, -1), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("n", "dim"), [(90, 8), (45, 60)])
@pytest.mark.parametrize("soft", [False, True])
def test_the_penalty_is_that_whose_left_out_scores_name_most_weight_rightly(n: int, dim: int, soft: bool) -> None:
    rows = make_rows(n, dim, apart=0.5)
    shares = rows.shares if soft else np.eye(3)[rows.y]
    grid = [float(l2) for l2 in np.logspace(-3, 4, 15)]
    right = {}
    for l2 in grid:
        named = storing(l2).fit_soft(rows.X, shares, sample_weight=rows.weights).loo_scores_.argmax(axis=1)
        right[l2] = round(float(rows.weights @ shares[np.arange(n), named]), 9)
    ours = storing(grid=grid).fit_soft(rows.X, shares, sample_weight=rows.weights)
    assert ours.l2_ == max(l2 for l2 in grid if right[l2] == max(right.values()))
    alone = storing(ours.l2_).fit_soft(rows.X, shares, sample_weight=rows.weights)
    assert_allclose(ours.loo_scores_, alone.loo_scores_, atol=1e-12)
    assert_allclose(ours.coef_, alone.coef_, atol=1e-12)


def test_left_out_scores_are_kept_only_where_asked_for() -> None:
    rows = make_rows()
    assert not hasattr(LooRidgeClassifier().fit(rows.X, rows.y), "loo_scores_")
    assert storing().fit(rows.X, rows.y).loo_scores_.shape == (len(rows.y), 3)


def test_of_penalties_that_are_equally_good_the_largest_is_taken() -> None:
    rows = make_rows(apart=20.0)
    assert LooRidgeClassifier(grid=[0.1, 2.0, 1.0]).fit(rows.X, rows.y).l2_ == 2.0


@pytest.mark.parametrize(("n", "dim"), SHAPES)
@pytest.mark.parametrize("soft", [False, True])
def test_a_sweep_gives_what_fitting_one_by_one_gives(n: int, dim: int, soft: bool) -> None:
    rows = make_rows(n, dim)
    y = rows.shares if soft else rows.y
    grid: dict[str, Any] = {"l2": [0.1, None, 10.0, 1.0], "class_weight": [None, "balanced"]}
    seen = []
    for params, scores in sweep(LooRidgeClassifier(), rows.X, y, rows.held_out, grid=grid, sample_weight=rows.weights):
        alone = LooRidgeClassifier(**params)
        (alone.fit_soft if soft else alone.fit)(rows.X, y, sample_weight=rows.weights)
        assert_allclose(scores, class_scores(alone, rows.held_out), atol=1e-9)
        seen.append((params["l2"], params["class_weight"]))
    assert len(set(seen)) == 8


@pytest.mark.parametrize(("n", "dim"), [(60, 8), (20, 80)])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_soft_labels_count_as_rows_once_a_class(n: int, dim: int, class_weight: Any) -> None:
    rows = make_rows(n, dim)
    soft = LooRidgeClassifier(1.0, class_weight=class_weight).fit_soft(rows.X, rows.shares, sample_weight=rows.weights)
    X, y, weights = expand_shares(rows.X, rows.shares, rows.weights)
    hard = LooRidgeClassifier(1.0, class_weight=class_weight).fit(X, y, sample_weight=weights)
    assert_allclose(soft.coef_, hard.coef_, atol=1e-9)


@pytest.mark.parametrize(("n", "dim"), [(60, 8), (20, 80)])
def test_float32_gives_what_float64_gives(n: int, dim: int) -> None:
    half = make_rows(n, dim, dtype=np.float32)
    ours = storing(1e-6).fit(half.X, half.y)
    full = storing(1e-6).fit(half.X.astype(np.float64), half.y)
    assert ours.coef_.dtype == np.float32
    assert_allclose(ours.loo_scores_, full.loo_scores_, atol=1e-8)
    assert_allclose(ours.coef_, full.coef_, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n", [60, 6])
def test_constant_and_duplicated_columns_change_no_score(n: int) -> None:
    rows = make_rows(n)
    more = np.column_stack([rows.X, np.full(n, 1000.0), rows.X[:, 0]])
    ours = LooRidgeClassifier(1e-2).fit(more, rows.y)
    theirs = RidgeClassifier(1e-2, solver="svd").fit(more, rows.y)
    assert_allclose(ours.coef_[:, 8], 0, atol=1e-9)
    assert_allclose(ours.coef_, theirs.coef_, atol=1e-7)


def test_features_that_are_all_alike_give_the_mean_of_the_others() -> None:
    y = np.repeat([0, 1, 2], [10, 20, 30])
    fitted = storing().fit(np.ones((60, 5), np.float32), y)
    assert_allclose(fitted.loo_scores_[0], 2 * np.array([9, 20, 30]) / 59 - 1, atol=1e-12)


def test_a_class_without_any_share_has_no_chance() -> None:
    rows = make_rows()
    shares = np.insert(rows.shares, 1, 0, axis=1)
    with_it, without = (storing(1.0).fit_soft(rows.X, some) for some in (shares, rows.shares))
    spread = spread_scores(class_scores(without, rows.held_out), np.array([0, 2, 3]), 4)
    assert_allclose(class_scores(with_it, rows.held_out), spread)
    assert_allclose(with_it.loo_scores_, spread_scores(without.loo_scores_, np.array([0, 2, 3]), 4))


def test_a_grid_or_penalty_that_is_none_is_refused() -> None:
    rows = make_rows()
    with pytest.raises(HeadError, match="no value of l2"):
        LooRidgeClassifier(grid=[]).fit(rows.X, rows.y)
    with pytest.raises(HeadError, match="l2 is 0 but must be above 0"):
        LooRidgeClassifier(0).fit(rows.X, rows.y)


def test_it_is_saved_without_pickle() -> None:
    rows = make_rows()
    fitted = LooRidgeClassifier().fit(rows.X, rows.y)
    data = skops.io.dumps(fitted)
    strange = skops.io.get_untrusted_types(data=data)
    assert strange == ["featx.estimators.ridge.LooRidgeClassifier"]
    loaded = skops.io.loads(data, trusted=strange)
    assert (loaded.decision_function(rows.held_out) == fitted.decision_function(rows.held_out)).all()
