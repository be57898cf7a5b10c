"""Class scores of classifiers that are not ours, grids over them, and soft labels for those that know none."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import softmax
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from featx.errors import HeadError
from featx.estimators import (
    class_scores,
    fit_classifier,
    sweep,
)
from featx.estimators.scores import NO_CHANCE, spread_scores
from featx.estimators.targets import expand_shares
from tests.support.classes import make_rows


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("classifier", [LogisticRegression(), RandomForestClassifier(5, random_state=0)])
def test_the_softmax_of_scores_is_the_probability(classifier: Any, classes: int) -> None:
    rows = make_rows(classes=classes)
    scores = class_scores(classifier.fit(rows.X, rows.y), rows.held_out)
    assert scores.shape == (120, classes)
    assert_allclose(softmax(scores, axis=1), classifier.predict_proba(rows.held_out), atol=1e-9)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_largest_score_is_the_class_that_is_predicted(classes: int) -> None:
    rows = make_rows(classes=classes)
    fitted = LinearSVC(random_state=0).fit(rows.X, rows.y)
    assert (class_scores(fitted, rows.held_out).argmax(axis=1) == fitted.predict(rows.held_out)).all()


def test_a_probability_of_zero_has_a_finite_score() -> None:
    rows = make_rows(apart=5)
    scores = class_scores(KNeighborsClassifier().fit(rows.X, rows.y), rows.held_out)
    assert scores.min() == NO_CHANCE
    assert np.isfinite(scores).all()


def test_a_grid_over_any_classifier_gives_what_fitting_one_by_one_gives() -> None:
    rows = make_rows()
    grid: dict[str, Any] = {"C": [0.1, 1.0], "class_weight": [None, "balanced"]}
    found = list(sweep(LogisticRegression(), rows.X, rows.y, rows.held_out, grid=grid, sample_weight=rows.weights))
    assert len(found) == 4
    for params, scores in found:
        alone = LogisticRegression(**params).fit(rows.X, rows.y, sample_weight=rows.weights)
        assert (scores == alone.decision_function(rows.held_out)).all()


def test_soft_labels_are_learnt_by_any_classifier_that_takes_weights() -> None:
    rows = make_rows()
    ((_, scores),) = sweep(LogisticRegression(), rows.X, rows.shares, rows.held_out, grid={"C": [1.0]})
    X, y, weights = np.repeat(rows.X, 3, axis=0), np.tile([0, 1, 2], 120), rows.shares.ravel()
    expected = LogisticRegression().fit(X, y, sample_weight=weights).decision_function(rows.held_out)
    assert_allclose(scores, expected, atol=1e-9)


def test_a_class_that_no_row_shares_in_keeps_its_column() -> None:
    rows = make_rows()
    shares = np.insert(np.eye(3)[rows.y], 1, 0, axis=1)
    ((_, scores),) = sweep(KNeighborsClassifier(), rows.X, shares, rows.held_out, grid={"n_neighbors": [3]})
    assert scores.shape == (120, 4)
    assert (scores[:, 1] == NO_CHANCE).all()


def test_scores_of_some_classes_are_spread_over_all() -> None:
    spread = spread_scores(np.array([[1.0, 2.0]]), np.array([0, 2]), 3)
    assert spread.tolist() == [[1.0, NO_CHANCE, 2.0]]


def test_rows_of_one_class_are_not_copied() -> None:
    rows = make_rows()
    X, y, weights = expand_shares(rows.X, np.eye(3)[rows.y], rows.weights)
    assert X is rows.X
    assert (y == rows.y).all()
    assert (weights == rows.weights).all()


def test_weights_for_a_classifier_that_takes_none_are_refused() -> None:
    rows = make_rows()
    for y, weights in ((rows.y, rows.weights), (rows.shares, None)):
        with pytest.raises(HeadError, match="KNeighborsClassifier accepts neither weights nor soft labels"):
            fit_classifier(KNeighborsClassifier(), rows.X, y, sample_weight=weights)
