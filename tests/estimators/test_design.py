"""Whatever coordinates a linear model is fitted in, its scores, penalties and derivatives are those of the columns."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from featx.estimators import LinearSVM, SoftmaxRegression
from featx.estimators.design import (
    FEW_ROWS,
    Design,
    design_of,
)

SHAPES = pytest.mark.parametrize(("count", "columns"), [(90, 5), (60, 20), (20, 60)], ids=["long", "square", "wide"])
KINDS = pytest.mark.parametrize("kind", [np.float64, np.float32])
CLASSES = pytest.mark.parametrize("classes", [2, 7])


def made(count: int, columns: int, kind: Any) -> tuple[NDArray[Any], NDArray[np.float64], Design]:
    """Rows of which one column is far from 0 and one has none, their weights, of which some are 0, and the design."""
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(count, columns)) + np.where(np.arange(columns) == 1, 50, 1)).astype(kind)
    X[:, 2] = 0
    weights = rng.integers(0, 3, count).astype(np.float64)
    return X, weights, design_of(X, weights)


def random_point(design: Design, classes: int) -> NDArray[np.float64]:
    return np.random.default_rng(1).normal(size=(classes, design.rows.shape[1] + 1))


def scores_of(design: Design, point: NDArray[np.float64]) -> NDArray[np.float64]:
    score = design.scorer(point)
    return np.concatenate([score(block) for _, block in design.blocks()], axis=1).astype(np.float64)


@SHAPES
@KINDS
@CLASSES
def test_scores_are_those_of_the_columns(count: int, columns: int, kind: Any, classes: int) -> None:
    X, weights, design = made(count, columns, kind)
    point = random_point(design, classes)
    coefficients, intercepts = design.of_columns(point)
    heavy = weights > 0
    expected = X[heavy].astype(np.float64) @ coefficients.T + intercepts
    assert_allclose(scores_of(design, point).T[heavy], expected, rtol=0, atol=1e-9 if kind == np.float64 else 2e-4)


@SHAPES
@KINDS
def test_coefficients_are_as_long_as_those_of_the_columns(count: int, columns: int, kind: Any) -> None:
    _, _, design = made(count, columns, kind)
    point = random_point(design, 3)
    lengths = np.linalg.norm(design.of_columns(point)[0], axis=1)
    assert_allclose(lengths, np.linalg.norm(point[:, :-1], axis=1), rtol=1e-9 if kind == np.float64 else 1e-5)


@SHAPES
@KINDS
def test_along_the_axes_the_weighted_gram_matrix_is_diagonal(count: int, columns: int, kind: Any) -> None:
    X, weights, design = made(count, columns, kind)
    axes = design.turn(np.hstack([np.eye(design.rows.shape[1]), np.zeros((design.rows.shape[1], 1))]))[:, :-1]
    centred = (design.rows - np.average(design.rows, axis=0, weights=weights)) @ axes
    gram = centred.T @ (weights[:, None] * centred)
    largest = np.linalg.eigvalsh(np.cov(X.T, aweights=weights, ddof=0)).max() * weights.sum()
    assert_allclose(gram, np.diag(design.curvatures), rtol=0, atol=largest * (1e-9 if kind == np.float64 else 1e-5))


@SHAPES
@CLASSES
def test_a_pull_is_what_scores_change_by(count: int, columns: int, classes: int) -> None:
    _, _, design = made(count, columns, np.float64)
    point, forces = random_point(design, classes), np.random.default_rng(2).normal(size=(classes, count))
    pulled = np.zeros_like(point)
    for rows, block in design.blocks():
        design.add_pull(pulled, forces[:, rows], block)
    design.take_offset(pulled)
    assert np.vdot(pulled, point) == pytest.approx(float(np.vdot(forces, scores_of(design, point))))


@SHAPES
@KINDS
@pytest.mark.parametrize("scale", [1e-45, 1e38])
def test_the_scale_of_the_weights_does_not_matter(count: int, columns: int, kind: Any, scale: float) -> None:
    X, weights, design = made(count, columns, kind)
    scaled = design_of(X, scale * weights)
    assert_allclose(scaled.curvatures, scale * design.curvatures, rtol=1e-6, atol=scale * 1e-6)


def test_only_few_rows_are_copied() -> None:
    many, few = (np.random.default_rng(0).normal(size=(FEW_ROWS * 10 + more, 10)) for more in (1, 0))
    assert design_of(many, np.ones(len(many))).rows is many
    assert not np.shares_memory(design_of(few, np.ones(len(few))).rows, few)


@KINDS
def test_rows_that_weigh_next_to_nothing_change_nothing(kind: Any) -> None:
    X = np.random.default_rng(0).normal(size=(10, 30)).astype(kind)
    y = np.arange(10) % 2
    some = SoftmaxRegression(0.1).fit(X[:8], y[:8]).decision_function(X)
    every = SoftmaxRegression(0.1).fit(X, y, sample_weight=np.append(np.ones(8), [1e-300, 0])).decision_function(X)
    assert_allclose(every, some, rtol=1e-4, atol=1e-4)


@SHAPES
@KINDS
def test_features_that_are_all_alike_give_the_shares_of_the_classes(count: int, columns: int, kind: Any) -> None:
    y = np.arange(count) % 5 == 0
    found = SoftmaxRegression().fit(np.full((count, columns), 3.7, kind), y)
    assert_allclose(found.predict_proba(np.full((1, columns), 3.7, kind)), [[0.8, 0.2]], atol=1e-5)


@pytest.mark.parametrize("count", [20, 60])
def test_a_column_of_a_far_larger_scale_hides_no_other_in_double_precision(count: int) -> None:
    X = np.random.default_rng(0).normal(size=(count, 60))
    y = X[:, 1] > 0
    X[:, 0] *= 1e9
    found = LinearSVM(1.0).fit(X, y)
    assert (found.predict(X) == y).all()
    assert np.abs(found.coef_).argmax() == 1


@KINDS
def test_columns_that_lie_apart_in_memory_are_the_same(kind: Any) -> None:
    wide = np.random.default_rng(0).normal(size=(20, 60)).astype(kind)
    apart, together = wide[:, ::2], np.ascontiguousarray(wide[:, ::2])
    one, two = (design_of(X, np.ones(20)) for X in (apart, together))
    assert_allclose(one.rows @ one.rows.T, two.rows @ two.rows.T, atol=1e-5)
