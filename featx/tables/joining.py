"""Several tables of the same images in; one table with their columns side by side out."""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featx.cache import (
    FailedImage,
    FeatureTable,
    as_choice,
    list_outputs,
    read_features,
)
from featx.columns import NO_LABEL, take
from featx.errors import TableError, did_you_mean
from featx.hashing import hash_columns, hash_settings


def fuse_tables(tables: Sequence[FeatureTable]) -> FeatureTable:
    """One table of the images that have a feature in every table, joined by name, in the order of the first.

    An image that failed in any table has no row. Raises TableError where a table lacks an image, or labels differ.
    """
    if not tables:
        raise TableError("nothing to fuse; name at least one cache")
    return reduce(_fuse, tables)


def read_outputs(
    caches: Sequence[Path], outputs: Sequence[str], *, split: str | None = None, labels: Sequence[str] = ()
) -> list[FeatureTable]:
    """The tables of these caches, each with those of the outputs that it holds; with its feature where none is named.

    `split` and `labels` keep images as read_features does. Raises CacheError as that does, TableError where an output
    is in no cache, or a cache has none of them.
    """
    for what, given in (("cache", list(map(str, caches))), ("output", list(outputs))):
        if twice := [one for place, one in enumerate(given) if one in given[:place]]:
            raise TableError(f"{what} {twice[0]} is named twice; name each once")
    there = {path: list_outputs(path) for path in caches}
    known = {name for held in there.values() for name in held}
    for name in outputs:
        if name not in known:
            raise TableError(f"no cache holds output {name!r}{did_you_mean(name, known)}; they hold {', '.join(known)}")
    tables = []
    for path, held in there.items():
        chosen = [name for name in outputs if name in held]
        if outputs and not chosen:
            raise TableError(
                f"{path}: holds none of the outputs asked for, but {', '.join(held)}; name one of these too"
            )
        tables.append(read_features(path, outputs=chosen, split=split, labels=labels))
    return tables


def _fuse(left: FeatureTable, right: FeatureTable) -> FeatureTable:
    _check_images(left, right)
    fallen = np.isin(left.names, _failed_names(right))
    kept = np.flatnonzero(~fallen)
    order = np.argsort(right.names)
    twin = order[np.searchsorted(right.names, left.names[kept], sorter=order)]
    _check_labels(left, kept, right, twin)
    _check_columns(left, kept, right, twin)
    return replace(
        select_rows(left, kept),
        parts=(*(part.select(kept) for part in left.parts), *(part.select(twin) for part in right.parts)),
        sources=(*left.sources, *(replace(s, start=s.start + left.dim, stop=s.stop + left.dim) for s in right.sources)),
        failed={**left.failed, **_fallen(left, right, np.flatnonzero(fallen))},
        digest=hash_settings({"fused": [left.digest, right.digest]}),
    )


def separate_blocks(tables: Sequence[FeatureTable], joined: FeatureTable) -> list[FeatureTable]:
    """Each output of each table as a table of its own, of the images of the joined one and in their order."""
    alone = []
    for table in tables:
        order = np.argsort(table.names)
        rows = order[np.searchsorted(table.names, joined.names, sorter=order)]
        same = select_rows(table, rows)
        for part, source in zip(same.parts, same.sources, strict=True):
            about = {"of": table.digest, "output": source.output, "images": hash_columns([joined.names])}
            single = replace(source, start=0, stop=source.stop - source.start)
            alone.append(
                replace(same, parts=(part,), sources=(single,), failed=joined.failed, digest=hash_settings(about))
            )
    return alone


def _failed_names(table: FeatureTable) -> NDArray[np.bytes_]:
    return np.array([image.name.encode() for image in table.failed.values()], np.bytes_)


def _fallen(left: FeatureTable, right: FeatureTable, rows: NDArray[np.int64]) -> dict[int, FailedImage]:
    """The images of these rows of the left table, which failed in the right one, by their position in the left."""
    reasons = {image.name: image for image in right.failed.values()}
    return {int(left.positions[row]): reasons[left.name(int(row))] for row in rows}


def _check_images(left: FeatureTable, right: FeatureTable) -> None:
    for table, other in ((left, right), (right, left)):
        lacking = np.setdiff1d(table.names, np.concatenate([other.names, _failed_names(other)]))
        if len(lacking):
            raise TableError(
                f"{label_of(other)} lacks {len(lacking)} images of {label_of(table)}, such as {lacking[0].decode()}; "
                "extract the same image set with both backbones"
            )


def _check_labels(left: FeatureTable, kept: NDArray[np.int64], right: FeatureTable, twin: NDArray[np.int64]) -> None:
    of_left, of_right = (_label_names(table, rows) for table, rows in ((left, kept), (right, twin)))
    different = np.flatnonzero(of_left != of_right)
    if len(different):
        row = different[0]
        raise TableError(
            f"image {left.name(int(kept[row]))} is {of_left[row] or 'not labelled'} in {label_of(left)} "
            f"but {of_right[row] or 'not labelled'} in {label_of(right)}; extract both from the same folder or manifest"
        )


def _check_columns(left: FeatureTable, kept: NDArray[np.int64], right: FeatureTable, twin: NDArray[np.int64]) -> None:
    """Splits, groups and weights decide what is held out: they may not differ either."""
    for what in ("splits", "groups", "weights"):
        mine, other = getattr(left, what), getattr(right, what)
        if mine is None and other is None:
            continue
        if mine is None or other is None:
            without, with_ = (left, right) if mine is None else (right, left)
            raise TableError(
                f"{label_of(with_)} has {what} and {label_of(without)} has none; extract both from the same manifest"
            )
        if len(different := np.flatnonzero(mine[kept] != other[twin])):
            name = left.name(int(kept[different[0]]))
            found = mine[kept][different[0]], other[twin][different[0]]
            one, two = (value if what == "weights" else value.decode() for value in found)
            raise TableError(
                f"image {name} differs in its {what}: {one} in {label_of(left)}, {two} in {label_of(right)}; extract "
                f"both from the same manifest, or say it anew with --annotations"
            )


def _label_names(table: FeatureTable, rows: NDArray[np.int64]) -> NDArray[np.str_]:
    return np.array([*table.classes, ""])[table.labels[rows]]


def choose_rows(table: FeatureTable, *, split: str | None = None, labels: Sequence[str] = ()) -> FeatureTable:
    """The rows of this split and these classes, which are then the table's only ones; all where nothing is named.

    Raises TableError for a split or class that the table does not have.
    """
    meant = np.ones(len(table), np.bool_)
    if split is not None:
        known = [] if table.splits is None else [name.decode() for name in np.unique(table.splits).tolist() if name]
        if split not in known:
            raise TableError(f"no image is of split {split!r}; there are {', '.join(known) or 'none'}")
        meant &= table.splits == split.encode()
    if labels:
        table = _with_classes(table, labels)
        meant &= table.labels >= 0
    about = {"of": table.digest, "split": split, "labels": sorted(set(labels))}
    chosen = select_rows(table, np.flatnonzero(meant))
    return replace(chosen, digest=hash_settings(about)) if split or labels else table


def _with_classes(table: FeatureTable, chosen: Sequence[str]) -> FeatureTable:
    """The table with these classes alone; images of others have no label."""
    if table.shares is not None:
        raise TableError("images with soft labels or several labels cannot be chosen by class; leave --label out")
    if unknown := [name for name in chosen if name not in table.classes]:
        raise TableError(f"no class is called {unknown[0]!r}; there are {', '.join(table.classes) or 'none'}")
    classes = tuple(name for name in table.classes if name in chosen)
    places = [classes.index(name) if name in classes else NO_LABEL for name in table.classes]
    return replace(table, classes=classes, labels=np.array([*places, NO_LABEL], np.int32)[table.labels])


def label_of(table: FeatureTable) -> str:
    """What a message calls this table: the backbones that it comes from."""
    return "the cache of " + " + ".join(source.name for source in table.sources)


def select_rows(table: FeatureTable, rows: NDArray[np.int64]) -> FeatureTable:
    """The table of these rows alone, in this order."""
    choice = as_choice(rows)
    return replace(
        table,
        parts=tuple(part.select(rows) for part in table.parts),
        names=table.names[choice],
        labels=table.labels[choice],
        positions=table.positions[choice],
        splits=take(table.splits, choice),
        groups=take(table.groups, choice),
        weights=take(table.weights, choice),
        shares=take(table.shares, choice),
    )
