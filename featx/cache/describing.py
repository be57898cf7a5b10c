"""What is in a feature file and how it was made, summed up."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from featx.cache.file import DONE, PENDING, Cache
from featx.cache.opening import open_cache
from featx.errors import failure_text

MADE = ("format_version", "backbone", "image_set", "provider", "device", "precision", "batch_size", "started", "sealed")
"""The attributes that say how a cache was made."""


@dataclass(frozen=True)
class CacheInfo:
    """What is in a cache and how it was made."""

    cache: str
    rows: int
    done: int
    failed: int
    pending: int
    sealed: bool
    outputs: dict[str, int]
    """Name and dimension of every output."""
    classes: dict[str, int]
    """Images of every class."""
    failures: dict[str, int]
    """Images for every reason."""
    card: dict[str, Any]
    provenance: dict[str, Any]


def describe_cache(path: Path | str) -> CacheInfo:
    """What is in the cache, complete or partial. Raises CacheError where it cannot be opened."""
    cache = open_cache(Path(path))
    status, labels = cache.status, cache.get("images/label")
    codes, counts = np.unique(status[status > DONE], return_counts=True)
    return CacheInfo(
        cache=str(path),
        rows=len(status),
        done=int(np.sum(status == DONE)),
        failed=int(np.sum(status > DONE)),
        pending=int(np.sum(status == PENDING)),
        sealed=cache.sealed,
        outputs=dict(cache.outputs),
        classes={name: int(np.sum(labels == index)) for index, name in enumerate(cache.classes)},
        failures={failure_text(int(code)): int(count) for code, count in zip(codes, counts, strict=True)},
        card=cache.card,
        provenance=describe_provenance(cache),
    )


def describe_provenance(cache: Cache) -> dict[str, Any]:
    """How the cache was made, as plain values."""
    return {key: cache.attributes.get(key) for key in MADE} | {"versions": cache.versions}
