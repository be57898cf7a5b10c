"""Reliability bins, against a loop over images."""

import numpy as np
import pytest

from featx.labels import Labels
from featx.measures import measure, measure_reliability
from featx.measures.intervals import wilson


def test_bins_are_those_of_a_loop_over_images_and_give_the_calibration_error() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet((1, 1, 1), 300)
    weights = rng.integers(0, 3, 300).astype(np.float64)
    labels = Labels(("a", "b", "c"), codes=rng.integers(0, 3, 300), given_weights=weights)
    for one in measure_reliability(probabilities, labels):
        right = total = sure = 0.0
        for row, code, weight in zip(probabilities, labels.codes, weights, strict=True):
            if one.low <= row.max() < one.high:
                total += weight
                right += weight * (row.argmax() == code)
                sure += weight * row.max()
        assert one.accuracy == pytest.approx(right / total)
        assert one.probability == pytest.approx(sure / total)


def test_intervals_are_wilsons_for_equal_weights() -> None:
    probabilities = np.tile([[0.85, 0.15]], (40, 1))
    (one,) = measure_reliability(probabilities, Labels(("a", "b"), codes=(np.arange(40) % 4 == 0).astype(np.int64)))
    assert one.ci == pytest.approx(wilson(0.75, 40))


def test_every_image_is_in_one_bin_also_if_the_head_is_certain() -> None:
    probabilities = np.array([[1.0, 0.0], [0.5, 0.5], [0.1, 0.9]])
    labels = Labels(("a", "b"), codes=np.array([0, 0, 1]))
    found = measure_reliability(probabilities, labels)
    assert sum(one.n for one in found) == measure(probabilities, labels).n == 3
    assert found[-1].high == 1.0


def test_images_of_one_group_leave_the_accuracy_open() -> None:
    labels = Labels(("a", "b"), codes=np.zeros(5, np.int64), groups=np.array([b"one"] * 5))
    (one,) = measure_reliability(np.tile([[0.95, 0.05]], (5, 1)), labels)
    assert one.ci == pytest.approx((0, 1))
