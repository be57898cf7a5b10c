"""Our estimators are citizens of scikit-learn: its own checks, clones, and saving without pickle."""

from typing import Any

import numpy as np
import pytest
import skops.io
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from featx.estimators.blocks import BlockPCA, BlockScaler
from featx.estimators.class_mean import NearestClassMean
from featx.estimators.domains.boosting import TrAdaBoost
from featx.estimators.domains.mapping import CoralAdapter, TransportAdapter
from featx.estimators.domains.standardising import DomainStandardiser
from featx.estimators.kernel import KernelMap, KernelSVM
from featx.estimators.linear_svm import LinearSVM
from featx.estimators.mlp import MLP
from featx.estimators.multilabel import OneVsRest
from featx.estimators.multilabel_neighbors import MultilabelNeighbors
from featx.estimators.neighbors import CosineNeighbors
from featx.estimators.scaling import FeatureScaler
from featx.estimators.selecting import ColumnSelector
from featx.estimators.stacking import StackedBlocks

ESTIMATORS = [
    *(FeatureScaler(how) for how in ("none", "standardise", "overall", "l2")),
    BlockScaler(),
    BlockPCA(),
    BlockPCA(whiten=True),
    *(ColumnSelector(score) for score in ("anova", "mutual-info", "l1")),
    DomainStandardiser(),
    CoralAdapter(),
    TransportAdapter(),
    CosineNeighbors(),
    NearestClassMean(),
    NearestClassMean("cosine"),
    LinearSVM(),
    TrAdaBoost(rounds=4),
    KernelMap(n_components=20),
    KernelSVM(),
    KernelSVM(approximate=True),
    StackedBlocks(),
    StackedBlocks(estimators=NearestClassMean(), folds=3),
    OneVsRest(),
    OneVsRest(NearestClassMean()),
    MultilabelNeighbors(),
    MLP((16,), learning_rate=0.05, max_iter=300),
]
WEIGHTS = "check_sample_weight_equivalence_on_dense_data"
UNMET = {
    "StackedBlocks": {WEIGHTS: "rows are dealt to folds, whatever their weights"},
    "CosineNeighbors": {WEIGHTS: "neighbours are counted in rows: one of weight 2 is one"},
    "MultilabelNeighbors": {WEIGHTS: "neighbours are counted in rows: one of weight 2 is one"},
    "KernelSVM": {WEIGHTS: "libsvm stops within a tolerance, and the map is made of rows that are drawn"},
}


def unmet(estimator: BaseEstimator) -> dict[str, str]:
    return UNMET.get(type(estimator).__name__, {})


ONE_EACH = list({type(estimator): estimator for estimator in reversed(ESTIMATORS)}.values())
OTHERS = [estimator for estimator in ESTIMATORS if estimator not in ONE_EACH]


@parametrize_with_checks(ONE_EACH, expected_failed_checks=unmet)
def test_it_passes_the_checks_of_scikit_learn(estimator: BaseEstimator, check: Any) -> None:
    check(estimator)


@pytest.mark.exhaustive
@parametrize_with_checks(OTHERS, expected_failed_checks=unmet)
def test_it_passes_the_checks_of_scikit_learn_whatever_its_parameters(estimator: BaseEstimator, check: Any) -> None:
    check(estimator)


def rows_of_two_classes(dtype: type = np.float64) -> tuple[NDArray[Any], NDArray[Any]]:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    return (rng.normal(size=(60, 6)) + 2 * y[:, np.newaxis]).astype(dtype), y


def output_of(estimator: BaseEstimator, rows: NDArray[Any]) -> NDArray[Any]:
    for method in ("decision_function", "predict_proba", "transform"):
        if hasattr(estimator, method):
            return np.asarray(getattr(estimator, method)(rows))
    raise AssertionError(estimator)


SAVED = [*ESTIMATORS, StackedBlocks((2, 4), [make_pipeline(FeatureScaler(), CosineNeighbors()), KernelSVM()])]


@pytest.mark.parametrize("estimator", SAVED, ids=repr)
def test_it_is_saved_without_pickle_and_only_our_own_types_need_trust(estimator: BaseEstimator) -> None:
    X, y = rows_of_two_classes()
    fitted = clone(estimator).fit(X, y)
    data = skops.io.dumps(fitted)
    strange = skops.io.get_untrusted_types(data=data)
    assert all(name.startswith("featx.estimators.") for name in strange)
    loaded = skops.io.loads(data, trusted=strange)
    assert np.array_equal(output_of(loaded, X), output_of(fitted, X))


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_the_same_fit_gives_the_same_numbers(estimator: BaseEstimator) -> None:
    X, y = rows_of_two_classes()
    first, second = (output_of(clone(estimator).fit(X, y), X) for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("estimator", [e for e in ESTIMATORS if hasattr(e, "transform")], ids=repr)
def test_what_is_transformed_keeps_single_precision(estimator: BaseEstimator) -> None:
    X, y = rows_of_two_classes(np.float32)
    assert output_of(clone(estimator).fit(X, y), X).dtype == np.float32
