"""The nodes of each part of a head give what the part itself gives, on rows that it has never seen."""

from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from hypothesis.strategies import floats
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from featx.deploy.graph import classifiers, steps
from featx.deploy.graph.classifiers import add_scores
from featx.deploy.graph.ending import add_ending, describe_outputs
from featx.deploy.graph.nodes import LEAST_OPSET, NEWEST_OPSET, Nodes
from featx.errors import HeadError
from featx.estimators import (
    MLP,
    BlockPCA,
    BlockScaler,
    ColumnSelector,
    CoralAdapter,
    CosineNeighbors,
    DomainStandardiser,
    FeatureScaler,
    KernelMap,
    KernelSVM,
    LinearSVM,
    LooRidgeClassifier,
    MultilabelNeighbors,
    NearestClassMean,
    OneVsRest,
    PriorShift,
    SoftmaxRegression,
    StackedBlocks,
    TrAdaBoost,
    TransportAdapter,
)
from featx.heads import Head
from featx.heads.file import grammar
from tests.support.learning import blobs

COLUMNS = 6
BLOCKS = (4, 2)
WITHIN = 1e-6
ROWS, LABELS, NEW = blobs(120, COLUMNS, apart=1.0, dtype=np.float32)

STEPS: dict[str, list[BaseEstimator]] = {
    "nothing": [],
    "none": [FeatureScaler("none")],
    "standardise": [FeatureScaler("standardise")],
    "overall": [FeatureScaler("overall")],
    "l2": [FeatureScaler("l2")],
    "blocks": [BlockScaler(BLOCKS, weights=(1.0, 0.25))],
    "pca": [BlockPCA(BLOCKS, whiten=True), FeatureScaler("overall")],
    "joint pca": [BlockScaler(BLOCKS), BlockPCA(), FeatureScaler("overall")],
    "kernel": [BlockScaler(BLOCKS), KernelMap(0.3, n_components=50), FeatureScaler("overall")],
    "selection": [FeatureScaler(), ColumnSelector("anova", share=0.5)],
}
CLASSIFIERS: dict[str, BaseEstimator] = {
    "logreg": SoftmaxRegression(0.1),
    "linear svm": LinearSVM(1.0),
    "rbf svm": KernelSVM(100.0),
    "rbf svm by a map": KernelSVM(10.0, approximate=True, n_components=40),
    "ridge": LooRidgeClassifier(),
    "class mean": NearestClassMean(),
    "cosine class mean": NearestClassMean("cosine"),
    "knn": CosineNeighbors(5, 0.1),
    "knn of more neighbours than rows": CosineNeighbors(500, 0.05),
    "mlp": MLP(hidden=(16, 8), max_iter=30),
    "stacked": StackedBlocks(BLOCKS, Pipeline([("scaler", FeatureScaler()), ("classifier", LinearSVM())])),
    "averaged": StackedBlocks(BLOCKS, Pipeline([("classifier", NearestClassMean())]), judge=False),
    "boosted": TrAdaBoost(LinearSVM(), rounds=6),
}


def made_head(pipeline: Pipeline, classes: int, *, temperature: float = 0.7, multilabel: bool = False) -> Head:
    names = tuple(f"class {number}" for number in range(classes))
    return Head("made", names, {}, (), {}, pipeline, temperature, multilabel)


def fitted(steps: list[BaseEstimator], classifier: BaseEstimator, labels: NDArray[Any] = LABELS) -> Pipeline:
    named = [(f"step{place}", step) for place, step in enumerate(steps)]
    return Pipeline([*named, ("classifier", classifier)]).fit(ROWS, labels)


def open_nodes(head: Head, opset: int = LEAST_OPSET) -> onnxruntime.InferenceSession:
    """The nodes of a head as a model of its own, which reads rows of features."""
    nodes = Nodes(opset=opset)
    scores = add_scores(nodes, head.pipeline, "rows")
    outputs = add_ending(nodes, scores, head.classes, temperature=head.temperature, multilabel=head.multilabel)
    taken = helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["batch", COLUMNS])
    graph = helper.make_graph(nodes.nodes, "head", [taken], describe_outputs(outputs, "batch"), nodes.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    checker.check_model(model, full_check=True)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def assert_same(head: Head, rows: NDArray[np.float32], opset: int = LEAST_OPSET) -> None:
    labels, probabilities = open_nodes(head, opset).run(None, {"rows": rows})
    own = head.predict_probabilities(rows)
    np.testing.assert_allclose(probabilities, own, rtol=0, atol=WITHIN)
    if head.multilabel:
        assert np.array_equal(labels, own > 0.5)
    else:
        assert labels.tolist() == np.array(head.classes)[own.argmax(axis=1)].tolist()


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_each_classifier_gives_its_own_probabilities(name: str) -> None:
    assert_same(made_head(fitted([FeatureScaler()], CLASSIFIERS[name]), 3), NEW)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_each_classifier_of_two_classes_gives_its_own_probabilities(name: str) -> None:
    assert_same(made_head(fitted([FeatureScaler()], CLASSIFIERS[name], LABELS % 2), 2), NEW)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("opset", [LEAST_OPSET, NEWEST_OPSET])
def test_each_step_gives_its_own_rows_in_old_and_new_operators(name: str, opset: int) -> None:
    assert_same(made_head(fitted(STEPS[name], KernelSVM(10.0)), 3), NEW, opset)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_class_without_training_images_has_no_chance_in_onnx_either(name: str) -> None:
    """Of 4 classes, no row is of the second."""
    shares = np.eye(4)[np.array([0, 2, 3])[LABELS]]
    classifier = CLASSIFIERS[name]
    head = made_head(Pipeline([("classifier", classifier.fit_soft(ROWS, shares))]), 4)
    assert_same(head, NEW)


@pytest.mark.parametrize("opset", [LEAST_OPSET, NEWEST_OPSET])
def test_a_class_without_training_images_loses_against_class_means_that_are_far_away(opset: int) -> None:
    shares = np.eye(4)[np.array([0, 2, 3])[LABELS]]
    for exact in (True, False):
        classifier = NearestClassMean().fit_soft(100 * ROWS, shares)
        if not exact:
            del classifier.exact_  # as heads of 0.1.0, which are not changed
        head = made_head(Pipeline([("classifier", classifier)]), 4, temperature=1e4)
        rows = (1e3 * NEW).astype(np.float32)
        given = classifier.decision_function(rows).argmax(axis=1)
        assert (1 in given) is not exact
        if exact:
            assert_same(head, rows, opset)


@pytest.mark.parametrize("adapter", [DomainStandardiser(), CoralAdapter(), TransportAdapter()])
def test_a_head_for_another_domain_takes_its_adapter_and_its_class_shares_along(adapter: Any) -> None:
    adapter.fit_domains(ROWS, 2 * NEW + 1)
    classifier = PriorShift(SoftmaxRegression().fit(ROWS, LABELS), np.log([0.5, 2.0, 1.0]))
    assert_same(made_head(Pipeline([("adapter", adapter), ("classifier", classifier)]), 3), 2 * NEW + 1)


INDICATOR = np.column_stack([LABELS == 0, LABELS != 1, np.ones(len(LABELS)), np.zeros(len(LABELS))]).astype(int)


@pytest.mark.parametrize(
    "classifier",
    [
        OneVsRest(),
        OneVsRest(KernelSVM(10.0)),
        OneVsRest(NearestClassMean()),
        MultilabelNeighbors(5),
    ],
    ids=["linear", "rbf svm", "class mean", "knn"],
)
def test_a_head_of_several_labels_says_which_are_there(classifier: BaseEstimator) -> None:
    """The last two classes are those of all training images, and of none."""
    pipeline = Pipeline([("classifier", classifier.fit(ROWS, INDICATOR))])
    assert_same(made_head(pipeline, 4, multilabel=True), NEW)


SCALED = made_head(fitted([FeatureScaler("l2")], CosineNeighbors(5, 0.2)), 3)
CURVED = made_head(fitted([BlockScaler(BLOCKS), BlockPCA(BLOCKS)], KernelSVM(30.0)), 3)
OPENED = [(head, open_nodes(head)) for head in (SCALED, CURVED)]


@pytest.mark.parametrize(("head", "opened"), OPENED, ids=["knn", "pca and rbf svm"])
@settings(max_examples=12, deadline=None)
@given(rows=arrays(np.float32, (4, COLUMNS), elements=floats(-1e4, 1e4, width=32)))
def test_whatever_the_features_are_the_probabilities_are_those_of_the_head(head: Head, opened: Any, rows: Any) -> None:
    _, probabilities = opened.run(None, {"rows": rows})
    np.testing.assert_allclose(probabilities, head.predict_probabilities(rows), rtol=0, atol=1e-5)


def test_every_part_that_a_head_may_have_has_nodes() -> None:
    assert {kind.__name__ for kind in grammar.STEPS} == steps.STEPS.keys()
    assert {kind.__name__ for kind in grammar.CLASSIFIERS} == classifiers.CLASSIFIERS.keys()


def test_a_coefficient_that_float32_cannot_hold_is_refused() -> None:
    pipeline = fitted([FeatureScaler()], SoftmaxRegression())
    pipeline[0].factor_[0] = 1e40
    with pytest.raises(HeadError, match="a factor of a column of the head is beyond the range of float32"):
        open_nodes(made_head(pipeline, 3))


def test_a_classifier_that_has_no_nodes_is_named() -> None:
    class OfSomebodyElse(SoftmaxRegression):
        pass

    with pytest.raises(HeadError, match="a head with a OfSomebodyElse cannot be deployed"):
        open_nodes(made_head(fitted([], OfSomebodyElse()), 3))
