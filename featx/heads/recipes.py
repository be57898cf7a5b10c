"""Heads by name: how each is made, and what is tried when it is tuned."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

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
    How,
    KernelSVM,
    LinearSVM,
    LooRidgeClassifier,
    MultilabelNeighbors,
    NearestClassMean,
    OneVsRest,
    SoftmaxRegression,
)
from featx.heads.fusions import Blocks, find_fusion

Grid: TypeAlias = Mapping[str, Sequence[Any]]

L2 = PENALTIES[::-1]
"""Penalties on the sum of losses, strong to weak."""
SVM_C = tuple(float(value) for value in np.logspace(-5, 0, 6))
SCALINGS: Sequence[How] = ("none", "standardise", "l2")
COUNTED = "n_neighbors"
"""The parameter that counts rows of what is fitted."""


@dataclass(frozen=True)
class HeadRecipe:
    """How a head is made and what is tuned."""

    classifier: Callable[[int], BaseEstimator]
    """Seed -> unfitted classifier."""
    grid: Grid
    """Its parameters that are tried."""
    scalings: Sequence[How] = ("standardise",)
    """Ways to scale what it is given that are tried, where the fusion does not scale."""
    open_ended: str = ""
    """The parameter whose grid goes on, at the same ratio, where the best value lies at its end."""
    fusion: str = ""
    """The fusion that belongs to it; where none does, any is possible."""
    several: Callable[[BaseEstimator], BaseEstimator] = OneVsRest
    """The classifier -> one for images with several labels."""


def _logreg(seed: int) -> BaseEstimator:
    return SoftmaxRegression()


def _svm(seed: int) -> BaseEstimator:
    return KernelSVM(seed=seed)


RBF: Grid = {"approximate": (False, True), "C": (1.0, 3.0, 10.0, 30.0), "gamma": (0.1, 0.3, 1.0, 3.0)}

HEADS: Mapping[str, HeadRecipe] = {
    "logreg": HeadRecipe(_logreg, {"l2": L2}, SCALINGS, open_ended="l2"),
    "linear-svm": HeadRecipe(lambda seed: LinearSVM(), {"C": SVM_C}, open_ended="C"),
    "rbf-svm": HeadRecipe(_svm, RBF, open_ended="C"),
    "ridge": HeadRecipe(lambda seed: LooRidgeClassifier(), {"l2": L2}, SCALINGS, open_ended="l2"),
    "knn": HeadRecipe(
        lambda seed: CosineNeighbors(),
        {"n_neighbors": (1, 5, 10, 20, 100, 200), "temperature": (0.03, 0.07, 0.2)},
        ("none", "standardise"),
        several=lambda classifier: MultilabelNeighbors(),
    ),
    "class-mean": HeadRecipe(lambda seed: NearestClassMean(), {"metric": ("euclidean", "cosine")}, SCALINGS),
    "mlp": HeadRecipe(lambda seed: MLP(seed=seed), {"alpha": (1e-4, 1e-1)}),
    "pca-logreg": HeadRecipe(_logreg, {"l2": L2}, open_ended="l2", fusion="joint-pca"),
    "pca-svm": HeadRecipe(_svm, RBF, open_ended="C", fusion="joint-pca"),
}


@dataclass(frozen=True)
class Plan:
    """An unfitted pipeline, and every value of its parameters that tuning tries."""

    pipeline: Pipeline
    """Steps of the fusion, then `scaler`, `classifier`."""
    before: Grid
    """Of the steps before the classifier, as parameters of the pipeline."""
    classifier: Grid
    """Of the classifier, by its own names."""
    open_ended: str


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
    multilabel: bool = False,
    seed: int = 0,
) -> Plan:
    """The head of this name as an unfitted pipeline, and what tuning tries. Raises HeadError for an unknown name.

    `blocks` has the width of each block of columns, one a backbone or output; `fusion` says how they are joined. No
    more neighbours are tried than there are `rows` to fit on at least; where there are more than EXACT_ROWS at `most`,
    kernels are approximate in all fits, so that what is tuned is what is kept.
    """
    recipe = find_recipe(name)
    if fusion and recipe.fusion and fusion != recipe.fusion:
        raise HeadError(
            f"head {name!r} brings its own fusion, {recipe.fusion}, but {fusion} was asked for; leave one out"
        )
    joined = find_fusion(fusion or recipe.fusion or "concat")
    steps, before = joined.steps(blocks, seed), dict(joined.grid(blocks))
    classifier = recipe.several(recipe.classifier(seed)) if multilabel else recipe.classifier(seed)
    scalings: tuple[How, ...] = ("overall",) if joined.scales else tuple(recipe.scalings)
    pipeline = Pipeline([*steps, ("scaler", FeatureScaler(scalings[0])), ("classifier", classifier)])
    grid = {name: _possible(name, values, rows, most) for name, values in recipe.grid.items()}
    return Plan(pipeline, before | {"scaler__how": scalings}, grid, recipe.open_ended)


def _possible(name: str, values: Sequence[Any], rows: int | None, most: int | None) -> Sequence[Any]:
    """Those of the values that suit so many rows."""
    if name == "approximate":
        return [most is not None and most > EXACT_ROWS]
    if name != COUNTED or rows is None:
        return values
    return sorted({min(value, rows) for value in values})


def build_head(name: str, *, fusion: str = "", blocks: Blocks = (), seed: int = 0) -> Pipeline:
    """The unfitted pipeline of this name, its last step called `classifier`. Raises HeadError for an unknown name."""
    return plan_head(name, fusion=fusion, blocks=blocks, seed=seed).pipeline
