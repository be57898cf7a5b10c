"""Reads a complete cache as a feature table: features stay in the file as memory maps until they are needed."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.cache.checking import value_problems
from featx.cache.choosing import ImageChoice, choose_images, unknown_name
from featx.cache.costs import cost_of, scale_cost
from featx.cache.file import DOMAIN_HASH, DONE, PENDING, Cache, feature_path
from featx.cache.opening import open_cache
from featx.cache.table import FailedImage, FeatureTable, Part, RowIndex, Source, compact_rows
from featx.cache.verifying import COLUMNS_CHANGED
from featx.cache.views import one_view_error, use_views
from featx.columns import NO_LABEL, ImageColumns
from featx.errors import CacheError, failure_text
from featx.hashing import hash_columns, hash_settings
from featx.learned import recognise_images
from featx.settings import CLASS_SCORES, LAYERS, ViewRule


def list_outputs(path: Path | str) -> dict[str, str]:
    """Name of every output in the cache, the feature first -> the hash of a card with this output alone.

    Raises CacheError.
    """
    return dict(open_cache(Path(path)).hashes)


def read_features(
    path: Path | str,
    *,
    outputs: Sequence[str] = (),
    split: str | None = None,
    labels: Sequence[str] = (),
    views: ViewRule = "first",
) -> FeatureTable:
    """The feature table of a complete cache: the images that have a feature, in the image set's order.

    The features of these `outputs` are its columns, side by side; by default those of the card's feature. `split` keeps
    only images of this split, `labels` only images of these classes, which become the only classes of the table.
    `views` says what becomes of the views of an image in a cache that has several: `first` is view 0 alone, `mean` the
    mean feature over views, `rows` the features of all views side by side. Features are memory maps and are not copied.

    Raises CacheError if the cache is missing, damaged or incomplete, or if it lacks an output, the split or a class;
    TableError if `views` asks for several views and the cache has one.

    >>> import featx
    >>> table = featx.read_features("photos.h5", labels=["star", "circle"])
    >>> table.features.shape, table.classes
    ((24, 1280), ('circle', 'star'))
    """
    cache = open_complete(Path(path))
    if views in ("mean", "rows") and len(cache.views) == 1:
        raise one_view_error(str(path), views)
    names = choose_outputs(cache, outputs)
    choice = choose_cached_images(cache, split=split, labels=labels)
    table = _table(cache, names, choice, digest=_digest(cache, names, split=split, labels=labels))
    return use_views(table, views)


def read_rows(path: Path | str, rows: NDArray[np.int64], *, outputs: Sequence[str] = ()) -> FeatureTable:
    """The feature table of these rows of a cache, complete or not: of those that are done, in the image set's order.

    Raises CacheError if one of the rows is not extracted yet, or as read_features does.
    """
    cache = open_cache(Path(path))
    _check_columns(cache)
    names = choose_outputs(cache, outputs)
    chosen = np.zeros(cache.images, bool)
    chosen[rows] = True
    if pending := np.count_nonzero(cache.read("status")[chosen] == PENDING):
        raise CacheError(f"{path}: {pending} of the rows asked for are not extracted yet; extract them first")
    labels = cache.get("images/label")
    codes = np.full(cache.images, NO_LABEL, np.int32) if labels is None else labels
    checksums = hash_columns([cache.read("checksums")[chosen]])
    about = {"of": _digest(cache, names, split=None, labels=(), checksums=checksums), "chosen": hash_columns([chosen])}
    return _table(cache, names, ImageChoice(chosen, cache.classes, codes), digest=hash_settings(about))


def _table(cache: Cache, names: Sequence[str], choice: ImageChoice, *, digest: str) -> FeatureTable:
    """The table of these outputs and of the chosen images that have a feature."""
    status = cache.read("status")
    has_feature = (status == DONE) & choice.rows
    rows = slice(0, cache.images) if has_feature.all() else compact_rows(np.flatnonzero(has_feature))
    return FeatureTable(
        parts=tuple(Part(cache[feature_path(name)], rows, cache.views) for name in names),
        names=cache["images/name"][rows],
        classes=choice.classes,
        labels=choice.labels[rows],
        splits=_column(cache, "split", rows),
        groups=_column(cache, "group", rows),
        domains=_column(cache, "domain", rows),
        weights=_column(cache, "weight", rows),
        sources=tuple(_sources(cache, names)),
        positions=np.arange(cache.images)[rows],
        failed=_failed_images(cache, np.flatnonzero((status != DONE) & choice.rows), status),
        digest=digest,
        learned=_learned(cache, rows),
    )


def _learned(cache: Cache, rows: RowIndex) -> NDArray[np.bool_] | None:
    """(n,): whether the backbone was fine-tuned on each image, by the memory on its card. Raises CacheError."""
    tuned = cache.card.get("tuned")
    if not tuned:
        return None
    try:
        return recognise_images(str(tuned["memory"]), cache["images/fingerprint"][rows])
    except (KeyError, TypeError, ValueError) as error:
        raise CacheError(
            f"{cache.path}: its card does not tell from which images its backbone learned ({error}); extract again"
        ) from error


def open_complete(path: Path) -> Cache:
    """The complete cache. Raises CacheError if rows are pending, or if image columns were changed or are wrong."""
    cache = open_cache(path)
    if not cache.sealed or np.any(cache.read("status") == PENDING):
        raise CacheError(f"{path}: the extraction was not completed; run the same `featx extract` again")
    _check_columns(cache)
    return cache


def _check_columns(cache: Cache) -> None:
    """Raise CacheError if image columns were changed or are wrong."""
    if cache.columns_changed():
        raise CacheError(f"{cache.path}: {COLUMNS_CHANGED}; run the same `featx extract` again to repair it")
    if problem := next(value_problems(cache), ""):
        raise CacheError(f"{cache.path}: {problem}; correct the program that wrote it, or extract again")


def choose_outputs(cache: Cache, outputs: Sequence[str]) -> list[str]:
    """These outputs without repetition, or the card's feature if none is named. Raises ChoiceError.

    `logits` are the class scores of the source, whatever their output is called; `layers` are all outputs but these.
    """
    scores = cache.card.get("classifier")
    aliases = {CLASS_SCORES: [scores]} if scores in cache.outputs else {}
    aliases[LAYERS] = [name for name in cache.outputs if name != scores]
    names = [one for name in outputs for one in ([name] if name in cache.outputs else aliases.get(name, [name]))]
    for name in names or outputs:
        if name not in cache.outputs:
            raise unknown_name(str(cache.path), "output", name, list(cache.outputs))
    return list(dict.fromkeys(names)) or [next(iter(cache.outputs))]


def choose_cached_images(cache: Cache, *, split: str | None, labels: Sequence[str]) -> ImageChoice:
    """The images of this split and these classes, with or without a feature. Raises ChoiceError if one is unknown."""
    splits = cache.read("images/split") if split is not None and "images/split" in cache.fields else None
    images = ImageColumns(
        names=cache["images/name"], classes=cache.classes, labels=cache.get("images/label"), splits=splits
    )
    return choose_images(images, str(cache.path), split=split, labels=labels)


def _column(cache: Cache, name: str, rows: RowIndex) -> NDArray[Any] | None:
    values = cache.get(f"images/{name}")
    return None if values is None else values[rows]


def _sources(cache: Cache, outputs: Sequence[str]) -> Iterator[Source]:
    """The source of each output at view 0, its card reduced to that output."""
    pools = {cache.card["feature"]: cache.card.get("pool", "")}
    pools |= {other["name"]: other["pool"] for other in cache.card.get("outputs", ())}
    cost = scale_cost(cost_of(cache), views=1, of=len(cache.views))
    start = 0
    for name in outputs:
        stop = start + cache.outputs[name]
        card = cache.card | {"feature": name, "dim": cache.outputs[name]}
        if "outputs" in cache.card:
            card |= {"pool": pools[name], "outputs": []}
        yield Source(cache.hashes[name], cache.provider, card, start, stop, cache.decode, cost)
        start = stop


def _digest(
    cache: Cache, outputs: Sequence[str], *, split: str | None, labels: Sequence[str], checksums: str = ""
) -> str:
    """sha256 over the backbone, the image set, the checksums of all rows, and the choice if there is one."""
    read: dict[str, Any] = {"backbone": cache.backbone, "image_set": cache.attributes["image_set"]}
    if outputs != [next(iter(cache.outputs))] or len(cache.outputs) > 1:
        read["outputs"] = [cache.hashes[name] for name in outputs]
    if DOMAIN_HASH in cache.attributes:
        read["domains"] = cache.attributes[DOMAIN_HASH]
    if split:
        read["split"] = split
    if labels:
        read["labels"] = sorted(set(labels))
    return hash_settings(read | {"rows": checksums or hash_columns([cache.column("checksums")])})


def _failed_images(cache: Cache, rows: NDArray[np.int64], status: NDArray[np.uint8]) -> dict[int, FailedImage]:
    """Row -> image that failed, for these rows."""
    names = cache.read("images/name", rows)
    return {
        int(row): FailedImage(bytes(name).decode(), failure_text(int(status[row])))
        for row, name in zip(rows, names, strict=True)
    }
