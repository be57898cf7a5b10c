"""The feature file read: verified row by row, summed up, and handed to the heads as a table."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.cache.file import DONE, PENDING, Cache, open_cache
from featx.errors import CacheError, failure_text
from featx.provenance import hash_columns, hash_settings

OTHER_SET = "names, labels, splits, groups or weights are not those that were written"
MADE = ("format_version", "backbone", "image_set", "provider", "device", "precision", "batch_size", "started", "sealed")
"""The attributes that say how a cache was made."""


@dataclass(frozen=True)
class Source:
    """Where some columns of a table come from."""

    backbone: str
    """sha256 of the card's identity."""
    provider: str
    card: Mapping[str, Any]
    start: int
    stop: int

    @property
    def name(self) -> str:
        """The backbone's name."""
        return str(self.card["name"])


@dataclass(frozen=True)
class FailedImage:
    """An image that has no feature."""

    name: str
    reason: str


@dataclass(frozen=True)
class FeatureTable:
    """Features of images, one row each, with what is known of the images."""

    features: NDArray[np.float32]
    """(n, d); a memory map where no row had to be left out."""
    names: NDArray[np.bytes_]
    classes: tuple[str, ...]
    labels: NDArray[np.int32]
    """(n,): positions in `classes`; -1 where an image has no label."""
    splits: NDArray[np.bytes_] | None
    groups: NDArray[np.bytes_] | None
    weights: NDArray[np.float32] | None
    sources: tuple[Source, ...]
    positions: NDArray[np.int64]
    """(n,): where each row's image stands in the image set."""
    failed: Mapping[int, FailedImage]
    """By position, the images that have no feature and so no row here."""
    digest: str
    """sha256 over the backbone, the image set and the checksums of all rows: what the table was read from."""

    def __len__(self) -> int:
        return len(self.names)

    def name(self, row: int) -> str:
        """Name of the image in this row."""
        return bytes(self.names[row]).decode()


def read_features(path: Path | str) -> FeatureTable:
    """The table of a complete cache: its images that have a feature, in the image set's order.

    Raises CacheError where the cache is missing, damaged, or not complete.
    """
    cache = open_cache(Path(path))
    if not cache.sealed or np.any(cache.status == PENDING):
        raise CacheError(f"{path}: the extraction was not completed; run the same `featx extract` again")
    if cache.image_set() != cache.attributes["image_set"]:
        raise CacheError(f"{path}: {OTHER_SET}; run the same `featx extract` again, which mends it")
    kept = np.flatnonzero(cache.status == DONE)
    whole = len(kept) == len(cache.status)

    features = cache[cache.feature]
    labels, splits, groups, weights = (_column(cache, name, kept) for name in ("label", "split", "group", "weight"))
    return FeatureTable(
        features if whole else features[kept],
        np.asarray(cache["images/name"][kept]),
        cache.classes,
        np.full(len(kept), -1, np.int32) if labels is None else labels,
        splits,
        groups,
        weights,
        (Source(cache.backbone, cache.provider, cache.card, 0, features.shape[1]),),
        kept,
        _failed_images(cache),
        _digest(cache),
    )


def _digest(cache: Cache) -> str:
    made = {key: cache.attributes[key] for key in ("backbone", "image_set")}
    return hash_settings(made | {"rows": hash_columns([cache["checksums"]])})


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
    prefix = "features/"
    return CacheInfo(
        cache=str(path),
        rows=len(status),
        done=int(np.sum(status == DONE)),
        failed=int(np.sum(status > DONE)),
        pending=int(np.sum(status == PENDING)),
        sealed=cache.sealed,
        outputs={
            name.removeprefix(prefix): field.shape[1] for name, field in cache.fields.items() if name.startswith(prefix)
        },
        classes={name: int(np.sum(labels == index)) for index, name in enumerate(cache.classes)},
        failures={failure_text(int(code)): int(count) for code, count in zip(codes, counts, strict=True)},
        card=cache.card,
        provenance={key: cache.attributes.get(key) for key in MADE} | {"versions": cache.versions},
    )


def _column(cache: Cache, name: str, rows: NDArray[np.int64]) -> NDArray[Any] | None:
    values = cache.get(f"images/{name}")
    return None if values is None else np.asarray(values[rows])


def verify_cache(path: Path | str) -> list[str]:
    """What is wrong with the contents of a cache, row by row; empty where it is whole.

    Raises CacheError where the file cannot be opened at all.
    """
    cache = open_cache(Path(path))
    problems = [] if cache.sealed else ["the extraction was not completed"]
    return problems + verify_contents(cache)


def verify_contents(cache: Cache) -> list[str]:
    """The same, whether the cache is complete or not."""
    other = [] if cache.image_set() == cache.attributes["image_set"] else [OTHER_SET]
    return other + verify_rows(cache)


def _failed_images(cache: Cache) -> dict[int, FailedImage]:
    names, status = cache["images/name"], cache.status
    failed = np.flatnonzero(status != DONE)
    return {int(row): FailedImage(bytes(names[row]).decode(), failure_text(int(status[row]))) for row in failed}


def verify_rows(cache: Cache) -> list[str]:
    """What is wrong with single rows, pending or rotten; each names its row and image."""
    status, intact = cache.status, cache.intact()
    names = cache["images/name"]
    return [
        f"row {row} ({bytes(names[row]).decode(errors='replace')}): "
        + ("pending" if status[row] == PENDING else "its bytes do not match their checksum")
        for row in np.flatnonzero(~intact)
    ]
