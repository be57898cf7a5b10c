"""Each class of a multi-label problem is learnt as a problem of its own, also where all images agree on it."""

import logging
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from featx.errors import HeadError
from featx.estimators import (
    CosineNeighbors,
    LinearSVM,
    MultilabelNeighbors,
    OneVsRest,
    SoftmaxRegression,
    class_scores,
    sweep,
)
from tests.support.learning import blobs


def several(classes: int = 4) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[Any]]:
    """Rows, an indicator of which direction they lie in, and more rows."""
    rows, _, new = blobs()
    directions = np.random.default_rng(1).normal(size=(rows.shape[1], classes))
    return rows, ((rows - 1) @ directions > 0).astype(np.int64), new


def test_logits_are_those_of_one_logistic_regression_a_class() -> None:
    X, y, new = several()
    ours = OneVsRest(SoftmaxRegression(l2=0.5)).fit(X, y).decision_function(new)
    for place in range(4):
        alone = SoftmaxRegression(l2=0.5).fit(X, y[:, place])
        assert np.allclose(ours[:, place], alone.decision_function(new))
    theirs = OneVsRestClassifier(LogisticRegression(C=2, tol=1e-8, max_iter=1000)).fit(X, y).decision_function(new)
    assert np.allclose(ours, theirs, rtol=1e-3, atol=1e-3)


def test_what_is_predicted_is_where_the_logit_is_above_0() -> None:
    X, y, new = several()
    fitted = OneVsRest().fit(X, y)
    assert np.array_equal(fitted.predict(new), fitted.decision_function(new) > 0)
    assert (fitted.predict(X) == y).mean() > 0.9
    assert np.array_equal(class_scores(fitted, new), fitted.decision_function(new))


def test_a_class_that_all_rows_have_or_none_has_a_constant_logit_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    X, y, new = several()
    y[:, 1], y[:, 2] = 0, 1
    with caplog.at_level(logging.WARNING, logger="featx"):
        fitted = OneVsRest().fit(X, y)
    logits = fitted.decision_function(new)
    assert np.allclose(logits[:, 1], -np.log(2 * 90 + 1))
    assert np.allclose(logits[:, 2], np.log(2 * 90 + 1))
    assert [record.getMessage() for record in caplog.records] == [
        "no training row is of class 1; its logit is constant",
        "every training row is of class 2; its logit is constant",
    ]


@pytest.mark.parametrize(
    ("classifier", "grid"),
    [
        (SoftmaxRegression(), {"l2": [10.0, 0.1]}),
        (LinearSVM(), {"C": [0.1, 1.0]}),
        (CosineNeighbors(), {"n_neighbors": [3, 9], "temperature": [0.05, 0.2]}),
        (LogisticRegression(max_iter=1000), {"C": [0.1, 1.0]}),
    ],
    ids=repr,
)
def test_a_sweep_gives_what_fits_one_by_one_give(classifier: Any, grid: dict[str, list[float]]) -> None:
    X, y, new = several()
    y[:, 1] = 0
    weights = np.linspace(0, 2, len(X))
    swept = list(sweep(OneVsRest(classifier), X, y, new, grid=grid, sample_weight=weights))
    assert len(swept) == np.prod([len(values) for values in grid.values()])
    for params, scores in swept:
        one = OneVsRest(classifier).set_params(**{f"classifier__{name}": value for name, value in params.items()})
        assert np.allclose(scores, one.fit(X, y, weights).decision_function(new), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("weighted", [False, True])
def test_neighbours_that_are_searched_once_say_of_each_class_what_those_of_that_class_alone_say(weighted: bool) -> None:
    X, y, new = several()
    y[:, 1], y[:, 2] = 0, 1
    weights = np.random.default_rng(3).choice([0.0, 0.5, 3.0], len(X)) if weighted else None
    for count, temperature in ((3, 0.05), (1000, 0.2)):
        together = MultilabelNeighbors(count, temperature).fit(X, y, weights)
        apart = OneVsRest(CosineNeighbors(count, temperature)).fit(X, y, weights)
        assert np.allclose(together.decision_function(new), apart.decision_function(new))


def test_a_sweep_of_neighbours_gives_what_fits_one_by_one_give() -> None:
    X, y, new = several()
    y[:, 1] = 0
    weights = np.linspace(0, 2, len(X))
    grid: dict[str, list[Any]] = {"n_neighbors": [3, 9], "temperature": [0.05, 0.2]}
    swept = list(sweep(MultilabelNeighbors(), X, y, new, grid=grid, sample_weight=weights))
    assert len(swept) == 4
    for params, logits in swept:
        assert np.allclose(logits, MultilabelNeighbors(**params).fit(X, y, weights).decision_function(new))


@pytest.mark.parametrize("classifier", [OneVsRest(), MultilabelNeighbors()], ids=repr)
def test_where_all_classes_are_constant_there_is_nothing_to_sweep(classifier: Any) -> None:
    X, y, new = several()
    assert list(classifier.sweep(X, np.ones_like(y), new, grid={})) == []


@pytest.mark.parametrize("params", [{"n_neighbors": 0}, {"temperature": 0.0}])
def test_neighbours_that_cannot_vote_are_an_error(params: dict[str, Any]) -> None:
    X, y, _ = several()
    with pytest.raises(HeadError, match="give at least 1 neighbour and a temperature above 0"):
        MultilabelNeighbors(**params).fit(X, y)


def test_a_weight_of_2_is_a_row_given_twice_and_one_of_0_a_row_left_out() -> None:
    X, y, new = several()
    counts = np.random.default_rng(2).integers(0, 4, len(X))
    y[counts > 0, 3] = 1
    weighted = OneVsRest().fit(X, y, counts).decision_function(new)
    repeated = OneVsRest().fit(np.repeat(X, counts, axis=0), np.repeat(y, counts, axis=0)).decision_function(new)
    assert np.allclose(weighted, repeated, atol=1e-5)


@pytest.mark.parametrize("wrong", [0.5, 2, -1])
def test_an_indicator_of_other_numbers_is_an_error(wrong: float) -> None:
    X, y, _ = several()
    with pytest.raises(HeadError, match=f"has only 0 and 1, but this one has {wrong}"):
        OneVsRest().fit(X, np.where(y == 0, wrong, y))


def test_a_sweep_over_labels_is_an_error() -> None:
    X, y, new = several()
    with pytest.raises(HeadError, match="needs an indicator"):
        list(OneVsRest().sweep(X, y[:, 0], new, grid={"l2": [1.0]}))
