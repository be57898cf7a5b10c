"""Temperatures against those that made the labels, and against what must stay as it is."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, softmax

from featx.errors import TableError
from featx.labels import Labels
from featx.measures import (
    fit_temperature,
    row_values,
    to_probabilities,
)

Floats = NDArray[np.float64]


def make_scores(
    temperature: float, *, n: int = 4000, several: bool = False, soft: bool = False, seed: int = 0
) -> tuple[Floats, Labels]:
    """Scores, and labels drawn from their probabilities at this temperature."""
    rng = np.random.default_rng(seed)
    scores = 2 * rng.normal(size=(n, 3))
    if several:
        shares = (rng.random((n, 3)) < expit(scores / temperature)).astype(np.float64)
        return scores, Labels(("a", "b", "c"), np.full(n, -1), shares, multilabel=True)
    shares = softmax(scores / temperature, axis=1)
    if soft:
        return scores, Labels(("a", "b", "c"), shares.argmax(axis=1), shares)
    labels = (shares.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return scores, Labels(("a", "b", "c"), labels, given_weights=rng.random(n))


def nats(scores: Floats, labels: Labels, temperature: float) -> float:
    probabilities = to_probabilities(scores, temperature=temperature, multilabel=labels.multilabel)
    return float(np.average(row_values(probabilities, labels, measure="log_loss"), weights=labels.weights))


@pytest.mark.parametrize("temperature", [0.05, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_temperature_that_made_the_labels_is_found(temperature: float, several: bool, scale: float) -> None:
    scores, labels = make_scores(temperature, several=several)
    assert fit_temperature(scores * scale, labels) == pytest.approx(temperature * scale, rel=0.15)


def test_of_soft_labels_the_temperature_is_exact() -> None:
    assert fit_temperature(*make_scores(0.7, n=50, soft=True)) == pytest.approx(0.7, abs=1e-8)


@pytest.mark.parametrize("several", [False, True])
def test_it_is_nearly_the_least_that_a_general_search_finds(several: bool) -> None:
    scores, labels = make_scores(2.0, n=200, several=several)
    expected = minimize_scalar(lambda log: nats(scores, labels, np.exp(log)), bounds=(-5, 5), method="bounded")
    assert nats(scores, labels, fit_temperature(scores, labels)) <= expected.fun + 2e-3


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 20), st.booleans())
@settings(deadline=None)
def test_it_raises_no_loss_on_its_rows_and_changes_no_label(seed: int, temperature: float, several: bool) -> None:
    scores, labels = make_scores(temperature, n=40, several=several, seed=seed)
    fitted = fit_temperature(scores, labels)
    doubt = 0.5 / (labels.weights.sum() ** 2 / (labels.weights @ labels.weights) + 1)
    assert nats(scores, labels, fitted) <= nats(scores, labels, 1.0) + doubt * 2 * np.abs(scores).max() + 1e-9
    probabilities = to_probabilities(scores, temperature=fitted, multilabel=several)
    if several:
        assert np.array_equal(probabilities > 0.5, scores > 0)
    else:
        assert np.array_equal(probabilities.argmax(axis=1), scores.argmax(axis=1))


@pytest.mark.parametrize("n", [10, 1000])
@pytest.mark.parametrize("scale", [0.1, 1.0, 1e3])
def test_confidence_after_correct_rows_only_is_that_of_their_number(n: int, scale: float) -> None:
    """All rows have the same scores: each probability is then the (n + 1/2) / (n + 1) that n of n rows support."""
    codes = np.arange(n) % 2
    labels, scores = Labels(("a", "b"), codes), scale * np.eye(2)[codes]
    probabilities = to_probabilities(scores, temperature=fit_temperature(scores, labels))
    assert probabilities.max(axis=1) == pytest.approx((n + 0.5) / (n + 1))


def test_a_few_confident_rows_that_are_all_right_do_not_make_a_head_certain() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(2, size=2000)
    scores = rng.normal(size=(2000, 2)) + 2 * np.eye(2)[codes]
    right = np.flatnonzero(scores.argmax(axis=1) == codes)[:10]
    labels = Labels(("a", "b"), codes)
    fitted = fit_temperature(scores[right], labels.take(right))
    assert nats(scores, labels, fitted) < nats(scores, labels, fit_temperature(scores, labels)) + 0.15


def test_it_has_the_least_loss_against_labels_that_are_not_quite_certain() -> None:
    scores, labels = make_scores(1.5, n=30)
    labels = Labels(labels.classes, labels.codes)
    smoothed = np.where(np.eye(3)[labels.codes] == 1, 30.5 / 31, 0.25 / 31)
    soft = Labels(labels.classes, labels.codes, smoothed)
    expected = minimize_scalar(lambda log: nats(scores, soft, np.exp(log)), bounds=(-5, 5), method="bounded")
    assert nats(scores, soft, fit_temperature(scores, labels)) <= expected.fun + 1e-10


def test_scores_without_information_or_with_the_opposite_become_even_probabilities() -> None:
    codes = np.arange(100) % 2
    scores, labels = np.eye(2)[1 - codes], Labels(("a", "b"), codes)
    assert np.allclose(to_probabilities(scores, temperature=fit_temperature(scores, labels)), 0.5, atol=1e-3)


def test_equal_scores_keep_temperature_1() -> None:
    assert fit_temperature(np.full((6, 2), 3.0), Labels(("a", "b"), np.arange(6) % 2)) == 1


def test_a_row_that_is_there_twice_counts_as_one_of_twice_the_weight() -> None:
    scores, labels = make_scores(1.5, n=60)
    twice = np.repeat(np.arange(60), np.arange(60) % 3 + 1)
    unweighted = Labels(labels.classes, labels.codes)
    weighted = Labels(labels.classes, labels.codes, given_weights=(np.arange(60) % 3 + 1).astype(np.float64))
    # but for the number of rows that is taken to be independent
    assert fit_temperature(scores[twice], unweighted.take(twice)) == pytest.approx(
        fit_temperature(scores, weighted), rel=0.03
    )


def test_float32_scores_give_float64_probabilities() -> None:
    scores, labels = make_scores(1.0, n=30)
    assert to_probabilities(scores.astype(np.float32)).dtype == np.float64
    assert fit_temperature(scores.astype(np.float32), labels) == pytest.approx(
        fit_temperature(scores, labels), rel=1e-4
    )


@pytest.mark.parametrize(
    ("scores", "weights", "match"),
    [
        (np.zeros((3, 2)), None, r"the scores have shape \(3, 2\), but there are 2 rows and 2 classes"),
        (np.array([[0, np.nan], [1, 0]]), None, "a class score is NaN or infinite"),
        (np.zeros((2, 2)), np.zeros(2), "weights of the rows to calibrate on"),
    ],
)
def test_what_cannot_be_calibrated_on_is_refused(scores: Floats, weights: Floats | None, match: str) -> None:
    with pytest.raises(TableError, match=match):
        fit_temperature(scores, Labels(("a", "b"), np.arange(2), given_weights=weights))
