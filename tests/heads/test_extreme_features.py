"""Features of extreme scale are learnt from, or refused by name: no head has NaN, and none ends in a traceback."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from featx import train_head
from featx.cache import FeatureTable, Part
from featx.errors import HeadError, TableError
from featx.estimators import BlockScaler, FeatureScaler
from tests.support.tables import make_table

Change = Callable[[NDArray[Any]], None]


def changed(change: Change) -> FeatureTable:
    """A table of three classes whose features are changed."""
    table = make_table((20, 20, 20), apart=4.0)
    values = np.array(table.parts[0].values, np.float32)
    change(values)
    return replace(table, parts=(Part(values),))


def scale_column(factor: float) -> Change:
    def change(values: NDArray[Any]) -> None:
        values[:, 0] *= factor

    return change


def scale_all(factor: float) -> Change:
    def change(values: NDArray[Any]) -> None:
        values *= factor

    return change


def set_column(value: float) -> Change:
    def change(values: NDArray[Any]) -> None:
        values[:, 0] = value

    return change


LEARNT = {
    "a column of denormal numbers": scale_column(1e-40),
    "a column of 1e-30": scale_column(1e-30),
    "all 1e-12": scale_all(1e-12),
    "all 1e14": scale_all(1e14),
    "a constant column": set_column(3.0),
    "a constant column of 1e14": set_column(1e14),
    "all zero": scale_all(0.0),
}
REFUSED = {
    "a column of 1e36": (scale_column(1e36), r"the features of image\d+\.png are too large .* feature 0 is .*e\+3"),
    "all 1e-20": (scale_all(1e-20), "the largest feature is .*e-20, so near to 0"),
    "an infinite column": (set_column(np.inf), r"the features of image\d+\.png are NaN or infinite"),
}
QUICK = ("ridge", "class-mean", "knn")


@pytest.mark.parametrize("change", LEARNT.values(), ids=LEARNT)
@pytest.mark.parametrize("name", QUICK)
def test_a_head_learns_features_of_extreme_scale_without_nan(name: str, change: Change) -> None:
    table = changed(change)
    head, result = train_head(table, name, jobs=1)
    assert np.isfinite(head.predict_probabilities(table.features)).all()
    assert result.metrics.accuracy is not None


@pytest.mark.parametrize(("change", "reason"), REFUSED.values(), ids=REFUSED)
def test_features_that_cannot_be_computed_with_are_refused_by_name(change: Change, reason: str) -> None:
    with pytest.raises(TableError, match=reason):
        train_head(changed(change), "ridge", jobs=1)


def test_a_head_predicts_from_float16_as_from_float32_and_refuses_what_is_infinite() -> None:
    table = make_table()
    head, _ = train_head(table, "ridge", jobs=1)
    halves = table.features.astype(np.float16)
    assert np.array_equal(head.predict(halves), head.predict(halves.astype(np.float32)))
    halves[3, 2] = np.inf
    with pytest.raises(HeadError, match="row 3 of the features is NaN or infinite"):
        head.predict(halves)


def test_a_head_refuses_to_predict_from_features_that_are_too_large() -> None:
    table = changed(scale_all(1.0))
    head, _ = train_head(table, "class-mean", jobs=1)
    with pytest.raises(HeadError, match=r"row 0 of the features is too large to compute with: feature 0"):
        head.predict_probabilities(np.full((1, 6), 1e20, np.float32))


@pytest.mark.parametrize("scaler", [FeatureScaler("standardise"), BlockScaler()], ids=["columns", "blocks"])
@pytest.mark.parametrize("size", [1e-44, 1e-30, 1.0, 1e30, 1e37])
def test_columns_of_any_size_are_standardised_as_in_float64(scaler: Any, size: float) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 3))
    rows[:, 1] = (rows[:, 1] * 8).round() * size
    rows = rows.astype(np.float32)
    scaled = scaler.fit(rows).transform(rows)
    assert scaled.dtype == np.float32
    exact = rows.astype(np.float64)
    exact = (exact - exact.mean(axis=0)) / exact.std(axis=0)
    assert np.allclose(scaled, exact, atol=1e-5)


def test_selection_by_l1_refuses_columns_that_do_not_vary() -> None:
    with pytest.raises(HeadError, match="no column varies, so none says anything about the classes"):
        train_head(changed(scale_all(0.0)), "class-mean", fusion="l1", tuning="validation", jobs=1)
