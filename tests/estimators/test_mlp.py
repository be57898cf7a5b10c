"""The adaptation layer is scikit-learn's network, stopped in time; few rows always fit."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier

from featx.errors import ConvergenceError
from featx.estimators import MLP
from tests.support.learning import blobs

SMALL: Any = {"hidden": (16, 8), "learning_rate": 0.02, "max_iter": 3000, "patience": 5}
ENOUGH = 2000
"""Rows whose tenth is enough to stop early by."""


def theirs(rows: NDArray[Any], labels: NDArray[Any], weights: NDArray[Any], *, early: bool) -> MLPClassifier:
    network = MLPClassifier(
        (16, 8), learning_rate_init=0.02, max_iter=3000, early_stopping=early, n_iter_no_change=5, random_state=0
    )
    return network.fit(rows, labels, sample_weight=weights)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probabilities_are_those_of_the_network_of_scikit_learn(classes: int, dtype: type) -> None:
    X, y, new = blobs(ENOUGH, classes=classes, dtype=dtype)
    weights = np.linspace(0.1, 2, len(X))
    ours = MLP(**SMALL).fit(X, y, weights)
    expected = theirs(X, y, weights, early=True).predict_proba(new)
    assert ours.early_stopping_
    assert ours.decision_function(new).dtype == dtype
    assert np.allclose(ours.predict_proba(new), expected, atol=1e-5)


def test_where_rows_are_too_few_the_training_loss_decides() -> None:
    X, y, new = blobs(12, apart=3)
    ours = MLP(**SMALL).fit(X, y)
    assert not ours.early_stopping_
    assert np.allclose(ours.predict_proba(new), theirs(X, y, np.ones(12), early=False).predict_proba(new), atol=1e-6)


@pytest.mark.parametrize(("rows", "early"), [(ENOUGH, True), (ENOUGH - 10, False)])
def test_a_tenth_of_few_rows_does_not_say_when_to_stop(rows: int, early: bool) -> None:
    X, y, _ = blobs(rows)
    assert MLP((4,), learning_rate=0.05, max_iter=500).fit(X, y).early_stopping_ == early


def test_where_the_loss_decides_the_last_epoch_is_kept() -> None:
    X, y, _ = blobs()
    assert MLP((8,), max_iter=3).fit(X, y).n_iter_ == 3


@pytest.mark.parametrize("rows", [6, 40, 400])
def test_few_rows_are_given_as_many_steps_as_many_rows(rows: int) -> None:
    """One epoch of few rows is one step: a limit of epochs alone would end the fit before it has learnt anything."""
    X, y, _ = blobs(rows, apart=2)
    fitted = MLP((16,), learning_rate=0.05).fit(X, y)
    assert fitted.n_iter_ * math.ceil(rows / 200) >= 20


def test_a_network_that_nothing_has_stopped_is_an_error() -> None:
    X, y, _ = blobs(ENOUGH)
    with pytest.raises(ConvergenceError, match="the MLP did not converge in 3 iterations"):
        MLP((8,), max_iter=3).fit(X, y)


def test_another_seed_gives_another_network() -> None:
    X, y, new = blobs()
    first, again, other = (MLP(**SMALL, seed=seed).fit(X, y).predict_proba(new) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_what_cannot_be_divided_by_a_line_is_learnt() -> None:
    X = np.random.default_rng(0).normal(size=(400, 2))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    assert (MLP((32, 16), learning_rate=0.01).fit(X, y).predict(X) == y).mean() > 0.9


def test_class_weights_are_weights() -> None:
    X, y, new = blobs(classes=2)
    balanced = MLP(**SMALL, class_weight={0: 1.0, 1: 3.0}).fit(X, y)
    assert np.array_equal(balanced.predict_proba(new), MLP(**SMALL).fit(X, y, 1.0 + 2 * y).predict_proba(new))
