"""Every score against brute force or an independent implementation, and what must not change it."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.covariance import ledoit_wolf
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.mixture import GaussianMixture

from featx.errors import TableError
from featx.labels import Labels
from featx.transfer import (
    clustered_leep,
    gaussian_bound,
    gaussian_overlap,
    leep,
    log_evidence,
    nce,
    shrunk_h_score,
    transrate,
)
from featx.transfer.scores import rows as rows_module
from featx.transfer.scores.class_means import ClassMeans
from featx.transfer.scores.left_out import PENALTIES, LeaveOut
from featx.transfer.scores.neighbours import Neighbours
from featx.transfer.scores.pac_bound import GaussianBound
from featx.transfer.scores.rows import LabelledRows, usable_rows
from featx.transfer.scores.spectrum import collect, decompose, gather

Floats = NDArray[np.float64]
SHAPES = [(40, 6), (25, 24), (25, 25), (20, 30)]
"""More rows than columns, as many, one more, and fewer."""


def draw(count: int, columns: int, *, seed: int = 0) -> tuple[Floats, NDArray[np.int64]]:
    """Features of three classes, along axes of very different variance, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 1, 2, rng.integers(0, 3, count - 3)]
    features = rng.normal(size=(count, columns)) * np.linspace(0.1, 3, columns) + 1
    features[:, 0] += labels
    return features, labels


def draw_weights(count: int, *, weighted: bool) -> Floats:
    """Weights of mean 1."""
    weights = np.random.default_rng(1).uniform(0.2, 3, count) if weighted else np.ones(count)
    return np.asarray(weights / weights.mean())


def rows_of(
    features: Floats,
    labels: NDArray[np.int64],
    *,
    weights: Floats | None = None,
    groups: NDArray[Any] | None = None,
) -> LabelledRows:
    """Labelled rows in memory."""
    names = tuple(map(str, range(int(labels.max()) + 1)))
    given = Labels(names, labels, given_weights=weights, groups=None if groups is None else groups.astype("S"))
    return replace(usable_rows(features.__getitem__, given, columns=features.shape[1]), dtype=features.dtype)


def dense_evidence(features: Floats, target: Floats, weights: Floats, *, intercept: bool) -> float:
    """The largest log-evidence of one target, from the Gaussian of all rows, whose covariance is inverted."""

    def minus(logs: Floats) -> float:
        alpha, beta = np.exp(logs.clip(-25, 25))
        covariance = np.diag(1 / (beta * weights)) + features @ features.T / alpha
        inverse = np.linalg.inv(covariance)
        mean, lost = 0.0, 0.0
        if intercept:
            precision = float(inverse.sum())
            mean = float(inverse.sum(axis=0) @ target) / precision
            lost = np.log(precision) - np.log(2 * np.pi)
        rest = target - mean
        size = np.linalg.slogdet(covariance)[1] + len(target) * np.log(2 * np.pi) + lost
        return float(size + rest @ inverse @ rest) / 2

    starts = [(0.0, 1.0), (4.0, 4.0), (-3.0, 0.0)]
    found = [minimize(minus, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13}) for start in starts]
    return -min(float(one.fun) for one in found)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("count", "columns"), SHAPES)
def test_the_evidence_is_that_of_the_gaussian_of_all_rows(
    count: int, columns: int, weighted: bool, intercept: bool
) -> None:
    features, labels = draw(count, columns)
    weights = draw_weights(count, weighted=weighted)
    dense = [
        dense_evidence(features, (labels == one).astype(float), weights, intercept=intercept) / count
        for one in range(3)
    ]
    found = log_evidence(features, labels, weights=weights, intercept=intercept)
    assert found == pytest.approx(np.mean(dense), abs=1e-8)


def rotate(features: Floats) -> Floats:
    """The features along other axes."""
    axes = np.linalg.qr(np.random.default_rng(2).normal(size=(features.shape[1],) * 2))[0]
    return np.asarray(features @ axes)


UNCHANGED: dict[str, Callable[[Floats], Floats]] = {
    "rotated": rotate,
    "scaled": lambda features: 1000 * features,
    "shifted": lambda features: features + 5,
    "with a constant column": lambda features: np.column_stack([features, np.full(len(features), 3.0)]),
}


@pytest.mark.parametrize("score", [log_evidence, shrunk_h_score, transrate, gaussian_overlap, gaussian_bound])
@pytest.mark.parametrize("change", UNCHANGED)
@pytest.mark.parametrize(("count", "columns"), [(60, 8), (20, 40)])
def test_neither_axes_nor_units_nor_the_order_of_classes_change_a_score(
    score: Callable[..., float], change: str, count: int, columns: int
) -> None:
    features, labels = draw(count, columns)
    if score in (shrunk_h_score, gaussian_bound) and change == "with a constant column":
        pytest.skip("these count the columns")
    expected = score(features, labels)
    assert score(UNCHANGED[change](features), labels) == pytest.approx(expected, rel=1e-6)
    assert score(features, (labels + 1) % 3) == pytest.approx(expected, rel=1e-9)


def test_the_evidence_prefers_features_of_the_classes_to_noise_and_to_labels_of_others() -> None:
    features, labels = draw(200, 10)
    others = np.random.default_rng(3).permutation(labels)
    assert log_evidence(features, labels) > log_evidence(features, others) + 0.01


@pytest.mark.parametrize(("count", "columns"), [(200, 20), (50, 80)])
def test_the_h_score_is_that_of_the_shrunk_covariance(count: int, columns: int) -> None:
    features, labels = draw(count, columns)
    shrunk, shrinkage = ledoit_wolf(features)
    means = np.stack([features[labels == one].mean(axis=0) for one in range(3)]) - features.mean(axis=0)
    between = (means.T * np.bincount(labels) / count) @ means
    expected = (1 - shrinkage) * np.trace(np.linalg.solve(shrunk, between))
    assert shrunk_h_score(features, labels) == pytest.approx(expected, rel=1e-9)


def test_the_h_score_of_random_labels_stays_far_from_its_largest_value() -> None:
    rng = np.random.default_rng(0)
    assert shrunk_h_score(rng.normal(size=(100, 512)), np.arange(100) % 5) < 0.4


def refit_without(
    features: Floats, labels: NDArray[np.int64], weights: Floats, groups: NDArray[Any], *, l2: float
) -> Floats:
    """The class scores of each group by scikit-learn's ridge regression of all others."""
    targets = np.eye(3)[labels]
    scores = np.zeros_like(targets)
    for group in np.unique(groups):
        left = groups == group
        fitted = Ridge(alpha=l2).fit(features[~left], targets[~left], sample_weight=weights[~left])
        scores[left] = fitted.predict(features[left])
    return scores


@pytest.mark.parametrize("place", [0, 8, 16])
@pytest.mark.parametrize("size", [1, 4, 15])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("count", "columns"), [(60, 6), (30, 40)])
def test_what_was_left_out_is_predicted_as_by_refits(
    count: int, columns: int, weighted: bool, size: int, place: int
) -> None:
    features, labels = draw(count, columns)
    weights = draw_weights(count, weighted=weighted)
    groups = np.random.default_rng(4).permutation(count) // size
    rows = rows_of(features, labels, weights=weights, groups=None if size == 1 else groups)
    spectrum = decompose(rows)
    left_out = LeaveOut(rows, spectrum, penalties=PENALTIES[place : place + 1])
    collect(rows, spectrum, [left_out])
    l2 = PENALTIES[place] * count * spectrum.variances.mean()
    scores = refit_without(features, labels, weights, groups, l2=l2)
    targets = np.eye(3)[labels]
    errors = weights @ np.square(targets - scores)
    spread = weights @ np.square(targets - np.average(targets, axis=0, weights=weights))
    found = left_out.result()
    assert found.press == pytest.approx(1 - errors.sum() / spread.sum(), abs=1e-9)
    assert found.accuracy == pytest.approx(np.average(scores.argmax(axis=1) == labels, weights=weights))


@pytest.mark.parametrize("size", [1, 5])
def test_the_nearest_class_mean_is_that_without_the_group(size: int) -> None:
    features, labels = draw(60, 8)
    groups = np.arange(60) // size
    rows = rows_of(features, labels, groups=None if size == 1 else groups)
    spectrum = decompose(rows)
    means = ClassMeans(rows, spectrum)
    collect(rows, spectrum, [means])
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    right = 0
    for row in range(60):
        kept = groups != groups[row]
        centres = np.stack([scaled[kept & (labels == one)].mean(axis=0) for one in range(3)])
        right += int(np.square(centres - scaled[row]).sum(axis=1).argmin() == labels[row])
    assert means.measured().value == pytest.approx(right / 60)


@pytest.mark.parametrize("size", [1, 5])
def test_the_nearest_neighbours_are_of_other_groups(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featx.transfer.scores.neighbours.NEIGHBOURS", 7)
    features, labels = draw(60, 8)
    groups = np.arange(60) // size
    rows = rows_of(features, labels, groups=None if size == 1 else groups)
    spectrum = decompose(rows)
    neighbours = Neighbours(rows, spectrum, seed=0)
    collect(rows, spectrum, [neighbours])
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    scaled /= np.linalg.norm(scaled, axis=1, keepdims=True)
    cosines = np.where(groups[:, None] == groups, -2, scaled @ scaled.T)
    nearest = np.argsort(-cosines, axis=1)[:, :7]
    votes = np.stack([(labels[nearest] == one).sum(axis=1) for one in range(3)], axis=1)
    assert neighbours.measured().value == pytest.approx((votes.argmax(axis=1) == labels).mean())


@pytest.mark.parametrize("grouped", [False, True])
def test_the_size_of_blocks_changes_nothing(grouped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = draw(90, 7)
    groups = np.random.default_rng(5).integers(0, 12, 90) if grouped else None
    found = []
    for size in (2**25, 8 * 7 * 11):
        monkeypatch.setattr(rows_module, "BLOCK_BYTES", size)
        rows = rows_of(features, labels, groups=groups)
        spectrum = decompose(rows)
        collectors = LeaveOut(rows, spectrum), ClassMeans(rows, spectrum), Neighbours(rows, spectrum, seed=0)
        collect(rows, spectrum, collectors)
        left_out, means, neighbours = collectors
        found.append((left_out.result().press, means.measured().value, neighbours.measured().value))
    assert found[0] == pytest.approx(found[1])


def test_a_class_with_one_image_is_never_right_and_hinders_nothing() -> None:
    features, labels = draw(40, 5)
    labels[:] = labels % 2
    labels[7] = 2
    rows = rows_of(features, labels)
    spectrum = decompose(rows)
    left_out, means = LeaveOut(rows, spectrum), ClassMeans(rows, spectrum)
    collect(rows, spectrum, [left_out, means])
    assert left_out.result().correct[7] == 0
    assert np.isfinite(left_out.result().press)
    assert means.measured().value is not None


@pytest.mark.parametrize("kind", ["constant", "duplicated", "equal rows"])
def test_columns_and_rows_that_say_nothing_new_are_no_error(kind: str) -> None:
    features, labels = draw(40, 5)
    if kind == "constant":
        features[:] = 1.0
    elif kind == "duplicated":
        features = np.hstack([features, features])
    else:
        features[1:20] = features[0]
    assert np.isfinite(log_evidence(features, labels))
    assert np.isfinite(shrunk_h_score(features, labels))


def test_one_class_is_refused() -> None:
    with pytest.raises(TableError, match="the images have 1 class; a source is scored by two classes or more"):
        log_evidence(np.eye(4), np.zeros(4))


def test_features_and_labels_of_different_images_are_refused() -> None:
    with pytest.raises(TableError, match=r"features of shape \(4, 4\) and 3 labels; give each row one label"):
        log_evidence(np.eye(4), np.arange(3))


def draw_classes(count: int, classes: int) -> Floats:
    """Probabilities of the classes of a source."""
    return np.random.default_rng(6).dirichlet(np.full(classes, 0.3), count)


@pytest.mark.parametrize("weighted", [False, True])
def test_leep_is_the_mean_of_its_definition(weighted: bool) -> None:
    labels = draw(50, 2)[1]
    weights = draw_weights(50, weighted=weighted)
    seen = draw_classes(50, 7)
    joint = np.array([[(weights * seen[:, z])[labels == y].sum() for z in range(7)] for y in range(3)])
    given = joint / joint.sum(axis=0)
    expected = np.average([np.log(given[labels[row]] @ seen[row]) for row in range(50)], weights=weights)
    assert leep(seen, labels, weights=weights) == pytest.approx(expected)


def test_nce_is_the_entropy_of_its_definition() -> None:
    labels = draw(50, 2)[1]
    seen = draw_classes(50, 7)
    top = seen.argmax(axis=1)
    expected = np.mean([np.log(np.mean(labels[top == top[row]] == labels[row])) for row in range(50)])
    assert nce(seen, labels) == pytest.approx(expected)


@pytest.mark.parametrize("score", [leep, nce])
def test_logits_score_as_their_probabilities(score: Callable[..., float]) -> None:
    labels = draw(50, 2)[1]
    seen = draw_classes(50, 7)
    assert score(np.log(seen) + 3, labels) == pytest.approx(score(seen, labels))


@pytest.mark.parametrize("score", [leep, nce])
def test_classes_of_the_source_that_are_those_of_the_target_tell_all(score: Callable[..., float]) -> None:
    labels = draw(50, 2)[1]
    assert score(np.eye(5)[labels], labels) == pytest.approx(0)
    assert score(np.eye(5)[labels], np.random.default_rng(0).permutation(labels)) < -0.5


def test_the_overlap_is_that_of_every_pair_of_gaussians() -> None:
    features, labels = draw(90, 5)
    centred = features - features.mean(axis=0)
    turned = centred @ np.linalg.svd(centred, full_matrices=False)[2].T
    of_class = [turned[labels == one] for one in range(3)]
    total = 0.0
    for one in of_class:
        for other in of_class:
            if one is other:
                continue
            shared = np.diag((one.var(axis=0) + other.var(axis=0)) / 2)
            apart = one.mean(axis=0) - other.mean(axis=0)
            sizes = [np.linalg.slogdet(np.diag(each.var(axis=0)))[1] for each in (one, other)]
            distance = apart @ np.linalg.solve(shared, apart) / 8
            distance += (np.linalg.slogdet(shared)[1] - sum(sizes) / 2) / 2
            total += np.exp(-distance)
    assert gaussian_overlap(features, labels) == pytest.approx(-total)


@pytest.mark.parametrize(("count", "columns"), [(90, 5), (30, 40)])
def test_transrate_is_the_difference_of_the_coding_rates(count: int, columns: int) -> None:
    features, labels = draw(count, columns)
    centred = features - features.mean(axis=0)
    centred /= np.sqrt(np.square(centred).sum(axis=1).mean())

    def rate(rows: Floats) -> float:
        return float(np.linalg.slogdet(np.eye(columns) + rows.T @ rows / (len(rows) * 1e-4))[1]) / 2

    expected = rate(centred) - sum(rate(centred[labels == one]) * np.mean(labels == one) for one in range(3))
    assert transrate(features, labels) == pytest.approx(expected)


def test_the_leep_of_clusters_is_that_of_a_mixture_on_principal_components() -> None:
    features, labels = draw(90, 8)
    components = PCA(0.8).fit_transform(features)
    expected = []
    for seed in range(3):
        mixture = GaussianMixture(9, covariance_type="diag", random_state=seed).fit(components)
        expected.append(leep(mixture.predict_proba(components), labels))
    # a component may have the other sign, which changes where k-means begins by rounding errors alone
    assert clustered_leep(features, labels) == pytest.approx(np.mean(expected), abs=0.05)
    assert clustered_leep(features, labels) == clustered_leep(features, labels)


@pytest.mark.parametrize("score", [gaussian_overlap, transrate, clustered_leep, gaussian_bound])
def test_a_class_with_one_image_hinders_no_score(score: Callable[..., float]) -> None:
    features, labels = draw(40, 5)
    labels[:] = labels % 2
    labels[7] = 2
    assert np.isfinite(score(features, labels))


def bound_by_brute_force(features: Floats, shares: Floats, weights: Floats) -> float:
    """Minus the published bound, with its optimum by finite differences and its Hessian of each weight one by one."""
    count, columns = features.shape
    classes = shares.shape[1]
    rows = features - np.average(features, axis=0, weights=weights)
    rows *= np.sqrt(columns / np.average(np.square(rows).sum(axis=1), weights=weights))

    def loss(point: Floats) -> float:
        scores = rows @ point[: columns * classes].reshape(columns, classes) + point[columns * classes :]
        losses = logsumexp(scores, axis=1) - (shares * scores).sum(axis=1)
        return float(np.average(losses, weights=weights))

    def penalised(point: Floats) -> float:
        return loss(point) + float(np.square(point[: columns * classes]).sum() / (2 * count))

    best = minimize(penalised, np.zeros((columns + 1) * classes), method="BFGS", options={"gtol": 1e-6})
    step = 1e-3
    trace = 0.0
    for move in step * np.eye(len(best.x))[: columns * classes]:
        trace += (loss(best.x + move) - 2 * loss(best.x) + loss(best.x - move)) / step**2
    parameters = columns * classes
    spread = 10 / columns
    flatness = np.log1p(count * trace / parameters)
    return -float(best.fun + parameters * spread / (2 * count) * flatness)


@pytest.mark.parametrize("kind", ["plain", "weighted", "two classes", "soft"])
@pytest.mark.parametrize(("count", "columns"), [(40, 3), (12, 15)])
def test_pactran_is_the_bound_of_its_definition(kind: str, count: int, columns: int) -> None:
    features, labels = draw(count, columns)
    if kind == "two classes":
        labels = labels % 2
    weights = draw_weights(count, weighted=kind == "weighted")
    shares = np.eye(int(labels.max()) + 1)[labels]
    if kind == "soft":
        shares = 0.7 * shares + 0.3 / shares.shape[1]
    names = tuple(map(str, range(shares.shape[1])))
    soft = shares if kind == "soft" else None
    given = Labels(names, shares.argmax(axis=1), soft, weights if kind == "weighted" else None)
    rows = replace(usable_rows(features.__getitem__, given, columns=columns), dtype=features.dtype)
    found = gather(rows, partial(GaussianBound, seed=0)).value()
    assert found == pytest.approx(bound_by_brute_force(features, shares, weights), rel=1e-4)


def test_pactran_of_constant_features_is_minus_the_entropy_of_the_labels() -> None:
    assert gaussian_bound(np.ones((40, 3)), np.arange(40) % 2) == pytest.approx(-np.log(2))


def test_pactran_draws_rows_of_every_class_if_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featx.transfer.scores.pac_bound.ROWS", 100)
    features, labels = draw(1000, 4)
    whole = gaussian_bound(features, labels)
    labels[17] = 3
    found = [gaussian_bound(features, labels, seed=seed) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    assert found[0] == pytest.approx(whole, abs=0.3)
