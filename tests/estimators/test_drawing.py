"""Linear classifiers that are drawn towards given scores, against closed forms and optima that scipy finds."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

from featx.errors import HeadError
from featx.estimators import (
    BlockPCA,
    BlockScaler,
    ColumnSelector,
    CoralAdapter,
    CosineNeighbors,
    DomainStandardiser,
    FeatureScaler,
    LinearScores,
    LinearSVM,
    LooRidgeClassifier,
    SoftmaxRegression,
    TransportAdapter,
    class_scores,
    fold_steps,
)

ROWS, COLUMNS = 30, 4
DRAWN = (SoftmaxRegression(), LinearSVM(), LooRidgeClassifier())


def task(classes: int, *, columns: int = COLUMNS, seed: int = 0) -> tuple[NDArray[Any], NDArray[Any], LinearScores]:
    """Rows far from 0, shares of the classes, and scores to draw towards."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(ROWS, columns)) + 3
    codes = np.arange(ROWS) % classes
    rows[:, 0] += codes
    towards = LinearScores(rng.normal(size=(classes, columns)), rng.normal(size=classes))
    return rows, np.eye(classes)[codes], towards


def flat(scores: LinearScores) -> NDArray[Any]:
    return np.column_stack([scores.coefficients, scores.intercepts]).ravel()


def optimum(
    loss: Callable[[NDArray[Any]], float], towards: LinearScores, rows: NDArray[Any], l2: float
) -> LinearScores:
    """The scores of the least loss + l2 / 2 x the squared change of coefficients, and at the mean per row length."""
    mean = rows.mean(axis=0)
    length = float(rows.var(axis=0).sum())
    shape = len(towards.intercepts), len(mean) + 1

    def objective(values: NDArray[Any]) -> float:
        change = (values - flat(towards)).reshape(shape)
        at_mean = change[:, :-1] @ mean + change[:, -1]
        return loss(values.reshape(shape)) + l2 / 2 * float((change[:, :-1] ** 2).sum() + (at_mean**2).sum() / length)

    best = minimize(objective, flat(towards), method="BFGS", options={"gtol": 1e-9, "maxiter": 5000}).x.reshape(shape)
    return LinearScores(best[:, :-1], best[:, -1])


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("l2", [0.3, 30.0])
def test_softmax_regression_reaches_the_optimum_that_scipy_finds(classes: int, l2: float) -> None:
    rows, shares, towards = task(classes)

    def loss(values: NDArray[Any]) -> float:
        scores = rows @ values[:, :-1].T + values[:, -1]
        return float((logsumexp(scores, axis=1) - (shares * scores).sum(axis=1)).sum())

    ((value, drawn),) = SoftmaxRegression(tol=1e-9).draw(rows, shares, towards=towards, values=[l2])
    unit = 2 if classes == 2 else 1
    expected = optimum(loss, towards, rows, l2 * unit)
    assert value == l2
    np.testing.assert_allclose(drawn.of(rows), expected.of(rows), atol=1e-4)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("columns", [COLUMNS, 2 * ROWS])
def test_ridge_has_the_closed_form_of_residual_targets(classes: int, columns: int) -> None:
    rows, shares, towards = task(classes, columns=columns)
    ((_, drawn),) = LooRidgeClassifier().draw(rows, shares, towards=towards, values=[2.0])
    centred = np.column_stack([rows - rows.mean(axis=0), np.full(ROWS, np.sqrt(rows.var(axis=0).sum()))])
    residual = (2 * shares - 1) / (2 if classes == 2 else 1) - towards.of(rows)
    change = np.linalg.solve(centred.T @ centred + 2 * np.eye(columns + 1), centred.T @ residual)
    np.testing.assert_allclose(drawn.of(rows), towards.of(rows) + centred @ change, atol=1e-9)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_linear_svm_reaches_the_optimum_that_scipy_finds(classes: int) -> None:
    rows, shares, towards = task(classes)
    ((_, drawn),) = LinearSVM().draw(rows, shares, towards=towards, values=[0.2])
    columns = [1] if classes == 2 else range(classes)
    for column in columns:
        own = towards.take([column])
        if classes == 2:
            own = own.plus(towards.take([0]).times(-1))
        sign = 2 * shares[:, column] - 1

        def loss(values: NDArray[Any], sign: NDArray[Any] = sign) -> float:
            scores = rows @ values[0, :-1] + values[0, -1]
            return 0.2 * float((np.maximum(0, 1 - sign * scores) ** 2).sum())

        found = drawn.of(rows)[:, column] - (drawn.of(rows)[:, 0] if classes == 2 else 0)
        np.testing.assert_allclose(found, optimum(loss, own, rows, 1.0).of(rows)[:, 0], atol=1e-4)


@pytest.mark.parametrize("classifier", DRAWN, ids=lambda one: type(one).__name__)
def test_an_endless_penalty_keeps_the_scores_drawn_towards(classifier: Any) -> None:
    rows, shares, towards = task(3)
    strongest = 1e-12 if classifier.path == "C" else 1e12
    ((_, drawn),) = classifier.draw(rows, shares, towards=towards, values=[strongest])
    np.testing.assert_allclose(drawn.of(rows), towards.of(rows), atol=1e-6)


@pytest.mark.parametrize("classifier", DRAWN, ids=lambda one: type(one).__name__)
def test_drawn_towards_nothing_it_is_the_plain_fit_where_the_mean_score_is_0_anyway(classifier: Any) -> None:
    rows, shares, _ = task(2)
    zero = LinearScores.zeros(2, COLUMNS)
    ((_, drawn),) = classifier.set_params(**{classifier.path: 1.0}).draw(rows, shares, towards=zero, values=[1.0])
    plain = type(classifier)(1.0).fit_soft(rows, shares)
    agreement = np.corrcoef(drawn.of(rows)[:, 1], class_scores(plain, rows)[:, 1])[0, 1]
    assert agreement > 0.999


@pytest.mark.parametrize("classifier", DRAWN, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("classes", [2, 3])
def test_rows_of_weight_2_are_rows_twice(classifier: Any, classes: int) -> None:
    rows, shares, towards = task(classes)
    doubled = np.repeat(np.arange(ROWS), 1 + np.arange(ROWS) % 2)
    weights = 1.0 + np.arange(ROWS) % 2
    ((_, weighted),) = classifier.draw(rows, shares, towards=towards, values=[1.0], sample_weight=weights)
    ((_, repeated),) = classifier.draw(rows[doubled], shares[doubled], towards=towards, values=[1.0])
    np.testing.assert_allclose(weighted.of(rows), repeated.of(rows), atol=1e-3)


@pytest.mark.parametrize("classifier", DRAWN, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("classes", [2, 3])
def test_a_classifier_that_holds_scores_gives_them(classifier: Any, classes: int) -> None:
    rows, _, towards = task(classes)
    holding = type(classifier)().hold(towards, dtype=np.float64)
    centred = towards.of(rows) - towards.of(rows).mean(axis=1, keepdims=True) * (classes == 2)
    np.testing.assert_allclose(class_scores(holding, rows), centred)
    np.testing.assert_allclose(holding.held().of(rows), centred)


def test_scores_folded_into_the_steps_before_are_those_of_the_whole_pipeline() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 6)) * [1, 2, 3, 4, 5, 6] + 2
    steps: list[Any] = [
        ColumnSelector("anova", share=0.7),
        BlockScaler(),
        BlockPCA(variance=0.9),
        FeatureScaler("overall"),
        FeatureScaler("none"),
    ]
    found = rows
    for step in steps:
        found = step.fit(found, np.arange(40) % 2).transform(found)
    scores = LinearScores(rng.normal(size=(3, found.shape[1])), rng.normal(size=3))
    np.testing.assert_allclose(fold_steps(steps, scores).of(rows), scores.of(found), atol=1e-9)


@pytest.mark.parametrize("adapter", [DomainStandardiser(), CoralAdapter(), TransportAdapter()])
def test_scores_after_an_adapter_are_folded_into_the_features_of_the_target(adapter: Any) -> None:
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(40, 4)), 3 + 2 * rng.normal(size=(30, 4))
    adapter.fit_domains(source, target)
    scores = LinearScores(rng.normal(size=(3, 4)), rng.normal(size=3))
    np.testing.assert_allclose(fold_steps([adapter], scores).of(target), scores.of(adapter.transform(target)))


@pytest.mark.parametrize("step", [FeatureScaler("l2"), CosineNeighbors()])
def test_a_step_that_is_not_linear_has_no_scores_before_it(step: Any) -> None:
    fitted = step.fit(np.eye(4) + 1, np.arange(4) % 2)
    with pytest.raises(HeadError, match="linear function of the features"):
        fold_steps([fitted], LinearScores.zeros(2, 4))


def test_scores_can_be_moved_into_scaled_columns_and_back() -> None:
    rows, _, towards = task(3)
    scaler = FeatureScaler("standardise").fit(rows)
    moved = towards.of_scaled(scaler.mean_, scaler.factor_)
    np.testing.assert_allclose(moved.of(scaler.transform(rows)), towards.of(rows))
    np.testing.assert_allclose(fold_steps([scaler], moved).coefficients, towards.coefficients)
