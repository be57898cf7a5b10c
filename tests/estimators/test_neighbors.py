"""The nearest rows are found in a stated order, and vote as they should; the nearest mean wins."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid, NearestNeighbors
from sklearn.preprocessing import normalize

from featx.errors import HeadError
from featx.estimators import neighbors
from featx.estimators.class_mean import NearestClassMean
from featx.estimators.neighbors import CosineNeighbors, nearest_rows
from featx.estimators.scores import class_scores
from featx.labels import Labels
from featx.measures import fit_temperature, to_probabilities
from tests.support.learning import blobs, soft


def by_brute_force(
    rows: NDArray[Any], mass: NDArray[Any], new: NDArray[Any], *, count: int, temperature: float
) -> NDArray[Any]:
    """Probabilities by the definition, a row at a time."""
    rows, new = normalize(rows), normalize(new)
    probabilities = []
    for row in new:
        similarities = rows @ row
        nearest = sorted(range(len(rows)), key=lambda i: (-similarities[i], i))[:count]
        votes = sum(np.exp(similarities[i] / temperature) * mass[i] for i in nearest)
        probabilities.append(0.99 * votes / votes.sum() + 0.01 / len(votes))
    return np.array(probabilities)


@pytest.mark.parametrize("count", [1, 5, 90, 500])
def test_the_nearest_rows_are_those_of_scikit_learn(count: int) -> None:
    X, _, new = blobs()
    indices, similarities = nearest_rows(normalize(new), normalize(X), count=count)
    distances, expected = NearestNeighbors(n_neighbors=min(count, 90), metric="cosine").fit(X).kneighbors(new)
    assert np.array_equal(indices, expected)
    assert np.allclose(similarities, 1 - distances, atol=1e-6)


def test_of_equally_similar_rows_the_first_is_the_nearer_also_where_the_last_place_is_shared() -> None:
    rows = np.array([[0.0, 1], [1, 1], [1, 1], [1, 0], [1, 1], [0, -1], [0, 0]], np.float32)
    indices, similarities = nearest_rows(normalize(np.array([[1.0, 1]], np.float32)), normalize(rows), count=7)
    assert indices.tolist() == [[1, 2, 4, 0, 3, 6, 5]]
    assert np.allclose(similarities, [[1, 1, 1, 0.5**0.5, 0.5**0.5, 0, -(0.5**0.5)]])
    for count in range(1, 7):
        indices, _ = nearest_rows(normalize(np.ones((1, 2), np.float32)), normalize(rows), count=count)
        assert indices.tolist() == [[1, 2, 4, 0, 3, 6, 5][:count]]


def test_no_row_is_its_own_neighbour_though_its_twin_is() -> None:
    rows = np.array([[1.0, 0], [0, 1], [1, 0]])
    indices, _ = nearest_rows(rows, rows, count=2, skip_self=True)
    assert indices.tolist() == [[2, 1], [0, 2], [0, 1]]


def test_how_many_rows_are_compared_at_a_time_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    X, _, new = blobs()
    X, new = normalize(X), normalize(new)
    whole = [*nearest_rows(new, X, count=7), *nearest_rows(X, X, count=7, skip_self=True)]
    monkeypatch.setattr(neighbors, "SIMILARITIES_AT_ONCE", 200)
    parts = [*nearest_rows(new, X, count=7), *nearest_rows(X, X, count=7, skip_self=True)]
    for one, other in zip(whole, parts, strict=True):
        assert np.allclose(np.asarray(one), np.asarray(other), atol=1e-6)


@pytest.mark.parametrize(("count", "temperature"), [(1, 0.07), (10, 0.07), (10, 1.0), (200, 0.005)])
def test_votes_are_those_of_the_definition(count: int, temperature: float) -> None:
    X, y, new = blobs()
    weights = np.linspace(0.1, 2, len(X))
    fitted = CosineNeighbors(count, temperature).fit(X, y, weights)
    expected = by_brute_force(X, np.eye(3)[y] * weights[:, np.newaxis], new, count=count, temperature=temperature)
    assert np.allclose(fitted.predict_proba(new), expected, rtol=1e-4, atol=1e-6)


def test_at_a_high_temperature_neighbours_vote_alike_as_in_scikit_learn() -> None:
    X, y, new = blobs()
    theirs = KNeighborsClassifier(9, metric="cosine").fit(X, y)
    shared = 0.99 * theirs.predict_proba(new) + 0.01 / 3
    assert np.allclose(CosineNeighbors(9, 1e6).fit(X, y).predict_proba(new), shared, atol=1e-5)


def test_soft_labels_divide_a_vote() -> None:
    X, _, new = blobs()
    shares = soft(len(X))
    expected = by_brute_force(X, shares, new, count=7, temperature=0.1)
    assert np.allclose(CosineNeighbors(7, 0.1).fit_soft(X, shares).predict_proba(new), expected, rtol=1e-4)


def test_a_low_temperature_neither_overflows_nor_leaves_a_row_without_votes() -> None:
    X, y, new = blobs()
    probabilities = CosineNeighbors(50, 1e-6).fit(X, y).predict_proba(np.vstack([new, -new, 0 * new]))
    assert np.allclose(probabilities.sum(axis=1), 1)


def test_neighbours_of_training_rows_leave_themselves_out() -> None:
    X, y, _ = blobs()
    indices, similarities = CosineNeighbors(4).fit(X, y).kneighbors()
    assert not (indices == np.arange(len(X))[:, np.newaxis]).any()
    assert (np.diff(similarities, axis=1) <= 0).all()


@pytest.mark.parametrize("params", [{"n_neighbors": 0}, {"temperature": 0.0}, {"temperature": float("nan")}])
def test_a_parameter_that_makes_no_vote_is_an_error(params: dict[str, float]) -> None:
    X, y, _ = blobs()
    with pytest.raises(HeadError, match="give at least 1 neighbour and a temperature above 0"):
        CosineNeighbors(**params).fit(X, y)  # type: ignore[arg-type]


def test_the_nearest_mean_is_that_of_scikit_learn() -> None:
    X, y, new = blobs()
    assert np.array_equal(NearestClassMean().fit(X, y).predict(new), NearestCentroid().fit(X, y).predict(new))


def test_scores_are_minus_squared_distances_to_weighted_means_also_far_from_zero() -> None:
    X, _, new = blobs()
    shares, weights = soft(len(X)), np.linspace(0, 2, len(X))
    for offset, kind in ((0, np.float64), (1000, np.float32)):
        far, far_new = (X + offset).astype(kind), (new + offset).astype(kind)
        means = np.array([np.average(far.astype(float), axis=0, weights=weights * share) for share in shares.T])
        expected = -((far_new.astype(float)[:, np.newaxis] - means) ** 2).sum(axis=2)
        fitted = NearestClassMean().fit_soft(far, shares, weights)
        assert np.allclose(fitted.decision_function(far_new), expected, rtol=1e-2 if offset else 1e-9)


def test_cosine_scores_are_those_of_the_mean_direction() -> None:
    X, y, new = blobs()
    means = np.array([normalize(X[y == c]).mean(axis=0) for c in range(3)])
    expected = normalize(new) @ normalize(means).T
    assert np.allclose(NearestClassMean("cosine").fit(X, y).decision_function(new), expected)


def test_an_unknown_metric_is_an_error() -> None:
    X, y, _ = blobs()
    with pytest.raises(HeadError, match="choose euclidean or cosine"):
        NearestClassMean("manhattan").fit(X, y)  # type: ignore[arg-type]


def test_an_image_of_a_class_that_no_neighbour_is_of_does_not_ruin_all_probabilities() -> None:
    X, y, new = blobs(300, apart=6)
    labels = np.arange(40) % 3
    labels[0] = (labels[0] + 1) % 3
    scores = class_scores(CosineNeighbors(5).fit(X, y), new)
    temperature = fit_temperature(scores, Labels(("a", "b", "c"), labels))
    probabilities = to_probabilities(scores, temperature=temperature)
    assert -np.log(probabilities[np.arange(40), labels]).mean() < 0.35


def test_a_class_without_weight_never_wins_however_far_the_means_are() -> None:
    shares = np.eye(3)[np.repeat([0, 2], 10)]
    rows = np.repeat([0.0, 1e3], 10)[:, None] + np.linspace(0, 1, 20)[:, None]
    new = np.array([[500.0], [-1e6], [1e6]])
    fitted = NearestClassMean().fit_soft(rows, shares)
    assert fitted.predict(new).tolist()[1:] == [0, 2]
    assert 1 not in fitted.predict(new)
    [(_, swept)] = NearestClassMean().sweep(rows, shares, new, grid={"metric": ["euclidean"]})
    assert np.array_equal(swept, fitted.decision_function(new))
