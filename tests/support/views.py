"""Feature tables with several views of each image, made of numbers."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable, Part

VIEWS = ("center", "hflip", "vflip")


def with_views(table: FeatureTable, features: NDArray[np.floating], names: Sequence[str] = VIEWS) -> FeatureTable:
    """The table with these features (n, views, d), of which it reads view 0."""
    return replace(table, parts=(Part(features.astype(np.float32), known_views=tuple(names)),))


def noisy_views(table: FeatureTable, *, noise: float, seed: int = 0) -> FeatureTable:
    """The table with three views that each show the image with noise of their own: their mean has less."""
    rng = np.random.default_rng(seed)
    features = table.features[:, None] + noise * rng.normal(size=(len(table), len(VIEWS), table.dim))
    return with_views(table, features)


def mirrored_views(table: FeatureTable) -> FeatureTable:
    """The table with a second view that has the features of the opposite: their mean says nothing of the class."""
    return with_views(table, np.stack([table.features, -table.features], axis=1), ("center", "hflip"))
