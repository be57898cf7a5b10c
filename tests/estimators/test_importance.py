"""Weights of source rows rise with their density in the target over that in the source."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from featx.errors import HeadError
from featx.estimators.domains.importance import _cut, effective_sample_size, importance_weights, note_on_weights


def two_normals(
    *, rows: int = 3000, columns: int = 1, moved: float = 1.0, seed: int = 0
) -> tuple[NDArray[Any], NDArray[Any]]:
    rng = np.random.default_rng(seed)
    source, target = rng.normal(size=(rows, columns)), rng.normal(size=(rows, columns))
    target[:, 0] += moved
    return source, target


@pytest.mark.parametrize(("columns", "moved"), [(1, 1.0), (1, -1.0), (5, 0.7)])
def test_weights_follow_the_true_ratio_of_densities_and_not_its_inverse(columns: int, moved: float) -> None:
    source, target = two_normals(columns=columns, moved=moved)
    weights = importance_weights(source, target)
    ratio = np.exp(moved * source[:, 0] - moved**2 / 2)
    assert np.corrcoef(weights, ratio)[0, 1] >= 0.95
    assert np.corrcoef(np.log(weights), np.log(ratio))[0, 1] >= 0.95
    assert np.average(source[:, 0], weights=weights) == pytest.approx(moved, abs=0.2)


def test_weights_of_equal_domains_are_nearly_even() -> None:
    source, target = two_normals(moved=0.0, columns=4)
    weights = importance_weights(source, target)
    assert effective_sample_size(weights) > 0.98 * len(source)
    assert weights.mean() == pytest.approx(1)
    assert note_on_weights(weights) == ""


def test_the_note_says_that_few_rows_of_the_source_that_lie_in_the_target_carry_all_the_weight() -> None:
    source, target = two_normals(rows=400, columns=8)
    source[:3] = target[:3] + 4
    weights = importance_weights(source, target + 4)
    assert set(np.argsort(weights)[-3:]) == {0, 1, 2}
    assert (weights > 0).all()
    assert weights.mean() == pytest.approx(1)
    assert weights.max() <= 20.001
    assert note_on_weights(weights).startswith("the weights of 400 images count as ")


@pytest.mark.parametrize("fall", [0.01, 0.5, 5.0, 100.0])
@pytest.mark.parametrize("rows", [2, 3, 50])
def test_weights_are_cut_where_the_largest_are_the_root_of_their_number(rows: int, fall: float) -> None:
    given = np.exp(np.maximum(-fall * np.arange(rows), -50.0))
    weights = _cut(given)
    most = np.sqrt(rows)
    assert weights.mean() == pytest.approx(1)
    assert weights.max() <= most * (1 + 1e-9)
    whole = weights < most * (1 - 1e-9)
    assert np.allclose(weights[whole] / given[whole], (weights / given)[-1])
    assert whole.all() == (given.max() <= most * given.mean())


def test_weights_do_not_depend_on_how_many_rows_the_target_has() -> None:
    source, target = two_normals()
    few, many = importance_weights(source, target[:300]), importance_weights(source, np.vstack([target] * 2))
    assert np.corrcoef(few, many)[0, 1] > 0.95
    assert few.mean() == pytest.approx(many.mean())


def test_rows_beyond_the_most_that_are_learnt_get_weights_too(tmp_path: Any) -> None:
    source, target = two_normals(columns=3)
    np.save(tmp_path / "source.npy", source.astype(np.float32))
    mapped = np.load(tmp_path / "source.npy", mmap_mode="r")
    weights = importance_weights(mapped, target.astype(np.float16), most_rows=500)
    assert np.corrcoef(weights, np.exp(source[:, 0]))[0, 1] >= 0.9


@pytest.mark.parametrize(("rows", "others", "columns"), [(2, 1, 3), (6, 4, 40), (30, 1, 2)])
def test_few_rows_constant_columns_and_one_row_of_the_target_give_finite_weights(
    rows: int, others: int, columns: int
) -> None:
    source, target = two_normals(rows=rows, columns=columns)
    source[:, -1] = target[:, -1] = 2
    weights = importance_weights(source, target[:others])
    assert weights.shape == (rows,)
    assert np.isfinite(weights).all()
    assert (weights >= 0).all()


def test_one_row_of_the_source_and_rows_that_are_no_numbers_are_errors() -> None:
    source, target = two_normals(rows=20)
    with pytest.raises(HeadError, match="fewer than 2 rows of the source"):
        importance_weights(source[:1], target)
    source[3] = np.nan
    with pytest.raises(HeadError, match="column 0 of the source is NaN"):
        importance_weights(source, target)


def test_the_note_says_how_many_images_carry_all_the_weight() -> None:
    weights = np.r_[np.full(399, 1e-9), 1.0]
    assert note_on_weights(weights).startswith("the weights of 400 images count as 1.0 images: few of them")
    assert note_on_weights(np.linspace(0, 2, 400)) == ""


def test_rows_that_are_all_equal_weigh_the_same() -> None:
    assert np.allclose(importance_weights(np.ones((10, 5)), np.ones((4, 5))), 1)


def test_a_row_that_is_no_number_is_found_beyond_the_most_that_are_learnt_too() -> None:
    source, target = two_normals(rows=300, columns=3)
    for row in range(0, 300, 60):
        spoilt = source.copy()
        spoilt[row, 2] = np.nan
        with pytest.raises(HeadError, match="column 2 of the source is NaN"):
            importance_weights(spoilt, target, most_rows=20)


def test_the_effective_size_is_that_of_kish() -> None:
    assert effective_sample_size(np.full(7, 0.3)) == pytest.approx(7)
    assert effective_sample_size([1.0, 0.0, 0.0]) == 1
    assert effective_sample_size([3.0, 1.0]) == pytest.approx(16 / 10)
    with pytest.raises(HeadError, match="no weight is above 0"):
        effective_sample_size([0.0, 0.0])
