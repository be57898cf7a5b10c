"""Feature tables made of numbers, for the tests of everything behind the cache."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from featx.cache import (
    FeatureTable,
    Part,
    Source,
)


def make_source(name: str = "made-up", dim: int = 6, start: int = 0) -> Source:
    """Where the columns of a made-up table come from."""
    return Source(
        name[0] * 64, "CPUExecutionProvider", {"name": name, "dim": dim, "feature": "pooled"}, start, start + dim
    )


def make_table(
    counts: tuple[int, ...] = (40, 40), *, dim: int = 6, apart: float = 1.5, seed: int = 0, name: str = "made-up"
) -> FeatureTable:
    """Gaussian classes whose means lie `apart` standard deviations from each other."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    means = rng.normal(size=(len(counts), dim))
    means *= apart / np.linalg.norm(means, axis=1, keepdims=True)
    features = (means[labels] + rng.normal(size=(len(labels), dim))).astype(np.float32)
    names = np.array([f"image{row:05}.png".encode() for row in range(len(labels))])
    classes = tuple(f"class{index}" for index in range(len(counts)))
    return FeatureTable(
        (Part(features),),
        names,
        classes,
        labels,
        None,
        None,
        None,
        (make_source(name, dim),),
        np.arange(len(labels)),
        {},
        f"{name}{seed}",
    )


def with_columns(
    table: FeatureTable,
    *,
    groups: NDArray[np.int64] | None = None,
    splits: NDArray[np.bytes_] | None = None,
    domains: NDArray[np.int64] | None = None,
) -> FeatureTable:
    """The table with groups, splits or domains."""
    names = None if groups is None else np.array([str(group).encode() for group in groups])
    places = None if domains is None else np.array([f"domain{domain}".encode() for domain in domains])
    return replace(table, groups=names, splits=splits, domains=places)
