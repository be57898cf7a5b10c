"""The feature file read: verified row by row, summed up, and handed to the heads as a table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.cache.file import DONE, PENDING, Cache, feature_path
from featx.cache.opening import open_cache
from featx.cache.verifying import OTHER_SET
from featx.errors import CacheError, did_you_mean, failure_text
from featx.provenance import hash_columns, hash_settings

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

    @property
    def output(self) -> str:
        """Name of the output."""
        return str(self.card["feature"])


def label_sources(sources: Sequence[Source]) -> tuple[str, ...]:
    """What to call these sources: by their backbone, and by the output too where one backbone gives several."""
    names = [source.name for source in sources]
    return tuple(f"{one.name}:{one.output}" if names.count(one.name) > 1 else one.name for one in sources)


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


def list_outputs(path: Path | str) -> dict[str, str]:
    """Name of every output in the cache, the feature first -> sha256 of how it is made. Raises CacheError."""
    return dict(open_cache(Path(path)).hashes)


def read_features(path: Path | str, *, outputs: Sequence[str] = ()) -> FeatureTable:
    """The table of a complete cache: its images that have a feature, in the image set's order.

    The columns are those of these outputs, side by side; of the feature alone where none is named. Raises CacheError
    where the cache is missing, damaged, not complete, or lacks an output.
    """
    cache = open_cache(Path(path))
    if not cache.sealed or np.any(cache.status == PENDING):
        raise CacheError(f"{path}: the extraction was not completed; run the same `featx extract` again")
    if cache.image_set() != cache.attributes["image_set"]:
        raise CacheError(f"{path}: {OTHER_SET}; run the same `featx extract` again, which mends it")
    kept = np.flatnonzero(cache.status == DONE)
    whole = len(kept) == len(cache.status)

    chosen = _choose(cache, outputs)
    parts = [cache[feature_path(name)] if whole else cache[feature_path(name)][kept] for name in chosen]
    labels, splits, groups, weights = (_column(cache, name, kept) for name in ("label", "split", "group", "weight"))
    return FeatureTable(
        parts[0] if len(parts) == 1 else np.hstack(parts),
        np.asarray(cache["images/name"][kept]),
        cache.classes,
        np.full(len(kept), -1, np.int32) if labels is None else labels,
        splits,
        groups,
        weights,
        tuple(_sources(cache, chosen)),
        kept,
        _failed_images(cache),
        _digest(cache, chosen),
    )


def _choose(cache: Cache, outputs: Sequence[str]) -> list[str]:
    for name in outputs:
        if name not in cache.outputs:
            near = did_you_mean(name, cache.outputs)
            raise CacheError(f"{cache.path}: no output {name!r}{near}; it holds {', '.join(cache.outputs)}")
    return list(dict.fromkeys(outputs)) or [next(iter(cache.outputs))]


def _sources(cache: Cache, outputs: Sequence[str]) -> Iterator[Source]:
    start = 0
    pools = {cache.card["feature"]: cache.card.get("pool", "")}
    pools |= {other["name"]: other["pool"] for other in cache.card.get("outputs", ())}
    for name in outputs:
        stop = start + cache.outputs[name]
        card = cache.card | {"feature": name, "dim": cache.outputs[name]}
        card |= {"pool": pools[name], "outputs": []} if "outputs" in cache.card else {}
        yield Source(cache.hashes[name], cache.provider, card, start, stop)
        start = stop


def _digest(cache: Cache, outputs: Sequence[str]) -> str:
    made = {"backbone": cache.backbone, "image_set": cache.attributes["image_set"]}
    if outputs != [next(iter(cache.outputs))] or len(cache.outputs) > 1:
        made["outputs"] = [cache.hashes[name] for name in outputs]
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
        provenance={key: cache.attributes.get(key) for key in MADE} | {"versions": cache.versions},
    )


def _column(cache: Cache, name: str, rows: NDArray[np.int64]) -> NDArray[Any] | None:
    values = cache.get(f"images/{name}")
    return None if values is None else np.asarray(values[rows])


def _failed_images(cache: Cache) -> dict[int, FailedImage]:
    names, status = cache["images/name"], cache.status
    failed = np.flatnonzero(status != DONE)
    return {int(row): FailedImage(bytes(names[row]).decode(), failure_text(int(status[row]))) for row in failed}
