"""Late fusion learns from what each block says of rows it has not seen."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from featx.errors import HeadError
from featx.estimators import (
    BlockScaler,
    ColumnSelector,
    CosineNeighbors,
    FeatureScaler,
    KernelSVM,
    LinearSVM,
    NearestClassMean,
    SoftmaxRegression,
    StackedBlocks,
    class_scores,
)
from featx.estimators.stacking import LEAST_LOG_PROBABILITY, stratified_parts
from tests.support.learning import blobs, soft


def pipeline(classifier: Any) -> Pipeline:
    return make_pipeline(FeatureScaler(), ColumnSelector(share=0.7), classifier)


def test_scores_are_those_of_a_regression_over_out_of_fold_log_probabilities() -> None:
    X, y, new = blobs(200, 9)
    widths = (4, 5)
    ours = StackedBlocks(widths, SoftmaxRegression(1.0), folds=4, l2=0.5, seed=3).fit(X, y)
    split = PredefinedSplit(stratified_parts(np.eye(3)[y], folds=4, seed=3))
    blocks = [slice(0, 4), slice(4, 9)]
    unseen, seen = [], []
    for block in blocks:
        one = LogisticRegression(C=1.0, tol=1e-10, max_iter=5000)
        unseen.append(
            cross_val_predict(one, X[:, block], y, cv=split, method="predict_log_proba").clip(LEAST_LOG_PROBABILITY)
        )
        seen.append(one.fit(X[:, block], y).predict_log_proba(new[:, block]).clip(LEAST_LOG_PROBABILITY))
    judge = LogisticRegression(C=2.0, tol=1e-10, max_iter=5000).fit(np.hstack(unseen), y)
    assert np.allclose(ours.predict_proba(new), judge.predict_proba(np.hstack(seen)), atol=1e-3)


@pytest.mark.parametrize("folds", [2, 5])
def test_rows_of_every_class_are_dealt_alike(folds: int) -> None:
    labels = np.repeat([0, 1, 2], [50, 7, 1])
    parts = stratified_parts(np.eye(3)[labels], folds=folds, seed=0)
    counts = np.array([[((parts == part) & (labels == c)).sum() for c in range(3)] for part in range(folds)])
    assert (np.ptp(counts, axis=0) <= 1).all()
    assert np.ptp(counts.sum(axis=1)) <= 1
    assert np.array_equal(parts, stratified_parts(np.eye(3)[labels], folds=folds, seed=0))
    assert not np.array_equal(parts, stratified_parts(np.eye(3)[labels], folds=folds, seed=1))


@pytest.mark.exhaustive
def test_a_block_of_noise_takes_less_from_a_block_that_tells_than_where_they_are_joined() -> None:
    X, y, _ = blobs(1300, 6)
    noisy = np.hstack([X, np.random.default_rng(0).normal(size=(1300, 200))])

    def loss(classifier: ClassifierMixin, rows: NDArray[Any]) -> float:
        scores = class_scores(classifier.fit(rows[:300], y[:300]), rows[300:])
        return float(log_loss(y[300:], softmax(scores, axis=1)))

    alone, stacked, joined = (
        loss(SoftmaxRegression(), X),
        loss(StackedBlocks((6, 200)), noisy),
        loss(SoftmaxRegression(), noisy),
    )
    assert alone < stacked < (alone + joined) / 2


@pytest.mark.parametrize("kind", ["labels", "weights", "soft labels"])
def test_pipelines_of_any_kind_are_stacked_and_weights_and_soft_labels_reach_them(kind: str) -> None:
    X, y, new = blobs(120, 12, apart=2)
    each = [pipeline(NearestClassMean()), pipeline(CosineNeighbors()), pipeline(KernelSVM()), pipeline(LinearSVM(0.1))]
    stacked = StackedBlocks((3, 3, 3, 3), each)
    weights = None if kind == "labels" else np.linspace(0, 2, len(X))
    fitted = stacked.fit_soft(X, soft(120), weights) if kind == "soft labels" else stacked.fit(X, y, weights)
    assert (fitted.predict(new) == np.arange(40) % 3).mean() > 0.8
    assert np.allclose(fitted.predict_proba(new).sum(axis=1), 1)
    assert not hasattr(each[0].steps[-1][1], "classes_")


def test_a_row_of_weight_0_has_no_say_however_wrong() -> None:
    X, y, new = blobs(100, 6)
    wrong = np.vstack([X, 100 + X]), np.concatenate([y, (y + 1) % 3])
    without = StackedBlocks((3, 3), folds=3).fit(X, y)
    with_them = StackedBlocks((3, 3), folds=3).fit(*wrong, np.repeat([1.0, 0.0], 100))
    assert np.allclose(without.decision_function(new), with_them.decision_function(new))


def test_groups_are_dealt_whole() -> None:
    groups = np.array(["a", "b", "c", "d", "e", "f", "g"]).repeat(5)
    parts = stratified_parts(np.eye(2)[np.arange(35) % 2], folds=3, seed=0, groups=groups)
    assert all(len(set(parts[groups == group])) == 1 for group in set(groups))
    assert set(parts) == {0, 1, 2}


def test_with_groups_a_block_that_knows_its_own_group_alone_is_not_trusted() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(60), 5)
    y = (np.arange(60) % 2)[group]
    tells, own = y[:, None] + rng.normal(size=(300, 3)), rng.normal(size=(60, 30))[group]
    X = np.hstack([tells, own])
    new_y = np.arange(400) % 2
    new = np.hstack([new_y[:, None] + rng.normal(size=(400, 3)), rng.normal(size=(400, 30))])
    each = [SoftmaxRegression(), CosineNeighbors(1)]
    torn, whole = (
        (StackedBlocks((3, 30), each).fit(X, y, groups=groups).predict(new) == new_y).mean() for groups in (None, group)
    )
    assert torn < 0.65
    assert whole > 0.75


def test_a_class_that_nobody_can_judge_unseen_leaves_the_mean_of_all_opinions(caplog: pytest.LogCaptureFixture) -> None:
    X, y, new = blobs(60, 4)
    y[7] = 3
    fitted = StackedBlocks((2, 2)).fit(X, y)
    assert fitted.judge_ is None
    assert "class 3 is in one of 5 folds only" in caplog.text
    opinions = [
        SoftmaxRegression().fit(X[:, block], y).predict_proba(new[:, block]) for block in (slice(2), slice(2, 4))
    ]
    mean = np.log(np.maximum(opinions, 1e-6)).mean(axis=0)
    assert np.allclose(fitted.decision_function(new), mean, atol=1e-4)


@pytest.mark.parametrize("classes", [2, 3])
def test_one_row_a_class_is_learnt_better_than_by_chance(classes: int) -> None:
    X, y, _ = blobs(300, 8, apart=6)
    X, y = X[y < classes], y[y < classes]
    first = [int(np.flatnonzero(y == label)[0]) for label in range(classes)]
    fitted = StackedBlocks((4, 4)).fit(X[first], y[first])
    assert (fitted.predict(X) == y).mean() > 0.8


def test_transformers_of_scikit_learn_are_fitted_too() -> None:
    X, y, new = blobs(apart=3)
    stacked = StackedBlocks(estimators=make_pipeline(StandardScaler(), BlockScaler(), SoftmaxRegression())).fit(X, y)
    assert (stacked.predict(new) == np.arange(40) % 3).mean() > 0.8


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"widths": (2, 2)}, "columns wide but there are 5"),
        ({"widths": (2, 3), "estimators": [SoftmaxRegression()]}, "1 estimators were given for 2 blocks"),
        ({"folds": 1}, "folds is 1; give 2 or more"),
    ],
)
def test_parameters_that_fit_no_blocks_are_errors(params: dict[str, Any], message: str) -> None:
    X, y, _ = blobs()
    with pytest.raises(HeadError, match=message):
        StackedBlocks(**params).fit(X, y)


def test_the_same_seed_gives_the_same_scores_and_another_other_folds() -> None:
    X, y, new = blobs()
    first, again, other = (StackedBlocks((2, 3), seed=seed).fit(X, y).decision_function(new) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
