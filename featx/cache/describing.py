"""What is in a feature file and how it was made, summed up."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.cache.file import (
    BLOCK_ROWS,
    DONE,
    PENDING,
    Cache,
    blocks,
)
from featx.cache.opening import open_cache
from featx.cache.table import FailedImage
from featx.errors import failure_text
from featx.showing import Overview, Shown, shorten

MADE = ("format_version", "backbone", "image_set", "provider", "device", "precision", "batch_size", "started", "sealed")
"""The attributes that say how a cache was made."""


@dataclass(frozen=True, repr=False)
class CacheInfo(Shown):
    """What is in a cache and how it was made."""

    cache: str
    rows: int
    done: int
    failed: int
    pending: int
    sealed: bool
    outputs: dict[str, int]
    """Name and dimension of every output."""
    storage: str
    """The type in which features are stored."""
    bytes: int
    """Size of the file."""
    classes: dict[str, int]
    """Images of every class."""
    splits: dict[str, int]
    """Images of every split, those of none as ""; empty where the image set has no splits."""
    groups: int | None
    """How many groups there are; None where the image set has none."""
    failures: dict[str, int]
    """Images for every reason."""
    failed_images: tuple[FailedImage, ...]
    """All of them, in the image set's order."""
    card: dict[str, Any]
    provenance: dict[str, Any]

    def overview(self) -> Overview:
        """How complete the cache is, the features and the backbone they come from, and the images of each class."""
        state = "complete" if self.sealed else f"{self.pending} pending"
        outputs = shorten(f"{name} {dim} x {self.storage}" for name, dim in self.outputs.items())
        facts = (
            ("features", f"{outputs}, by {self.card['name']}"),
            ("images", shorten(f"{name} {count}" for name, count in self.classes.items())),
        )
        counts = f"{self.done} of {self.rows} images done, {self.failed} failed, {state}"
        return Overview(f"CacheInfo: {self.cache}: {counts}", facts)


def describe_cache(path: Path | str) -> CacheInfo:
    """What is in the cache, complete or partial. Raises CacheError where it cannot be opened."""
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
        bytes=cache.path.stat().st_size,
        classes=dict(zip(cache.classes, _count_labels(cache), strict=True)),
        splits={_decode(name): count for name, count in sorted(_count_texts(cache, "images/split").items())},
        groups=len(groups.keys() - {b""}) if groups else None,
        failures={failure_text(int(code)): int(count) for code, count in zip(codes, counts, strict=True)},
        failed_images=_failed_images(cache, failed, status),
        card=cache.card,
        provenance=describe_provenance(cache),
    )


def _count_labels(cache: Cache) -> list[int]:
    """Images of every class."""
    classes = len(cache.classes)
    counts = np.zeros(classes, np.int64)
    for rows in blocks(cache.images, BLOCK_ROWS) if "images/label" in cache.fields else ():
        labels = cache.read("images/label", rows)
        counts += np.bincount(labels[(labels >= 0) & (labels < classes)], minlength=classes)
    return [int(count) for count in counts]


def _count_texts(cache: Cache, name: str) -> Mapping[bytes, int]:
    """Images of every value of this column; nothing where the image set has no such column."""
    counts: Counter[bytes] = Counter()
    for rows in blocks(cache.images, BLOCK_ROWS) if name in cache.fields else ():
        counts.update(cache.read(name, rows).tolist())
    return counts


def _decode(text: bytes) -> str:
    return text.decode(errors="replace")


def _failed_images(cache: Cache, rows: NDArray[np.int64], status: NDArray[np.uint8]) -> tuple[FailedImage, ...]:
    names = cache.read("images/name", rows).tolist()
    codes = status[rows].tolist()
    return tuple(FailedImage(_decode(name), failure_text(code)) for name, code in zip(names, codes, strict=True))


def describe_provenance(cache: Cache) -> dict[str, Any]:
    """How the cache was made, as plain values."""
    made = {key: cache.attributes.get(key) for key in MADE}
    return made | {"decode": cache.decode, "versions": cache.versions}
