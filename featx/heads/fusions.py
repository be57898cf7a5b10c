"""Fusions by name: how the blocks of a table are joined before the classifier, also by selecting columns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np
from sklearn.base import BaseEstimator

from featx.errors import HeadError, did_you_mean
from featx.estimators import (
    BlockPCA,
    BlockScaler,
    By,
    ColumnSelector,
    FeatureScaler,
    Grid,
    KernelMap,
)

Blocks: TypeAlias = tuple[int, ...]
"""The number of columns of each block, which is the columns of one output of one backbone."""
Steps: TypeAlias = list[tuple[str, BaseEstimator]]

VARIANCES = (0.8, 0.9, 0.95)
"""Shares of the variance that PCA keeps."""
COLUMN_SHARES = (0.05, 0.1, 0.25, 0.5)
"""Shares of the columns that a selection keeps."""
BLOCK_WEIGHTS = (0.0, 0.25, 0.5, 1.0)
FEW_BLOCKS = 3
"""Up to this many blocks, all combinations of BLOCK_WEIGHTS are tried; with more, each block is doubled or dropped."""


@dataclass(frozen=True)
class FusionRecipe:
    """How blocks are joined, and what is tuned."""

    steps: Callable[[Blocks, int], Steps]
    """Blocks, seed -> steps of a pipeline."""
    grid: Callable[[Blocks], Grid] = lambda blocks: {}
    """Blocks -> values of the pipeline's parameters to try."""
    scales: bool = True
    """Whether the result is scaled, so that the head tries no scalings."""
    least_shots: int = 1
    """Fewest training images per class with which the fusion is defined."""
    needs_folds: bool = False
    """Whether its parameters change the head so much that one validation part of any size often misleads."""


def _weights(blocks: Blocks) -> list[tuple[float, ...]]:
    """Weights of the blocks to try."""
    count = max(1, len(blocks))
    if count <= FEW_BLOCKS:
        return [weights for weights in product(BLOCK_WEIGHTS, repeat=count) if max(weights) == 1]
    raised = [np.where(np.arange(count) == block, weight, 1.0) for block in range(count) for weight in (0.0, 2.0)]
    return [(1.0,) * count, *(tuple(map(float, weights)) for weights in raised)]


def _components(blocks: Blocks) -> Grid:
    return {"fusion__variance": VARIANCES, "fusion__whiten": (False, True)}


def _selector(by: By) -> FusionRecipe:
    return FusionRecipe(
        lambda blocks, seed: [("standardise", FeatureScaler()), ("fusion", ColumnSelector(by))],
        lambda blocks: {"fusion__share": COLUMN_SHARES},
        least_shots=2,
    )


FUSIONS: Mapping[str, FusionRecipe] = {
    "concat": FusionRecipe(lambda blocks, seed: [], scales=False),
    "standardised": FusionRecipe(lambda blocks, seed: [("fusion", BlockScaler(blocks or None))]),
    "weighted": FusionRecipe(
        lambda blocks, seed: [("fusion", BlockScaler(blocks or None))],
        lambda blocks: {"fusion__weights": _weights(blocks)},
    ),
    "pca": FusionRecipe(
        lambda blocks, seed: [("fusion", BlockPCA(blocks or None))],
        _components,
        needs_folds=True,
    ),
    "joint-pca": FusionRecipe(
        lambda blocks, seed: [("standardise", BlockScaler(blocks or None)), ("fusion", BlockPCA())],
        _components,
        needs_folds=True,
    ),
    "kernel": FusionRecipe(
        lambda blocks, seed: [("fusion", BlockScaler(blocks or None)), ("kernel", KernelMap(seed=seed))],
        lambda blocks: {"kernel__gamma": (0.1, 0.3, 1.0)},
    ),
    "anova": _selector("anova"),
    "mutual-info": _selector("mutual-info"),
    "l1": _selector("l1"),
}


def find_fusion(name: str) -> FusionRecipe:
    """The recipe of this fusion. Raises HeadError for an unknown name."""
    if name not in FUSIONS:
        raise HeadError(f"no fusion is called {name!r}{did_you_mean(name, FUSIONS)}; choose from {', '.join(FUSIONS)}")
    return FUSIONS[name]
