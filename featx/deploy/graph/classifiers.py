"""Fitted classifiers as nodes: rows (n, d) -> the class scores (n, classes) of `featx.estimators.class_scores`.

The scores may differ from those by a number that is the same for all classes of a row, which no softmax sees.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.deploy.graph.nodes import Nodes
from featx.deploy.graph.steps import STEPS, AddStep, map_by_kernel, rbf_kernel
from featx.errors import HeadError
from featx.estimators import LEAST_LOG_PROBABILITY, NO_CHANCE, UNIFORM_VOTE


def add_scores(nodes: Nodes, pipeline: Any, rows: str) -> str:
    """Add the nodes of a fitted pipeline; returns the name of its class scores (n, classes).

    Raises HeadError for a step or a classifier that has no nodes.
    """
    for _, step in pipeline.steps[:-1]:
        rows = _of_type(step, STEPS)(nodes, step, rows)
    return add_classifier(nodes, pipeline.steps[-1][1], rows)


def add_classifier(nodes: Nodes, classifier: Any, rows: str) -> str:
    """Add the nodes of a fitted classifier; returns the name of its class scores (n, classes). Raises HeadError."""
    return _of_type(classifier, CLASSIFIERS)(nodes, classifier, rows)


def _of_type(part: Any, known: Mapping[str, AddStep]) -> AddStep:
    kind = type(part).__name__
    if kind not in known:
        raise HeadError(f"a head with a {kind} cannot be deployed: featx has no ONNX nodes for it; use featx predict")
    return known[kind]


def _both_sides(weights: NDArray[Any], constants: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Coefficients (K, d) and intercepts (K,) of all classes; a single margin of two classes becomes its halves."""
    if len(constants) > 1:
        return weights, constants
    weights, constants = weights.astype(np.float64), constants.astype(np.float64)
    return np.vstack([-weights / 2, weights / 2]), np.concatenate([-constants / 2, constants / 2])


def _spread(nodes: Nodes, classifier: Any, scores: str, *, missing: float = NO_CHANCE) -> str:
    """The scores of all classes: those that were not in training get `missing`."""
    seen, count = np.asarray(classifier.seen_), len(classifier.classes_)
    if len(seen) == count:
        return scores
    first = nodes.columns(scores, 0, 1)
    unseen = nodes.add("Add", nodes.add("Mul", first, nodes.numbers(0.0)), nodes.numbers(missing))
    return _beside(nodes, classifier, scores, unseen)


def _beside(nodes: Nodes, classifier: Any, scores: str, unseen: str) -> str:
    """The scores of all classes: those that were not in training get the column `unseen` (n, 1)."""
    seen, count = np.asarray(classifier.seen_), len(classifier.classes_)
    places = np.full(count, len(seen), np.int64)
    places[seen] = np.arange(len(seen))
    return nodes.add("Gather", nodes.joined([scores, unseen]), nodes.integers(*places.tolist()), axis=1)


def _linear(nodes: Nodes, classifier: Any, rows: str) -> str:
    weights, constants = _both_sides(classifier.coef_, classifier.intercept_)
    return nodes.linear(rows, weights.T, constants)


def _linear_svm(nodes: Nodes, classifier: Any, rows: str) -> str:
    return _spread(nodes, classifier, _linear(nodes, classifier, rows))


def _kernel_svm(nodes: Nodes, classifier: Any, rows: str) -> str:
    if classifier.approximate_:
        mapped = map_by_kernel(nodes, classifier.map_, rows)
        return _spread(nodes, classifier, _linear(nodes, classifier.linear_, mapped))
    kernel = rbf_kernel(nodes, rows, classifier.support_vectors_, gamma=classifier.gamma_)
    weights, constants = _both_sides(classifier.dual_coef_.T, classifier.intercept_)
    margins = nodes.add("MatMul", kernel, nodes.store(weights.T.astype(np.float64)))
    shifted = nodes.add("Add", margins, nodes.store(constants.astype(np.float64)))
    return _spread(nodes, classifier, nodes.narrow(shifted))


def _class_means(nodes: Nodes, classifier: Any, rows: str) -> str:
    means = classifier.means_
    if classifier.metric == "cosine":
        cosines = nodes.add("MatMul", nodes.to_unit_length(rows), nodes.numbers(means.T))
        return _spread(nodes, classifier, cosines)
    middle = means.mean(axis=0)
    centred = nodes.add("Sub", nodes.wide(rows), nodes.wide(nodes.numbers(middle, what="a mean")))
    around = (means - middle).astype(np.float64)
    # the squared length of a row is the same for all classes
    product = nodes.add("MatMul", centred, nodes.store(2 * around.T))
    scores = nodes.add("Add", product, nodes.store(-np.square(around).sum(axis=1)))
    if len(classifier.seen_) == len(classifier.classes_):
        return nodes.narrow(scores)
    squares = nodes.over_columns("ReduceSum", nodes.add("Mul", centred, centred))
    if not hasattr(classifier, "exact_"):
        return _spread(nodes, classifier, nodes.narrow(nodes.add("Sub", scores, squares)))
    lowest = nodes.over_columns("ReduceMin", scores)
    # all scores are moved so that the lowest becomes 0, which loses less to rounding in float32
    true = nodes.add("Sub", lowest, squares)
    missing = nodes.add("Min", nodes.add("Add", true, true), nodes.store(np.array(NO_CHANCE)))
    unseen = nodes.add("Sub", missing, true)
    return _beside(nodes, classifier, nodes.narrow(nodes.add("Sub", scores, lowest)), nodes.narrow(unseen))


def _votes(nodes: Nodes, voter: Any, rows: str) -> str:
    """The sums (n, K) of the votes of the nearest stored rows."""
    count = min(voter.n_neighbors, len(voter.rows_))
    similar = nodes.add("MatMul", nodes.to_unit_length(rows), nodes.numbers(voter.rows_.T))
    nearest = nodes.add_pair("TopK", similar, nodes.integers(count), axis=1, largest=1, sorted=1)
    similarities, indices = nearest
    apart = nodes.add("Sub", similarities, nodes.columns(similarities, 0, 1))
    strengths = nodes.add("Exp", nodes.add("Div", apart, nodes.numbers(voter.temperature)))
    votes = nodes.add("Gather", nodes.numbers(voter.votes_, what="a vote"), indices, axis=0)
    weighed = nodes.add("MatMul", nodes.add("Unsqueeze", strengths, nodes.integers(1)), votes)
    return nodes.add("Squeeze", weighed, nodes.integers(1))


def _neighbors(nodes: Nodes, voter: Any, rows: str) -> str:
    votes = _votes(nodes, voter, rows)
    shares = nodes.add("Div", votes, nodes.over_columns("ReduceSum", votes))
    kept = nodes.add("Mul", shares, nodes.numbers(1 - UNIFORM_VOTE))
    probabilities = nodes.add("Add", kept, nodes.numbers(UNIFORM_VOTE / voter.votes_.shape[1]))
    return _spread(nodes, voter, nodes.add("Log", probabilities))


def _multilabel_neighbors(nodes: Nodes, voter: Any, rows: str) -> str:
    votes = _votes(nodes, voter, rows)
    classes = voter.votes_.shape[1] - 1
    share = nodes.add("Div", nodes.columns(votes, 0, classes), nodes.columns(votes, classes, classes + 1))
    kept = nodes.add("Mul", share, nodes.numbers(1 - UNIFORM_VOTE))
    yes = nodes.add("Add", kept, nodes.numbers(UNIFORM_VOTE / 2))
    no = nodes.add("Sub", nodes.numbers(1.0), yes)
    logits = nodes.add("Sub", nodes.add("Log", yes), nodes.add("Log", no))
    return _with_constants(nodes, voter, logits)


def _with_constants(nodes: Nodes, classifier: Any, logits: str) -> str:
    """The logits, with those of classes that all training images had, or none."""
    constants = np.asarray(classifier.constants_, np.float64)
    fixed = np.isfinite(constants)
    if not fixed.any():
        return logits
    learnt = nodes.add("Mul", logits, nodes.numbers(~fixed))
    return nodes.add("Add", learnt, nodes.numbers(np.where(fixed, constants, 0)))


def _one_vs_rest(nodes: Nodes, classifier: Any, rows: str) -> str:
    """The logit of each class; linear classifiers share one product."""
    estimators = classifier.estimators_
    learnt = [one for one in estimators if one is not None]
    if learnt and all(hasattr(one, "coef_") for one in learnt):
        zero = np.zeros_like(learnt[0].coef_)
        weights = np.vstack([zero if one is None else one.coef_ for one in estimators])
        constants = np.array([0.0 if one is None else one.intercept_[0] for one in estimators])
        return _with_constants(nodes, classifier, nodes.linear(rows, weights.T, constants))
    zero = nodes.add("Mul", nodes.columns(rows, 0, 1), nodes.numbers(0.0))
    columns = [zero if one is None else _logit(nodes, one, rows) for one in estimators]
    return _with_constants(nodes, classifier, nodes.joined(columns))


def _logit(nodes: Nodes, classifier: Any, rows: str) -> str:
    """The score of the second of two classes minus that of the first, as a column."""
    scores = add_classifier(nodes, classifier, rows)
    return nodes.add("Sub", nodes.columns(scores, 1, 2), nodes.columns(scores, 0, 1))


def _network(nodes: Nodes, classifier: Any, rows: str) -> str:
    *hidden, (weights, constants) = zip(classifier.coefs_, classifier.intercepts_, strict=True)
    for inner, shifts in hidden:
        rows = nodes.add("Relu", nodes.linear(rows, inner, shifts))
    last, shifts = _both_sides(weights.T, constants)
    return _spread(nodes, classifier, nodes.linear(rows, last.T, shifts))


def _stacked(nodes: Nodes, classifier: Any, rows: str) -> str:
    predictions = []
    for (start, stop), pipeline in zip(classifier.blocks_, classifier.estimators_, strict=True):
        block = rows if len(classifier.blocks_) == 1 else nodes.columns(rows, start, stop)
        logs = nodes.add("LogSoftmax", add_scores(nodes, pipeline, block), axis=1)
        predictions.append(nodes.add("Max", logs, nodes.numbers(LEAST_LOG_PROBABILITY)))
    if classifier.judge_ is None:
        mean = nodes.add("Mean", *predictions)
        return _spread(nodes, classifier, mean)
    return _spread(nodes, classifier, add_classifier(nodes, classifier.judge_, nodes.joined(predictions)))


def _prior_shift(nodes: Nodes, classifier: Any, rows: str) -> str:
    scores = add_classifier(nodes, classifier.classifier, rows)
    return nodes.add("Add", scores, nodes.numbers(classifier.log_ratio, what="a ratio of class shares"))


def _boosted(nodes: Nodes, classifier: Any, rows: str) -> str:
    places = nodes.integers(*range(len(classifier.seen_)))
    parts = []
    for fitted, vote in zip(classifier.estimators_, classifier.votes_ / classifier.votes_.sum(), strict=True):
        best = nodes.add("ArgMax", add_classifier(nodes, fitted, rows), axis=1, keepdims=1)
        chosen = nodes.narrow(nodes.add("Equal", best, places))
        parts.append(nodes.add("Mul", chosen, nodes.numbers(vote)))
    return _spread(nodes, classifier, nodes.add("Sum", *parts))


CLASSIFIERS: Mapping[str, AddStep] = {
    "CosineNeighbors": _neighbors,
    "KernelSVM": _kernel_svm,
    "LinearSVM": _linear_svm,
    "LooRidgeClassifier": _linear,
    "MLP": _network,
    "MultilabelNeighbors": _multilabel_neighbors,
    "NearestClassMean": _class_means,
    "OneVsRest": _one_vs_rest,
    "PriorShift": _prior_shift,
    "SoftmaxRegression": _linear,
    "StackedBlocks": _stacked,
    "TrAdaBoost": _boosted,
}
"""Name of the type of a classifier -> what adds its nodes."""
