"""Heads by name: how the pipeline of each is built, and which parameters tuning tries."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from featx.errors import HeadError, did_you_mean
from featx.estimators import (
    EXACT_ROWS,
    MLP,
    PENALTIES,
    CosineNeighbors,
    FeatureScaler,
    Grid,
    How,
    KernelSVM,
    LinearSVM,
    LooRidgeClassifier,
    MultilabelNeighbors,
    NearestClassMean,
    OneVsRest,
    SoftmaxRegression,
    StackedBlocks,
)
from featx.heads.fusions import Blocks, find_fusion

L2_GRID = PENALTIES[::-1]
"""Penalties on the sum of losses, strong to weak."""
C_GRID = tuple(float(value) for value in np.logspace(-5, 0, 6))
"""Values of C of the linear SVM."""
KERNEL_GRID: Grid = {"approximate": (False, True), "C": (1.0, 3.0, 10.0, 30.0), "gamma": (0.1, 0.3, 1.0, 3.0)}
AS_WEAK: Mapping[str, Callable[[float, float], bool]] = {"C": operator.ge, "l2": operator.le}
"""For each parameter that grids are extended over, whether a value regularises as weakly as another one, or weaker."""
SCALING = "scaler__how"
"""The parameter of a pipeline that says how it scales features."""
SCALINGS: Sequence[How] = ("none", "standardise", "l2")


@dataclass(frozen=True)
class HeadRecipe:
    """How a head is built and tuned."""

    classifier: Callable[[int], BaseEstimator]
    """Seed -> unfitted classifier."""
    grid: Grid
    """Values of the classifier's parameters to try."""
    scalings: Sequence[How] = ("standardise",)
    """Ways to scale the features to try, unless the fusion scales them."""
    open_ended: str = ""
    """The parameter whose grid is extended, at the same ratio, if the best value is at its end."""
    fusion: str = ""
    """The fusion that is part of this head; empty if any fusion can be chosen."""
    for_multilabel: Callable[[BaseEstimator], BaseEstimator] = OneVsRest
    """The classifier -> one for multi-label images."""


def _softmax(seed: int) -> BaseEstimator:
    return SoftmaxRegression()


def _kernel_svm(seed: int) -> BaseEstimator:
    return KernelSVM(seed=seed)


HEADS: Mapping[str, HeadRecipe] = {
    "logreg": HeadRecipe(_softmax, {"l2": L2_GRID}, SCALINGS, open_ended="l2"),
    "linear-svm": HeadRecipe(lambda seed: LinearSVM(), {"C": C_GRID}, open_ended="C"),
    "rbf-svm": HeadRecipe(_kernel_svm, KERNEL_GRID, open_ended="C"),
    "ridge": HeadRecipe(lambda seed: LooRidgeClassifier(), {"l2": L2_GRID}, SCALINGS, open_ended="l2"),
    "knn": HeadRecipe(
        lambda seed: CosineNeighbors(),
        {"n_neighbors": (1, 5, 10, 20, 100, 200), "temperature": (0.03, 0.07, 0.2)},
        ("none", "standardise"),
        for_multilabel=lambda classifier: MultilabelNeighbors(),
    ),
    "class-mean": HeadRecipe(lambda seed: NearestClassMean(), {"metric": ("euclidean", "cosine")}, SCALINGS),
    "mlp": HeadRecipe(lambda seed: MLP(seed=seed), {"alpha": (1e-4, 1e-1)}),
    "pca-logreg": HeadRecipe(_softmax, {"l2": L2_GRID}, open_ended="l2", fusion="joint-pca"),
    "pca-svm": HeadRecipe(_kernel_svm, KERNEL_GRID, open_ended="C", fusion="joint-pca"),
}


def classifiers_of(name: str) -> frozenset[str]:
    """Names of the types that the classifier of this head has, with whatever labels and fusion. Raises HeadError."""
    recipe = find_recipe(name)
    alone = recipe.classifier(0)
    each = [alone, recipe.for_multilabel(alone), *([] if recipe.fusion else [StackedBlocks()])]
    return frozenset(type(classifier).__name__ for classifier in each)


@dataclass(frozen=True)
class HeadPlan:
    """An unfitted pipeline, and all values of its parameters that tuning tries."""

    pipeline: Pipeline
    """The steps of the fusion, then `scaler` and `classifier`."""
    before: Grid
    """Parameters of the steps before the classifier, by their names in the pipeline."""
    classifier: Grid
    """Parameters of the classifier, by its own names."""
    open_ended: str
    """The parameter of the classifier whose grid may be extended, or empty."""


def find_recipe(name: str) -> HeadRecipe:
    """The recipe of this head. Raises HeadError for an unknown name."""
    if name not in HEADS:
        raise HeadError(f"no head is called {name!r}{did_you_mean(name, HEADS)}; choose from {', '.join(HEADS)}")
    return HEADS[name]


def plan_head(
    name: str,
    *,
    fusion: str = "",
    blocks: Blocks = (),
    rows: int | None = None,
    most: int | None = None,
    views: int = 1,
    multilabel: bool = False,
    seed: int = 0,
) -> HeadPlan:
    """The head of this name as an unfitted pipeline, and what tuning tries. Raises HeadError for an unknown name.

    `blocks` lists the number of columns of each block, which is the columns of one output of one backbone; `fusion`
    says how blocks are joined. `rows` is the number of rows in the smallest fit: no more neighbours are tried. `most`
    is the number in the largest fit: above EXACT_ROWS, kernels are approximate in all fits, so that tuning tries what
    is kept. `views` is the number of rows of each image, by which numbers of neighbours are multiplied.
    """
    recipe = find_recipe(name)
    if fusion and recipe.fusion and fusion != recipe.fusion:
        raise HeadError(f"head {name!r} has its own fusion, {recipe.fusion}, so it cannot use {fusion}; leave one out")
    joining = find_fusion(fusion or recipe.fusion or "concat")
    classifier = recipe.classifier(seed)
    if multilabel:
        classifier = recipe.for_multilabel(classifier)
    scalings: Sequence[How] = ("overall",) if joining.scales else recipe.scalings
    steps = [*joining.steps(blocks, seed), ("scaler", FeatureScaler(scalings[0])), ("classifier", classifier)]
    return HeadPlan(
        Pipeline(steps),
        {**joining.grid(blocks), SCALING: tuple(scalings)},
        {name: _values_to_try(name, values, rows, most, views=views) for name, values in recipe.grid.items()},
        recipe.open_ended,
    )


def _values_to_try(
    parameter: str, values: Sequence[Any], rows: int | None, most: int | None, *, views: int
) -> Sequence[Any]:
    """The values of a parameter to try with these numbers of rows in the smallest and the largest fit."""
    if parameter == "approximate":
        return [most is not None and most > EXACT_ROWS]
    if parameter == "n_neighbors" and rows is not None:
        return sorted({min(value * views, rows) for value in values})
    return values


def build_head(name: str, *, fusion: str = "", blocks: Blocks = (), seed: int = 0) -> Pipeline:
    """The unfitted scikit-learn pipeline of this head; its last step is called `classifier`.

    `blocks` lists the number of columns of each block, which is the columns of one output of one backbone; `fusion`
    says how blocks are joined. Raises HeadError for an unknown name.

    >>> import featx
    >>> list(featx.build_head("pca-logreg").named_steps)
    ['standardise', 'fusion', 'scaler', 'classifier']
    """
    return plan_head(name, fusion=fusion, blocks=blocks, seed=seed).pipeline
