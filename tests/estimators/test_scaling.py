"""Columns, rows and blocks are brought to one scale, and blocks reduced to what varies."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from featx.errors import HeadError
from featx.estimators.blocks import BlockPCA, BlockScaler
from featx.estimators.scaling import (
    FeatureScaler,
    How,
    column_moments,
)


def rows(count: int = 80, columns: int = 9, *, seed: int = 0) -> NDArray[Any]:
    rng = np.random.default_rng(seed)
    return np.asarray(rng.normal(size=(count, columns)) @ rng.normal(size=(columns, columns)) + 3)


def up_to_sign(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    signs: NDArray[Any] = np.sign((left * right).sum(axis=0))
    return np.asarray(left * signs)


def test_standardising_is_what_scikit_learn_does() -> None:
    X = rows()
    assert np.allclose(FeatureScaler("standardise").fit_transform(X), StandardScaler().fit_transform(X))


def test_rows_have_length_one_after_l2_and_a_row_of_zeros_stays_one() -> None:
    X = rows()
    X[3] = 0
    lengths = np.linalg.norm(FeatureScaler("l2").fit_transform(X), axis=1)
    assert np.allclose(np.delete(lengths, 3), 1)
    assert lengths[3] == 0


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6, 1e-30])
def test_a_constant_column_becomes_zero_and_harms_no_other(constant: float) -> None:
    X = rows(1000).astype(np.float32)
    X[:, 2] = constant
    for scaler in (FeatureScaler("standardise"), BlockScaler((4, 5))):
        scaled = scaler.fit_transform(X)
        assert np.abs(scaled[:, 2]).max() < 1e-6 * max(1, constant)
        assert np.isfinite(scaled).all()


def test_moments_of_single_precision_rows_far_from_zero_are_those_of_double_precision() -> None:
    X = (rows() + 1e4).astype(np.float32)
    mean, variance = column_moments(X)
    assert np.allclose(mean, X.astype(np.float64).mean(axis=0), rtol=1e-12)
    assert np.allclose(variance, X.astype(np.float64).var(axis=0), rtol=1e-9)


def test_weighted_moments_are_those_of_rows_given_as_often() -> None:
    X, counts = rows(20), np.arange(20) % 4
    weighted, repeated = column_moments(X, counts.astype(float)), column_moments(np.repeat(X, counts, axis=0))
    assert np.allclose(weighted, repeated)


def test_an_unknown_scaling_is_an_error_that_names_those_there_are() -> None:
    with pytest.raises(HeadError, match="there is no scaling 'minmax'; choose none, standardise, overall, l2"):
        FeatureScaler("minmax").fit(rows())  # type: ignore[arg-type]


def test_blocks_of_any_width_have_the_same_variance_and_all_together_that_of_standardised_columns() -> None:
    scaled = BlockScaler((2, 7)).fit_transform(rows())
    variances = scaled.var(axis=0)
    assert variances[:2].sum() == pytest.approx(variances[2:].sum())
    assert variances.sum() == pytest.approx(9)


def test_overall_scaling_keeps_what_columns_are_to_each_other() -> None:
    X = rows()
    scaled = FeatureScaler("overall").fit_transform(X)
    assert scaled.var(axis=0).mean() == pytest.approx(1)
    assert np.allclose(scaled * np.sqrt(X.var(axis=0).mean()), X - X.mean(axis=0))


def test_one_block_is_standardised() -> None:
    X = rows()
    assert np.allclose(BlockScaler().fit_transform(X), StandardScaler().fit_transform(X))


def test_the_weight_of_a_block_multiplies_it_and_0_switches_it_off() -> None:
    X = rows()
    plain, weighted = (BlockScaler((2, 3, 4), weights).fit_transform(X) for weights in (None, (0, 1, 2.5)))
    assert np.allclose(weighted, plain * np.repeat([0, 1, 2.5], (2, 3, 4)))


@pytest.mark.parametrize("weights", [(1,), (1, -1), (0, 0), (1, np.nan)])
def test_weights_that_fit_no_blocks_are_an_error(weights: tuple[float, ...]) -> None:
    with pytest.raises(HeadError, match="for 2 blocks; give each block one"):
        BlockScaler((4, 5), weights).fit(rows())


@pytest.mark.parametrize("widths", [(), (4, 4), (9, 0), (10,)])
def test_widths_that_do_not_sum_to_the_columns_are_an_error(widths: tuple[int, ...]) -> None:
    for estimator in (BlockScaler(widths), BlockPCA(widths)):
        with pytest.raises(HeadError, match="columns wide but there are 9"):
            estimator.fit(rows())


@pytest.mark.parametrize("count", [80, 6], ids=["more rows than columns", "fewer rows than columns"])
@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("variance", [0.5, 0.9, 0.999])
def test_each_block_is_reduced_as_by_a_pca_of_its_own(count: int, whiten: bool, variance: float) -> None:
    X = rows(count)
    ours = BlockPCA((4, 5), variance, whiten=whiten).fit_transform(X)
    each = [PCA(variance, whiten=whiten, svd_solver="full") for _ in range(2)]
    theirs = np.hstack([each[0].fit_transform(X[:, :4]), each[1].fit_transform(X[:, 4:])])
    assert ours.shape == theirs.shape
    assert np.allclose(up_to_sign(ours, theirs), theirs, atol=1e-8)


def test_new_rows_are_reduced_by_the_components_of_the_training_rows() -> None:
    X, new = rows(), rows(seed=1)
    ours, theirs = BlockPCA(variance=0.9).fit(X), PCA(0.9, svd_solver="full").fit(X)
    assert np.allclose(up_to_sign(ours.transform(new), theirs.transform(new)), theirs.transform(new))


def test_all_the_variance_asked_for_gives_no_component_that_does_not_vary() -> None:
    X = np.hstack([rows(columns=3)] * 2)
    assert BlockPCA(variance=1.0, whiten=True).fit_transform(X).shape == (80, 3)


def test_a_block_that_does_not_vary_has_one_component_which_is_0() -> None:
    X = rows()
    X[:, :4] = 7
    reduced = BlockPCA((4, 5), whiten=True).fit_transform(X)
    assert np.abs(reduced[:, 0]).max() < 1e-9
    assert np.allclose(reduced[:, 1:], BlockPCA(whiten=True).fit_transform(X[:, 4:]))


def test_whitened_components_have_variance_1() -> None:
    assert np.allclose(BlockPCA((4, 5), whiten=True).fit_transform(rows()).var(axis=0, ddof=1), 1)


@pytest.mark.parametrize("widths", [None, (4, 5)])
def test_components_fitted_for_many_parameters_are_those_of_each_alone(widths: tuple[int, ...] | None) -> None:
    X = rows()
    settings: list[dict[str, Any]] = [
        {"variance": variance, "whiten": whiten} for variance in (0.5, 0.9, 1.0) for whiten in (False, True)
    ]
    for setting, fitted in zip(settings, BlockPCA(widths).fit_each(X, settings), strict=True):
        assert fitted.get_params() == {"widths": widths} | setting
        assert np.array_equal(fitted.transform(X), BlockPCA(widths, **setting).fit_transform(X))


@pytest.mark.parametrize("how", ["none", "standardise", "overall", "l2"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_without_copy_rows_are_scaled_where_they_are_and_with_it_left_alone(how: How, dtype: type) -> None:
    X = rows()
    given: NDArray[Any] = X.astype(dtype)
    scaled = FeatureScaler(how).fit(given).transform(given)
    assert np.array_equal(given, X.astype(dtype))
    inside = FeatureScaler(how, copy=False).fit(given).transform(given)
    assert np.shares_memory(inside, given)
    assert np.array_equal(inside, scaled)
