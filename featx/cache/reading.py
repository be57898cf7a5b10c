"""A complete feature file read as a table: mapped, its rows chosen, nothing copied that is not asked for."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.cache.file import (
    DONE,
    PENDING,
    Cache,
    feature_path,
)
from featx.cache.opening import open_cache
from featx.cache.table import (
    FailedImage,
    FeatureTable,
    Part,
    RowChoice,
    Source,
    as_choice,
)
from featx.cache.verifying import OTHER_SET
from featx.columns import NO_LABEL
from featx.errors import (
    CacheError,
    did_you_mean,
    failure_text,
)
from featx.hashing import hash_columns, hash_settings

NAMES_TOLD = 10
"""How many names an error lists of what there is."""


def list_outputs(path: Path | str) -> dict[str, str]:
    """Name of every output in the cache, the feature first -> sha256 of how it is made. Raises CacheError."""
    return dict(open_cache(Path(path)).hashes)


def read_features(
    path: Path | str, *, outputs: Sequence[str] = (), split: str | None = None, labels: Sequence[str] = ()
) -> FeatureTable:
    """The table of a complete cache: its images that have a feature, in the image set's order.

    The columns are those of these outputs, side by side; of the feature alone where none is named. `split` keeps the
    images of this split, `labels` those of these classes, which are then the table's only ones. Features are mapped,
    and none is copied here. Raises CacheError where the cache is missing, damaged, not complete, or lacks the output,
    split or class.
    """
    cache = open_complete(Path(path))
    chosen = choose_outputs(cache, outputs)
    meant = choose_rows(cache, split=split, labels=labels)
    status = cache.read("status")
    rows = _as_choice((status == DONE) & meant)
    positions = np.arange(cache.images)[rows]
    classes, of_images = _labels(cache, rows, labels)
    return FeatureTable(
        tuple(Part(cache[feature_path(name)], rows) for name in chosen),
        cache["images/name"][rows],
        classes,
        of_images,
        _column(cache, "split", rows),
        _column(cache, "group", rows),
        _column(cache, "weight", rows),
        tuple(_sources(cache, chosen)),
        positions,
        _failed_images(cache, np.flatnonzero((status != DONE) & meant), status),
        _digest(cache, chosen, split=split, labels=labels),
    )


def open_complete(path: Path) -> Cache:
    """The cache, once nothing is pending in it and its images are those that were written. Raises CacheError."""
    cache = open_cache(path)
    if not cache.sealed or np.any(cache.read("status") == PENDING):
        raise CacheError(f"{path}: the extraction was not completed; run the same `featx extract` again")
    if cache.image_set() != cache.attributes["image_set"]:
        raise CacheError(f"{path}: {OTHER_SET}; run the same `featx extract` again, which mends it")
    return cache


def choose_outputs(cache: Cache, outputs: Sequence[str]) -> list[str]:
    """These outputs, each once; the feature where none is named. Raises CacheError where the cache lacks one."""
    for name in outputs:
        if name not in cache.outputs:
            raise _unknown(cache, "output", name, list(cache.outputs))
    return list(dict.fromkeys(outputs)) or [next(iter(cache.outputs))]


def choose_rows(cache: Cache, *, split: str | None, labels: Sequence[str]) -> NDArray[np.bool_]:
    """(N,): the images of this split and these classes; all where nothing is named. Raises CacheError."""
    meant = np.ones(cache.images, bool)
    if split is not None:
        splits = cache.read("images/split") if "images/split" in cache.fields else np.array([b""])
        meant &= splits == split.encode()
        if not meant.any():
            raise _unknown(cache, "split", split, sorted(name.decode() for name in np.unique(splits).tolist() if name))
    if isinstance(labels, str):
        raise CacheError(f"labels={labels!r} is one text, whose letters would be taken; give a list, as [{labels!r}]")
    if labels:
        meant &= _labels(cache, slice(None), labels)[1] != NO_LABEL
    return meant


def _labels(cache: Cache, rows: RowChoice, chosen: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """The classes, only the chosen ones where any are, and the labels of these rows as positions in them."""
    for name in chosen:
        if name not in cache.classes:
            raise _unknown(cache, "class", name, cache.classes)
    labels = _column(cache, "label", rows)
    if labels is None:
        return (), np.full(cache.images, NO_LABEL, np.int32)[rows]
    if not chosen:
        return cache.classes, labels
    classes = tuple(name for name in cache.classes if name in chosen)
    place = {name: index for index, name in enumerate(classes)}
    renumbered = np.array([*(place.get(name, NO_LABEL) for name in cache.classes), NO_LABEL], np.int32)
    return classes, renumbered[labels]


def _unknown(cache: Cache, what: str, name: str, known: Sequence[str]) -> CacheError:
    more = f" and {len(known) - NAMES_TOLD} more" if len(known) > NAMES_TOLD else ""
    there = f"it holds {', '.join(known[:NAMES_TOLD])}{more}" if known else f"it holds no {what} at all"
    return CacheError(f"{cache.path}: no {what} {name!r}{did_you_mean(name, known)}; {there}")


def _sources(cache: Cache, outputs: Sequence[str]) -> Iterator[Source]:
    start = 0
    pools = {cache.card["feature"]: cache.card.get("pool", "")}
    pools |= {other["name"]: other["pool"] for other in cache.card.get("outputs", ())}
    for name in outputs:
        stop = start + cache.outputs[name]
        card = cache.card | {"feature": name, "dim": cache.outputs[name]}
        card |= {"pool": pools[name], "outputs": []} if "outputs" in cache.card else {}
        yield Source(cache.hashes[name], cache.provider, card, start, stop, cache.decode)
        start = stop


def _digest(cache: Cache, outputs: Sequence[str], *, split: str | None, labels: Sequence[str]) -> str:
    made: dict[str, Any] = {"backbone": cache.backbone, "image_set": cache.attributes["image_set"]}
    if outputs != [next(iter(cache.outputs))] or len(cache.outputs) > 1:
        made["outputs"] = [cache.hashes[name] for name in outputs]
    made |= {"split": split} if split else {}
    made |= {"labels": sorted(set(labels))} if labels else {}
    return hash_settings(made | {"rows": hash_columns([cache.column("checksums")])})


def _as_choice(meant: NDArray[np.bool_]) -> RowChoice:
    return slice(0, len(meant)) if meant.all() else as_choice(np.flatnonzero(meant))


def _column(cache: Cache, name: str, rows: RowChoice) -> NDArray[Any] | None:
    values = cache.get(f"images/{name}")
    return None if values is None else values[rows]


def _failed_images(cache: Cache, rows: NDArray[np.int64], status: NDArray[np.uint8]) -> dict[int, FailedImage]:
    names = cache.read("images/name", rows)
    return {
        int(row): FailedImage(bytes(name).decode(), failure_text(int(status[row])))
        for row, name in zip(rows, names, strict=True)
    }
