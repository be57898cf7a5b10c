"""Describes a cache: its images, its features, and how they were computed."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.cache.costs import Cost, cost_of
from featx.cache.file import BLOCK_ROWS, DOMAIN, DONE, PENDING, Cache, blocks
from featx.cache.opening import open_cache
from featx.cache.table import FailedImage
from featx.errors import failure_text
from featx.settings import CENTER
from featx.showing import Overview, Shown, shorten, show_counts

PROVENANCE_ATTRIBUTES = (
    "format_version",
    "backbone",
    "image_set",
    "provider",
    "device",
    "precision",
    "batch_size",
    "started",
    "sealed",
)
"""The attributes that say how the features were computed."""


@dataclass(frozen=True, repr=False)
class CacheInfo(Shown):
    """What a cache contains and how its features were computed."""

    cache: str
    rows: int
    done: int
    failed: int
    pending: int
    sealed: bool
    outputs: dict[str, int]
    """Name -> dimension of every output."""
    storage: str
    """Type in which features are stored."""
    bytes: int
    """Size of the file in bytes."""
    classes: dict[str, int]
    """Class -> number of its images."""
    splits: dict[str, int]
    """Split -> number of its images, "" for images without a split; empty if the image set has no splits."""
    groups: int | None
    """Number of groups; None if the image set has no groups."""
    domains: dict[str, int]
    """Domain -> number of its images, "" for images without a domain; empty if the image set has no domains."""
    failures: dict[str, int]
    """Reason -> number of images that failed for it."""
    failed_images: tuple[FailedImage, ...]
    """All images that failed, in the image set's order."""
    card: dict[str, Any]
    provenance: dict[str, Any]
    cost: Cost | None = None
    """What an image has cost; None if that is not known."""
    views: tuple[str, ...] = (CENTER,)
    """Names of the views of each image, the first of them that of a cache of one view."""

    def overview(self) -> Overview:
        """How complete the cache is, its features and their backbone, and the images of each class."""
        state = "complete" if self.sealed else f"{self.pending} pending"
        outputs = shorten(f"{name} {dim} x {self.storage}" for name, dim in self.outputs.items())
        views = f", {len(self.views)} views of each image" if len(self.views) > 1 else ""
        facts = (
            ("features", f"{outputs}, by {self.card['name']}{views}"),
            ("images", shorten(show_counts(self.classes.items()))),
        )
        counts = f"{self.done} of {self.rows} images done, {self.failed} failed, {state}"
        return Overview(f"CacheInfo: {self.cache}: {counts}", facts)


def describe_cache(path: Path | str) -> CacheInfo:
    """Describe a cache, complete or not. Raises CacheError if it cannot be opened.

    >>> import featx
    >>> info = featx.describe_cache("photos.h5")
    >>> info.rows, info.failed, info.outputs
    (60, 0, {'features': 1280})
    >>> info.classes
    {'circle': 12, 'cross': 12, 'square': 12, 'star': 12, 'triangle': 12}
    """
    cache = open_cache(Path(path))
    status = cache.read("status")
    failed = np.flatnonzero(status > DONE)
    codes, counts = np.unique(status[failed], return_counts=True)
    groups = _count_texts(cache, "images/group")
    return CacheInfo(
        cache=str(path),
        rows=len(status),
        done=int(np.count_nonzero(status == DONE)),
        failed=len(failed),
        pending=int(np.count_nonzero(status == PENDING)),
        sealed=cache.sealed,
        outputs=dict(cache.outputs),
        storage=cache.storage,
        bytes=cache.file_size,
        classes=dict(zip(cache.classes, _count_labels(cache), strict=True)),
        splits=_count_named(cache, "images/split"),
        groups=len(groups.keys() - {b""}) if groups else None,
        domains=_count_named(cache, DOMAIN),
        failures={failure_text(int(code)): int(count) for code, count in zip(codes, counts, strict=True)},
        failed_images=_failed_images(cache, failed, status),
        card=cache.card,
        provenance=describe_provenance(cache),
        cost=cost_of(cache),
        views=cache.views,
    )


def _count_labels(cache: Cache) -> list[int]:
    """Number of images of every class."""
    classes = len(cache.classes)
    counts = np.zeros(classes, np.int64)
    for rows in blocks(cache.images, BLOCK_ROWS) if "images/label" in cache.fields else ():
        labels = cache.read("images/label", rows)
        counts += np.bincount(labels[(labels >= 0) & (labels < classes)], minlength=classes)
    return [int(count) for count in counts]


def _count_texts(cache: Cache, name: str) -> Mapping[bytes, int]:
    """Number of images with each value of this column; empty if the image set has no such column."""
    counts: Counter[bytes] = Counter()
    for rows in blocks(cache.images, BLOCK_ROWS) if name in cache.fields else ():
        counts.update(cache.read(name, rows).tolist())
    return counts


def _count_named(cache: Cache, name: str) -> dict[str, int]:
    """Number of images with each value of this column, in the order of the values."""
    return {_decode(text): count for text, count in sorted(_count_texts(cache, name).items())}


def _decode(text: bytes) -> str:
    return text.decode(errors="replace")


def _failed_images(cache: Cache, rows: NDArray[np.int64], status: NDArray[np.uint8]) -> tuple[FailedImage, ...]:
    names = cache.read("images/name", rows).tolist()
    codes = status[rows].tolist()
    return tuple(FailedImage(_decode(name), failure_text(code)) for name, code in zip(names, codes, strict=True))


def describe_provenance(cache: Cache) -> dict[str, Any]:
    """How the features were computed, as plain values."""
    known = {key: cache.attributes.get(key) for key in PROVENANCE_ATTRIBUTES}
    return known | {"decode": cache.decode, "versions": cache.versions}
