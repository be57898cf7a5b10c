"""Checks that the parts of a loaded pipeline fit each other: a step reads as many columns as the one before it gives.

scikit-learn checks what is fitted, not what is loaded: an array of another shape would be broadcast, or read beyond its
end. Types are recognised by their names.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias, get_args

import numpy as np

from featx.errors import HeadError
from featx.estimators import How, class_scores
from featx.heads.file.attributes import Fitted

Check: TypeAlias = Callable[[Any, int], int]
"""A step and the number of columns that it reads -> the number that it gives; of a classifier, that of its classes."""
SEEN = ("n_features_in_", "classes_", "seen_")
EXACT = "exact_"
"""Whether products are in float64; parts of 0.1.0 lack it."""


def check_fitted(pipeline: Any, *, columns: int, classes: int, classifiers: Collection[str]) -> None:
    """Raise HeadError unless this is a fitted pipeline with these numbers of columns and classes.

    Its classifier, and those inside that, are of these types.
    """
    found = _check_pipeline(pipeline, columns)
    if unknown := _classifiers_in(pipeline) - set(classifiers):
        raise HeadError(f"has a {min(unknown)}, which this kind of head does not have; do not use this file")
    if found != classes:
        raise HeadError(f"names {classes} classes, but its pipeline has {found}; train it again")
    with np.errstate(all="ignore"):
        scores = class_scores(pipeline, np.zeros((1, columns), np.float32))
    if scores.shape != (1, classes) or not np.isfinite(scores).all():
        raise HeadError("gives no scores for an image without features; do not use this file")


def _check_pipeline(pipeline: Any, columns: int) -> int:
    """The number of classes of a pipeline that reads this number of columns."""
    if type(pipeline).__name__ != "Pipeline":
        raise HeadError(f"has a {type(pipeline).__name__} where it needs a pipeline; do not use this file")
    settings = Fitted(pipeline, ())
    for name in ("transform_input", "memory"):
        settings.one_of(name, (None,))
    settings.one_of("verbose", (False,))
    steps = settings.get("steps", list)
    if not steps or any(not isinstance(step, tuple) or list(map(type, step))[:1] != [str] for step in steps):
        raise settings.wrong("steps without names")
    for _, step in steps[:-1]:
        columns = _of_type(step, STEPS)(step, columns)
    name, classifier = steps[-1]
    if name != "classifier":
        raise settings.wrong(f"the last step {name[:40]!r} where it needs the classifier")
    return _of_type(classifier, CLASSIFIERS)(classifier, columns)


def _of_type(part: Any, checks: Mapping[str, Check]) -> Check:
    kind = type(part).__name__
    if kind not in checks:
        raise HeadError(f"its pipeline has a {kind} in a wrong place; do not use this file")
    return checks[kind]


def _classifiers_in(part: Any) -> set[str]:
    """Names of the types of a fitted classifier or pipeline, and of those that it chooses between."""
    kind = type(part).__name__
    if kind == "Pipeline":
        return _classifiers_in(part.steps[-1][1])
    if kind == "PriorShift":
        return _classifiers_in(part.classifier)
    inner = part.estimators_ if kind in ("StackedBlocks", "OneVsRest", "TrAdaBoost") else ()
    found = set[str]().union(*(_classifiers_in(one) for one in inner if one is not None))
    return found if kind == "TrAdaBoost" else {kind} | found


def _check_exact(part: Fitted) -> None:
    if hasattr(part.part, EXACT):
        part.one_of(EXACT, (True,))


def _check_scaler(step: Any, columns: int) -> int:
    centred = getattr(step, "how", None) in ("standardise", "overall")
    measured = ("mean_", "factor_") if centred or hasattr(step, "mean_") else ()  # older ones lack them
    scaler = Fitted(step, ("n_features_in_", *measured))
    scaler.reads(columns)
    scaler.one_of("how", get_args(How))
    scaler.get("copy", bool)
    for name in measured:
        scaler.array(name, columns)
    return columns


def _check_standardiser(step: Any, columns: int) -> int:
    adapter = Fitted(step, ("n_features_in_", "source_mean_", "target_mean_", "factor_"))
    adapter.reads(columns)
    adapter.get("shrinkage", int | float)
    adapter.get("target_shares", dict | None)
    for name in ("source_mean_", "target_mean_", "factor_"):
        adapter.array(name, columns)
    return columns


def _check_mapping(step: Any, columns: int) -> int:
    adapter = Fitted(step, ("n_features_in_", "source_mean_", "target_mean_", "map_"))
    adapter.reads(columns)
    for name in ("source_mean_", "target_mean_"):
        adapter.array(name, columns)
    adapter.array("map_", columns, columns)
    return columns


def _check_block_scaler(step: Any, columns: int) -> int:
    scaler = Fitted(step, ("n_features_in_", "mean_", "factor_"))
    scaler.reads(columns)
    scaler.array("mean_", columns)
    scaler.array("factor_", columns)
    return columns


def _check_pca(step: Any, columns: int) -> int:
    pca = Fitted(step, ("n_features_in_", "mean_", "blocks_", "components_", "_n_features_out", EXACT))
    _check_exact(pca)
    pca.reads(columns)
    pca.array("mean_", columns)
    components = pca.get("components_", list)
    widths = _block_widths(pca, columns)
    if len(components) != len(widths):
        raise pca.wrong(f"{len(components)} components_ for {len(widths)} blocks")
    found = sum(
        int(pca.check_array("components_", loadings, (width, None)).shape[1])
        for loadings, width in zip(components, widths, strict=True)
    )
    if found < 1 or pca.get("_n_features_out", int) != found:
        raise pca.wrong(f"{found} components where it names {pca.part._n_features_out}")
    return found


def _block_widths(part: Fitted, columns: int) -> list[int]:
    """The number of columns of each block; the blocks follow each other up to the last column."""
    blocks = part.get("blocks_", list)
    end = 0
    for block in blocks:
        if not isinstance(block, list) or list(map(type, block)) != [int, int] or not end == block[0] < block[1]:
            raise part.wrong(f"blocks_ {str(blocks)[:80]}")
        end = block[1]
    if end != columns:
        raise part.wrong(f"blocks_ of {end} columns where it is given {columns}")
    return [stop - start for start, stop in blocks]


def _check_selector(step: Any, columns: int) -> int:
    selector = Fitted(step, ("n_features_in_", "scores_"))
    selector.reads(columns)
    scores = selector.check_array("scores_", selector.get("scores_", np.ndarray), (columns,), finite=False)
    if np.isnan(scores).any() or selector.above("share", 0) > 1:
        raise selector.wrong("scores_ or a share that it cannot have")
    return int(step.get_support().sum())


def _check_map(step: Any, columns: int) -> int:
    mapping = Fitted(step, ("n_features_in_", "map_", "_n_features_out", EXACT))
    _check_exact(mapping)
    mapping.reads(columns)
    nystroem = Fitted(
        mapping.get("map_", object),
        ("n_features_in_", "components_", "normalization_", "component_indices_", "_n_features_out"),
    )
    if nystroem.kind != "Nystroem":
        raise mapping.wrong(f"a {nystroem.kind} as map_")
    nystroem.one_of("kernel", ("rbf",))
    for name in ("coef0", "degree", "kernel_params", "n_jobs"):
        nystroem.one_of(name, (None,))
    nystroem.reads(columns)
    nystroem.above("gamma", 0)
    rows = len(nystroem.array("components_", None, columns))
    nystroem.array("normalization_", rows, rows)
    nystroem.array("component_indices_", rows, kinds="iu")
    if rows < 1 or not rows == mapping.get("_n_features_out", int) == nystroem.get("_n_features_out", int):
        raise mapping.wrong(f"{rows} components where it names another number")
    return rows


def _check_linear(classifier: Any, columns: int) -> int:
    """Linear classifiers that have coefficients of all classes."""
    linear = Fitted(
        classifier,
        ("n_features_in_", "classes_", "coef_", "intercept_", "n_iter_", "gradient_norm_", "l2_", "loo_scores_"),
    )
    linear.reads(columns)
    classes = linear.classes()
    linear.array("coef_", _sides(classes), columns)
    linear.array("intercept_", _sides(classes))
    return classes


def _check_linear_svm(classifier: Any, columns: int) -> int:
    linear = Fitted(classifier, (*SEEN, "coef_", "intercept_", "n_iter_"))
    linear.reads(columns)
    classes = linear.classes()
    sides = _sides(linear.seen(classes))
    linear.array("coef_", sides, columns)
    linear.array("intercept_", sides)
    return classes


def _sides(classes: int) -> int:
    """The number of scores that tell these classes apart."""
    return 1 if classes == 2 else classes


def _check_kernel_svm(classifier: Any, columns: int) -> int:
    approximate = getattr(classifier, "approximate_", None) is True
    exact = ("gamma_", "support_vectors_", "dual_coef_", "intercept_")
    machine = Fitted(classifier, (*SEEN, "approximate_", *(("map_", "linear_") if approximate else exact)))
    machine.reads(columns)
    machine.get("approximate_", bool)
    classes = machine.classes()
    seen = machine.seen(classes)
    if approximate:
        _check_machine_of_map(machine, columns, seen)
        return classes
    machine.above("gamma_", 0)
    vectors = len(machine.array("support_vectors_", None, columns))
    machine.array("dual_coef_", vectors, _sides(seen))
    machine.array("intercept_", _sides(seen))
    if not vectors:
        raise machine.wrong("no support vectors")
    return classes


def _check_machine_of_map(machine: Fitted, columns: int, seen: int) -> None:
    mapping = machine.get("map_", object)
    mapped = _of_type(mapping, {"KernelMap": _check_map})(mapping, columns)
    linear = Fitted(machine.get("linear_", object), ("coef_", "intercept_", "n_iter_"))
    if linear.kind != "LinearSVM":
        raise machine.wrong(f"a {linear.kind} as linear_")
    linear.array("coef_", _sides(seen), mapped)
    linear.array("intercept_", _sides(seen))


def _check_means(classifier: Any, columns: int) -> int:
    means = Fitted(classifier, (*SEEN, "means_", EXACT))
    _check_exact(means)
    means.reads(columns)
    means.one_of("metric", ("euclidean", "cosine"))
    classes = means.classes()
    means.array("means_", means.seen(classes), columns)
    return classes


def _check_neighbors(classifier: Any, columns: int) -> int:
    voter = Fitted(classifier, (*SEEN, "rows_", "votes_"))
    classes = voter.classes()
    _check_votes(voter, columns, voter.seen(classes))
    return classes


def _check_multilabel_neighbors(classifier: Any, columns: int) -> int:
    voter = Fitted(classifier, ("n_features_in_", "classes_", "multilabel_", "constants_", "rows_", "votes_"))
    classes = _check_indicator(voter)
    _check_votes(voter, columns, classes + 1)
    return classes


def _check_votes(voter: Fitted, columns: int, kinds: int) -> None:
    voter.reads(columns)
    if voter.get("n_neighbors", int) < 1:
        raise voter.wrong("no neighbours")
    voter.above("temperature", 0)
    rows = len(voter.array("rows_", None, columns))
    votes = voter.array("votes_", rows, kinds)
    if not rows or (votes < 0).any():
        raise voter.wrong("votes_ that are none")


def _check_indicator(classifier: Fitted) -> int:
    """The number of classes of a classifier for images with several labels."""
    classifier.one_of("multilabel_", (True,))
    constants = classifier.get("constants_", np.ndarray)
    classes = len(classifier.check_array("constants_", constants, (None,), finite=False))
    numbered = classifier.array("classes_", classes, kinds="iu")
    if not np.array_equal(numbered, np.arange(classes)) or np.isinf(constants).any():
        raise classifier.wrong("classes_ that are not numbered, or infinite constants_")
    return classes


def _check_one_vs_rest(classifier: Any, columns: int) -> int:
    each = Fitted(classifier, ("n_features_in_", "classes_", "multilabel_", "constants_", "estimators_"))
    each.reads(columns)
    classes = _check_indicator(each)
    estimators = each.get("estimators_", list)
    constant = [one is None for one in estimators]
    if constant != np.isfinite(classifier.constants_).tolist():
        raise each.wrong("estimators_ of other classes than constants_ leaves")
    for one in estimators:
        if one is not None and _of_type(one, CLASSIFIERS)(one, columns) != 2:
            raise each.wrong("an estimator that does not say yes or no")
    return classes


def _check_mlp(classifier: Any, columns: int) -> int:
    network = Fitted(classifier, (*SEEN, "early_stopping_", "coefs_", "intercepts_", "n_iter_"))
    network.reads(columns)
    classes = network.classes()
    coefs = network.get("coefs_", list)
    intercepts = network.get("intercepts_", list)
    if not coefs or len(coefs) != len(intercepts):
        raise network.wrong(f"{len(coefs)} layers of coefs_ and {len(intercepts)} of intercepts_")
    width = columns
    for weights, biases in zip(coefs, intercepts, strict=True):
        width = network.check_array("coefs_", weights, (width, None)).shape[1]
        network.check_array("intercepts_", biases, (width,))
    if width != _sides(network.seen(classes)):
        raise network.wrong(f"{width} outputs for {classes} classes")
    return classes


def _check_stacked(classifier: Any, columns: int) -> int:
    stacked = Fitted(classifier, (*SEEN, "blocks_", "judge_", "estimators_"))
    stacked.reads(columns)
    classes = stacked.classes()
    seen = stacked.seen(classes)
    estimators = stacked.get("estimators_", list)
    widths = _block_widths(stacked, columns)
    if len(estimators) != len(widths):
        raise stacked.wrong(f"{len(estimators)} estimators_ for {len(widths)} blocks")
    found = [_check_pipeline(one, width) for one, width in zip(estimators, widths, strict=True)]
    judge = vars(classifier).get("judge_")
    if judge is not None:
        found.append(_of_type(judge, {"SoftmaxRegression": _check_linear})(judge, seen * len(widths)))
    if set(found) != {seen}:
        raise stacked.wrong(f"{seen} classes, but its estimators have {found}")
    return classes


def _check_prior_shift(classifier: Any, columns: int) -> int:
    shift = Fitted(classifier, ())
    inner = shift.get("classifier", object)
    classes = _of_type(inner, CLASSIFIERS)(inner, columns)
    shift.array("log_ratio", classes)
    return classes


def _check_boosting(classifier: Any, columns: int) -> int:
    boosting = Fitted(classifier, (*SEEN, "estimators_", "votes_"))
    boosting.reads(columns)
    classes = boosting.classes()
    estimators = boosting.get("estimators_", list)
    votes = boosting.array("votes_", len(estimators))
    found = {_of_type(one, CLASSIFIERS)(one, columns) for one in estimators}
    if found != {boosting.seen(classes)} or not (votes > 0).all():
        raise boosting.wrong(f"{classes} classes, but its estimators have {found}, or votes that are none")
    return classes


STEPS: Mapping[str, Check] = {
    "FeatureScaler": _check_scaler,
    "BlockScaler": _check_block_scaler,
    "BlockPCA": _check_pca,
    "ColumnSelector": _check_selector,
    "CoralAdapter": _check_mapping,
    "DomainStandardiser": _check_standardiser,
    "TransportAdapter": _check_mapping,
    "KernelMap": _check_map,
}
CLASSIFIERS: Mapping[str, Check] = {
    "SoftmaxRegression": _check_linear,
    "LooRidgeClassifier": _check_linear,
    "LinearSVM": _check_linear_svm,
    "KernelSVM": _check_kernel_svm,
    "NearestClassMean": _check_means,
    "CosineNeighbors": _check_neighbors,
    "MultilabelNeighbors": _check_multilabel_neighbors,
    "OneVsRest": _check_one_vs_rest,
    "PriorShift": _check_prior_shift,
    "MLP": _check_mlp,
    "StackedBlocks": _check_stacked,
    "TrAdaBoost": _check_boosting,
}
