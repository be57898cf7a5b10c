"""What every classifier of ours keeps to: weights are counts, soft labels are rows, sweeps are fits."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from sklearn.base import ClassifierMixin, clone
from sklearn.model_selection import GridSearchCV, ParameterGrid
from sklearn.pipeline import make_pipeline

from featx.errors import HeadError
from featx.estimators.class_mean import NearestClassMean
from featx.estimators.domains.boosting import TrAdaBoost
from featx.estimators.kernel import KernelSVM
from featx.estimators.linear_svm import LinearSVM
from featx.estimators.mlp import MLP
from featx.estimators.neighbors import CosineNeighbors
from featx.estimators.scaling import FeatureScaler
from featx.estimators.scores import NO_CHANCE, class_scores
from featx.estimators.stacking import StackedBlocks
from tests.support.learning import blobs, soft

Case = tuple[ClassifierMixin, Mapping[str, Sequence[Any]]]

EXACT: Sequence[Case] = [
    (CosineNeighbors(1000), {"n_neighbors": [1, 4, 20], "temperature": [0.05, 0.5]}),
    (NearestClassMean(), {"metric": ["euclidean", "cosine"]}),
    (TrAdaBoost(NearestClassMean()), {"rounds": [4, 8]}),
    (LinearSVM(), {"C": [1.0, 0.01, 10.0]}),
    (LinearSVM(), {"C": [1.0, 0.1], "class_weight": [None, "balanced"]}),
    (KernelSVM(), {"C": [1.0, 10.0], "gamma": ["scale", 0.3]}),
    (KernelSVM(), {"gamma": [0.3, 1.0]}),
]
DRAWING: Sequence[Case] = [
    (KernelSVM(approximate=True, n_components=15), {"C": [0.1, 1.0], "gamma": [0.3, 1.0]}),
    (StackedBlocks(), {"l2": [0.1, 10.0]}),
    (MLP((16,), learning_rate=0.05, max_iter=300), {"alpha": [1e-4, 1.0], "class_weight": [None, "balanced"]}),
]
"""They draw or deal rows, so that as many rows with other weights are another problem to them."""
EACH = pytest.mark.parametrize(("classifier", "grid"), [*EXACT, *DRAWING], ids=repr)
ALIKE = pytest.mark.parametrize("classifier", [classifier for classifier, _ in EXACT], ids=repr)
CLOSE: Any = {"rtol": 1e-4, "atol": 1e-5}
WITHIN: Any = {"rtol": 1e-2, "atol": 1e-2}
"""Equal problems of more rows are solved by libsvm to its tolerance."""


@ALIKE
@pytest.mark.parametrize("classes", [2, 3])
def test_a_weight_of_2_is_a_row_given_twice_and_one_of_0_a_row_left_out(
    classifier: ClassifierMixin, classes: int
) -> None:
    X, y, new = blobs(classes=classes)
    counts = np.random.default_rng(2).integers(0, 4, len(X))
    weighted = clone(classifier).fit(X, y, counts)
    repeated = clone(classifier).fit(np.repeat(X, counts, axis=0), np.repeat(y, counts))
    assert np.allclose(
        class_scores(weighted, new),
        class_scores(repeated, new),
        **(WITHIN if isinstance(classifier, KernelSVM) else CLOSE),
    )


@ALIKE
def test_soft_labels_are_rows_that_stand_there_once_a_class(classifier: ClassifierMixin) -> None:
    X, _, new = blobs()
    shares, weights = soft(len(X)), np.linspace(0, 2, len(X))
    rows, labels = np.nonzero(shares * weights[:, np.newaxis])
    expanded = clone(classifier).fit(X[rows], labels, (shares * weights[:, np.newaxis])[rows, labels])
    fitted = clone(classifier).fit_soft(X, shares, weights)
    assert np.array_equal(fitted.classes_, np.arange(3))
    assert np.allclose(class_scores(fitted, new), class_scores(expanded, new), **CLOSE)


@EACH
def test_shares_of_0_and_1_are_labels(classifier: ClassifierMixin, grid: object) -> None:
    X, y, new = blobs()
    soft_fit, hard_fit = clone(classifier).fit_soft(X, np.eye(3)[y]), clone(classifier).fit(X, y)
    assert np.array_equal(class_scores(soft_fit, new), class_scores(hard_fit, new))


@EACH
@pytest.mark.parametrize("kind", ["two classes", "three classes", "soft labels"])
def test_a_sweep_gives_what_fits_one_by_one_give(
    classifier: ClassifierMixin, grid: Mapping[str, Sequence[Any]], kind: str
) -> None:
    X, y, new = blobs(classes=2 if kind == "two classes" else 3)
    weights = np.linspace(0, 2, len(X))
    target = soft(len(X)) if kind == "soft labels" else y
    swept = list(classifier.sweep(X, target, new, grid=grid, sample_weight=weights))
    assert len(swept) == len(ParameterGrid(grid))
    assert all(params in [given for given, _ in swept] for params in ParameterGrid(grid))
    for params, scores in swept:
        one = clone(classifier).set_params(**params)
        fit = one.fit_soft if kind == "soft labels" else one.fit
        assert np.allclose(scores, class_scores(fit(X, target, weights), new), **CLOSE), params


@EACH
def test_a_sweep_leaves_the_classifier_as_it_was(
    classifier: ClassifierMixin, grid: Mapping[str, Sequence[Any]]
) -> None:
    X, y, new = blobs()
    before = repr(vars(classifier))
    list(classifier.sweep(X, y, new, grid=grid))
    assert repr(vars(classifier)) == before


@EACH
def test_it_is_tuned_by_a_grid_search_of_scikit_learn_inside_a_pipeline(
    classifier: ClassifierMixin, grid: Mapping[str, Sequence[Any]]
) -> None:
    X, y, new = blobs(apart=3)
    pipeline = make_pipeline(FeatureScaler(), classifier)
    step = pipeline.steps[-1][0]
    search = GridSearchCV(pipeline, {f"{step}__{name}": values for name, values in grid.items()}, cv=3).fit(X, y)
    assert (search.predict(new) == np.arange(40) % 3).mean() > 0.8


@EACH
def test_words_are_classes_too_and_come_back(classifier: ClassifierMixin, grid: object) -> None:
    X, y, new = blobs(apart=3)
    named = clone(classifier).fit(X, np.array(["cat", "dog", "eel"])[y])
    assert named.classes_.tolist() == ["cat", "dog", "eel"]
    assert np.array_equal(named.predict(new), named.classes_[clone(classifier).fit(X, y).predict(new)])


@EACH
def test_a_class_without_any_share_has_no_chance_and_changes_no_other(
    classifier: ClassifierMixin, grid: Mapping[str, Sequence[Any]]
) -> None:
    X, y, new = blobs()
    shares, wide = np.eye(3)[y], np.eye(5)[3 - y]
    with_it, without = clone(classifier).fit_soft(X, wide), clone(classifier).fit_soft(X, shares[:, ::-1])
    assert with_it.classes_.tolist() == [0, 1, 2, 3, 4]
    assert np.allclose(class_scores(with_it, new)[:, 1:4], class_scores(without, new), **CLOSE)
    assert np.allclose(class_scores(with_it, new)[:, [0, 4]], NO_CHANCE)
    assert np.array_equal(with_it.predict(new), without.predict(new) + 1)
    for (_, swept), (_, expected) in zip(
        classifier.sweep(X, wide, new, grid=grid), classifier.sweep(X, shares[:, ::-1], new, grid=grid), strict=True
    ):
        assert np.allclose(swept[:, [0, 4]], NO_CHANCE)
        assert np.allclose(swept[:, 1:4], expected, **CLOSE)


@EACH
def test_one_class_alone_is_an_error(classifier: ClassifierMixin, grid: object) -> None:
    X, y, _ = blobs(classes=2)
    with pytest.raises(HeadError, match="a classifier needs at least two classes"):
        clone(classifier).fit(X, y, (y == 0).astype(float))


@EACH
def test_more_columns_than_rows_constant_and_equal_columns_do_no_harm(
    classifier: ClassifierMixin, grid: object
) -> None:
    X, y, new = blobs(count=24, columns=60, apart=2)
    X[:, 3], new[:, 3], X[:, 4], new[:, 4] = 1, 1, X[:, 5], new[:, 5]
    assert (clone(classifier).fit(X, y).predict(new) == np.arange(40) % 3).mean() > 0.8
