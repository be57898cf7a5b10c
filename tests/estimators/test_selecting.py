"""Columns are scored by what they tell of the classes, as independent implementations score them."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.feature_selection import f_classif
from sklearn.metrics import mutual_info_score

from featx.errors import ConvergenceError, HeadError
from featx.estimators import selecting
from featx.estimators.selecting import (
    QUANTILE_BINS,
    By,
    ColumnSelector,
    anova,
    mutual_information,
)
from featx.estimators.targets import label_targets, share_targets
from tests.support.learning import blobs, soft

SCORES: list[By] = ["anova", "mutual-info", "l1"]


def telling(count: int = 200, *, dtype: type = np.float64) -> tuple[NDArray[Any], NDArray[Any]]:
    """Ten columns, of which the third and the eighth tell the class, the third more, and the sixth is constant."""
    rng = np.random.default_rng(0)
    y = np.arange(count) % 3
    X = rng.normal(size=(count, 10))
    X[:, 2] += 3 * y
    X[:, 7] -= 1.5 * y
    X[:, 5] = 4
    return X.astype(dtype), y


def test_f_ratios_are_those_of_scikit_learn() -> None:
    X, y, _ = blobs()
    assert np.allclose(anova(X, label_targets(y, None, None)), f_classif(X, y)[0])


def test_f_ratios_of_single_precision_rows_far_from_zero_are_those_of_double_precision() -> None:
    X, y, _ = blobs(dtype=np.float32)
    X += 1000
    assert np.allclose(anova(X, label_targets(y, None, None)), f_classif(X.astype(np.float64), y)[0], rtol=1e-6)


def test_mutual_information_is_that_of_scikit_learn_with_the_binned_column() -> None:
    X, y, _ = blobs(500, 300)
    X[:, 1] = X[:, 1].clip(0)
    binned = [
        np.searchsorted(
            np.unique(np.quantile(x, np.arange(1, QUANTILE_BINS) / QUANTILE_BINS, method="inverted_cdf")), x
        )
        for x in X.T
    ]
    expected = [mutual_info_score(y, column) for column in binned]
    assert np.allclose(mutual_information(X, label_targets(y, None, None)), expected)


@pytest.mark.parametrize("score", SCORES)
def test_the_columns_that_tell_the_class_are_kept(score: By) -> None:
    X, y = telling()
    one, two = (ColumnSelector(score, share).fit(X, y) for share in (0.1, 0.2))
    assert one.get_support(indices=True).tolist() == [2]
    assert two.get_support(indices=True).tolist() == [2, 7]
    assert np.array_equal(two.transform(X), X[:, [2, 7]])


@pytest.mark.parametrize("score", SCORES)
def test_a_constant_column_scores_least_of_all(score: By) -> None:
    X, y = telling(dtype=np.float32)
    scores = ColumnSelector(score).fit(X, y).scores_
    assert scores.argmin() == 5
    if score != "l1":
        assert scores[5] == 0


@pytest.mark.parametrize(("share", "kept"), [(1e-9, 1), (0.14, 1), (0.5, 5), (1.0, 10)])
def test_the_share_says_how_many_and_at_least_one_is_kept(share: float, kept: int) -> None:
    assert ColumnSelector(share=share).fit(*telling()).get_support().sum() == kept


def test_of_equal_scores_the_first_columns_are_kept() -> None:
    X, y = telling()
    selector = ColumnSelector(share=0.25).fit(np.hstack([X[:, 2:3]] * 8), y)
    assert selector.get_support(indices=True).tolist() == [0, 1]


@pytest.mark.parametrize("score", SCORES)
def test_a_weight_of_2_is_a_row_given_twice(score: By) -> None:
    X, y = telling(90)
    counts = np.random.default_rng(2).integers(0, 4, 90)
    weighted = ColumnSelector(score).fit(X, y, counts)
    repeated = ColumnSelector(score).fit(np.repeat(X, counts, axis=0), np.repeat(y, counts))
    assert np.allclose(weighted.scores_, repeated.scores_, atol=1e-3)


@pytest.mark.parametrize("score", SCORES)
def test_soft_labels_are_rows_that_stand_there_once_a_class(score: By) -> None:
    X, _ = telling(91)
    shares = soft(91)
    rows, labels = np.nonzero(shares)
    fitted = ColumnSelector(score).fit_soft(X, shares)
    expanded = ColumnSelector(score).fit(X[rows], labels, shares[rows, labels])
    assert np.allclose(fitted.scores_, expanded.scores_, atol=1e-3)


@pytest.mark.parametrize("score", SCORES)
def test_of_several_labels_an_image_a_column_has_its_highest_score_for_any_class(score: By) -> None:
    X, y = telling()
    indicator = np.column_stack([y == 1, y > 0, X[:, 4] > 0.5, np.ones_like(y)]).astype(int)
    fitted = ColumnSelector(score).fit_soft(X, indicator)
    each = [ColumnSelector(score).fit(X, indicator[:, place]).scores_ for place in range(3)]
    assert np.allclose(fitted.scores_, np.max(each, axis=0))
    assert fitted.scores_[4] > fitted.scores_[0]


def test_several_labels_that_all_rows_share_are_an_error() -> None:
    X, y = telling()
    with pytest.raises(HeadError, match="no column can predict"):
        ColumnSelector().fit_soft(X, np.ones((len(y), 2)))


def test_a_class_that_weighs_nothing_has_no_say() -> None:
    X, y = telling()
    two = share_targets(np.eye(4)[y], None, None, rows=len(X))
    assert np.allclose(anova(X, two), anova(X, label_targets(y, None, None)))
    assert np.allclose(mutual_information(X, two), mutual_information(X, label_targets(y, None, None)))


def test_one_row_a_class_is_an_error_of_anova() -> None:
    X, y = telling(3)
    with pytest.raises(HeadError, match="give classes more rows"):
        ColumnSelector().fit(X, y)


def test_a_selection_that_does_not_converge_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selecting, "L1_ITERATIONS", 1)
    with pytest.raises(ConvergenceError, match="selection by L1 did not converge in 1 iterations"):
        ColumnSelector("l1").fit(*telling())


@pytest.mark.parametrize(
    ("params", "message"), [({"by": "rfe"}, "choose anova"), ({"share": 0}, "above 0 and up to 1")]
)
def test_a_parameter_that_selects_nothing_is_an_error(params: dict[str, Any], message: str) -> None:
    with pytest.raises(HeadError, match=message):
        ColumnSelector(**params).fit(*telling())
