"""Shares of classes without labels, against closed forms, a direct maximiser, and populations that are known."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, stats

from featx.errors import TableError
from featx.measures import bbse_interval, bbse_shares, em_interval, em_shares

SOURCE = np.array([0.5, 0.3, 0.2])
TARGET = np.array([0.1, 0.3, 0.6])
MEANS = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])


def draw(shares: NDArray[np.float64], count: int, *, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The true probabilities under the source's shares, and the classes, of images of a Gaussian population."""
    rng = np.random.default_rng(seed)
    codes = rng.choice(3, size=count, p=shares)
    images = MEANS[codes] + rng.normal(size=(count, 2))
    densities = np.stack([stats.multivariate_normal(mean).pdf(images) for mean in MEANS], axis=1) * SOURCE
    return densities / densities.sum(axis=1, keepdims=True), codes


def test_em_finds_the_likeliest_shares_that_a_general_maximiser_finds() -> None:
    probabilities, _ = draw(TARGET, 300, seed=0)

    def loss(free: NDArray[np.float64]) -> float:
        shares = np.exp(np.append(free, 0))
        return -float(np.log(probabilities @ (shares / shares.sum() / SOURCE)).sum())

    best = np.exp(np.append(optimize.minimize(loss, np.zeros(2), method="BFGS").x, 0))
    assert em_shares(probabilities, SOURCE) == pytest.approx(best / best.sum(), abs=1e-4)


def test_em_of_certain_predictions_is_their_frequency() -> None:
    sure = np.eye(3)[[0, 0, 1, 2, 2, 2, 2, 2]]
    assert em_shares(sure, SOURCE) == pytest.approx([0.25, 0.125, 0.625], abs=1e-6)


def test_em_counts_weights_as_copies_of_images() -> None:
    probabilities, _ = draw(TARGET, 40, seed=1)
    counts = np.random.default_rng(0).integers(0, 4, size=40)
    weighted = em_shares(probabilities, SOURCE, weights=counts.astype(np.float64))
    assert weighted == pytest.approx(em_shares(np.repeat(probabilities, counts, axis=0), SOURCE), abs=1e-6)


def test_black_box_shares_undo_the_confusion_exactly_if_the_target_has_the_same() -> None:
    codes = np.repeat([0, 1, 2], 10)
    predicted = np.eye(3)[[0] * 8 + [1] * 2 + [1] * 7 + [2] * 3 + [2] * 9 + [0]]
    confusion = np.stack([predicted[codes == code].mean(axis=0) for code in range(3)])
    target = TARGET @ confusion
    rows = np.repeat(np.eye(3), np.round(target * 1000).astype(int), axis=0)
    assert bbse_shares(rows, predicted, codes) == pytest.approx(TARGET, abs=1e-9)
    assert bbse_shares(rows, predicted, codes) == pytest.approx(np.linalg.solve(confusion.T, rows.mean(axis=0)))


def test_black_box_shares_are_never_below_0_and_sum_to_1() -> None:
    codes = np.array([0, 0, 1, 1])
    predicted = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]])
    assert bbse_shares(np.array([[1.0, 0.0]]), predicted, codes) == pytest.approx([1, 0])


def test_intervals_of_both_hold_the_true_shares_in_about_95_of_100_samples() -> None:
    em_hits, bbse_hits = list[NDArray[np.bool_]](), list[NDArray[np.bool_]]()
    for seed in range(25):
        probabilities, _ = draw(TARGET, 150, seed=seed)
        source, codes = draw(SOURCE, 300, seed=1000 + seed)
        hard = np.eye(3)[probabilities.argmax(axis=1)]
        em_hits.append(_holds(em_interval(probabilities, SOURCE, seed=seed)))
        bbse_hits.append(_holds(bbse_interval(hard, np.eye(3)[source.argmax(axis=1)], codes, seed=seed)))
    assert np.mean(em_hits) >= 0.88
    assert np.mean(bbse_hits) >= 0.88


def _holds(interval: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray((interval[:, 0] <= TARGET) & (interval[:, 1] >= TARGET))


def test_a_class_that_no_image_has_gets_an_interval_from_0_and_of_some_width() -> None:
    probabilities, _ = draw(np.array([0.5, 0.5, 0.0]), 100, seed=0)
    low, high = em_interval(probabilities, SOURCE)[2]
    assert low == 0
    assert 0.03 < high < 0.4


def test_groups_of_equal_images_widen_the_interval() -> None:
    probabilities, _ = draw(TARGET, 30, seed=3)
    repeated = np.repeat(probabilities, 10, axis=0)
    groups = np.repeat(np.arange(30), 10).astype("S2")
    alone = np.diff(em_interval(repeated, SOURCE), axis=1)
    grouped = np.diff(em_interval(repeated, SOURCE, groups=groups), axis=1)
    assert (grouped > 2 * alone).all()


def test_classes_that_the_source_lacks_get_no_share() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]])
    assert em_shares(probabilities, np.array([0.5, 0.0, 0.5]))[1] == 0


@pytest.mark.parametrize(
    ("probabilities", "shares"),
    [(np.empty((0, 3)), SOURCE), (np.full((2, 2), 0.5), SOURCE), (np.full((2, 3), 0.3), np.zeros(3))],
)
def test_no_images_other_classes_or_no_share_at_all_are_refused(
    probabilities: NDArray[np.float64], shares: NDArray[np.float64]
) -> None:
    with pytest.raises(TableError):
        em_shares(probabilities, shares)
