"""Joins tables of the same images, matched by name, into one table with their columns side by side."""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from featx.cache import FailedImage, FeatureTable, Source, choose_views, replace_parts
from featx.columns import FURTHER_COLUMNS, NO_LABEL, ImageColumns, find_repeated, take
from featx.errors import TableError
from featx.hashing import hash_columns, hash_settings
from featx.tables.given import GivenTables, as_tables
from featx.tables.rows import describe_table, select_rows


def as_table(given: GivenTables, *, sources: Sequence[Source] = ()) -> FeatureTable:
    """The table that is given, or several, or those of caches, fused into one.

    If it reads view 0 and the `sources` of a head use other views that it has, the table that is returned uses these.
    Raises what `as_tables` and `fuse_tables` raise.

    >>> from featx.tables import as_table
    >>> as_table(["photos.h5"]).dim
    1280
    """
    if not isinstance(given, FeatureTable):
        given = reduce(_fuse, _at_least_one(as_tables(given, sources=sources)))
    return _follow_views(given, sources)


def _follow_views(table: FeatureTable, sources: Sequence[Source]) -> FeatureTable:
    """The table with the views of these sources, in blocks at view 0 that have them; other blocks stay as they are."""
    if len(sources) != len(table.parts):
        return table
    followed = [
        choose_views(part, own, source.view_rule, names=source.views)
        if part.view_rule == "first" and set(source.views) <= set(part.known_views)
        else part
        for part, own, source in zip(table.parts, table.sources, sources, strict=True)
    ]
    return replace_parts(table, followed)


def fuse_tables(tables: GivenTables) -> FeatureTable:
    """One table of the images that have a feature in every table, matched by name, in the order of the first table.

    Paths of caches are read. An image that failed in any table has no row. Raises TableError if a table lacks an image
    of another, or if labels, splits, groups, domains or weights differ.

    >>> import featx
    >>> table = featx.read_features("photos.h5")
    >>> fused = featx.fuse_tables([table, table])
    >>> fused.features.shape
    (60, 2560)
    """
    return as_table(tables)


def table_without_features(images: ImageColumns) -> FeatureTable:
    """The table of these images before any is opened, which can be split as their features will be."""
    unlabelled = np.full(len(images), NO_LABEL, np.int32)
    return FeatureTable(
        parts=(),
        names=images.names,
        classes=images.classes,
        labels=unlabelled if images.labels is None else images.labels,
        splits=images.splits,
        groups=images.groups,
        domains=images.domains,
        weights=images.weights,
        sources=(),
        positions=np.arange(len(images)),
        failed={},
        digest="",
    )


def _at_least_one(tables: list[FeatureTable]) -> list[FeatureTable]:
    """The tables as they are. Raises TableError if there is none."""
    if not tables:
        raise TableError("no tables to fuse; name at least one cache")
    return tables


def _fuse(left: FeatureTable, right: FeatureTable) -> FeatureTable:
    _check_repeated(left)
    _check_images(left, right)
    failed = np.isin(left.names, _failed_names(right))
    kept = np.flatnonzero(~failed)
    matches = _match_rows(right, left.names[kept])
    _check_labels(left, kept, right, matches)
    _check_columns(left, kept, right, matches)
    moved = [replace(source, start=source.start + left.dim, stop=source.stop + left.dim) for source in right.sources]
    return replace(
        select_rows(left, kept),
        parts=(*(part.take(kept) for part in left.parts), *(part.take(matches) for part in right.parts)),
        sources=(*left.sources, *moved),
        failed={**left.failed, **_failures(left, right, np.flatnonzero(failed))},
        digest=hash_settings({"fused": [left.digest, right.digest]}),
        learned=_join_learned(take(left.learned, kept), take(right.learned, matches)),
    )


def _join_learned(left: NDArray[np.bool_] | None, right: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    """(n,): whether a backbone of either table was fine-tuned on the image; None if neither was on any."""
    if left is None or right is None:
        return right if left is None else left
    return left | right


def separate_blocks(tables: Sequence[FeatureTable], joined: FeatureTable) -> list[FeatureTable]:
    """One table for each output of each table; all have the images of the joined table, in the same order."""
    separate = []
    for table in tables:
        same = select_rows(table, _match_rows(table, joined.names))
        for part, source in zip(same.parts, same.sources, strict=True):
            about = {"of": table.digest, "output": source.output, "images": hash_columns([joined.names])}
            single = replace(source, start=0, stop=source.stop - source.start)
            separate.append(
                replace(same, parts=(part,), sources=(single,), failed=joined.failed, digest=hash_settings(about))
            )
    return separate


def _match_rows(table: FeatureTable, names: NDArray[np.bytes_]) -> NDArray[np.int64]:
    """(n,): the row of each of these names; the table must have all of them. Raises TableError if one is repeated."""
    _check_repeated(table)
    order = np.argsort(table.names)
    return order[np.searchsorted(table.names, names, sorter=order)]


def _check_repeated(table: FeatureTable) -> None:
    """Raise TableError if two rows have the same name, as in a cache that another program wrote."""
    if repeated := find_repeated(table.names):
        first, second = repeated
        raise TableError(
            f"{describe_table(table)} has the image {table.name(first)} in row {first} and in row {second}; images are "
            "matched by name, so give each a name of its own"
        )


def _failed_names(table: FeatureTable) -> NDArray[np.bytes_]:
    return np.array([image.name.encode() for image in table.failed.values()], np.bytes_)


def _failures(left: FeatureTable, right: FeatureTable, rows: NDArray[np.int64]) -> dict[int, FailedImage]:
    """For these rows of the left table: position in its image set -> why the image failed in the right table."""
    reasons = {image.name: image for image in right.failed.values()}
    return {int(left.positions[row]): reasons[left.name(int(row))] for row in rows}


def _check_images(left: FeatureTable, right: FeatureTable) -> None:
    for table, other in ((left, right), (right, left)):
        lacking = np.setdiff1d(table.names, np.concatenate([other.names, _failed_names(other)]))
        if len(lacking):
            raise TableError(
                f"{describe_table(other)} lacks {len(lacking)} images of {describe_table(table)}, such as "
                f"{lacking[0].decode()}; extract the same image set with both backbones"
            )


def _check_labels(left: FeatureTable, kept: NDArray[np.int64], right: FeatureTable, matches: NDArray[np.int64]) -> None:
    left_names = _label_names(left, kept)
    right_names = _label_names(right, matches)
    different = np.flatnonzero(left_names != right_names)
    if len(different):
        row = different[0]
        raise TableError(
            f"image {left.name(int(kept[row]))} is {left_names[row] or 'not labelled'} in {describe_table(left)} but "
            f"{right_names[row] or 'not labelled'} in {describe_table(right)}; extract both from the same folder or "
            "manifest"
        )


def _check_columns(
    left: FeatureTable, kept: NDArray[np.int64], right: FeatureTable, matches: NDArray[np.int64]
) -> None:
    """Raise TableError if splits, groups, domains or weights differ: they decide which rows are held out."""
    for column in FURTHER_COLUMNS:
        _check_both_have(left, right, column)
        if getattr(left, column) is None:
            continue
        mine = getattr(left, column)[kept]
        other = getattr(right, column)[matches]
        if len(different := np.flatnonzero(mine != other)):
            row = different[0]
            raise TableError(
                f"image {left.name(int(kept[row]))} differs in its {column}: {_as_text(mine[row])} in "
                f"{describe_table(left)}, {_as_text(other[row])} in {describe_table(right)}; "
                "extract both from the same manifest, or set them with --annotations"
            )


def _check_both_have(left: FeatureTable, right: FeatureTable, column: str) -> None:
    for table, other in ((left, right), (right, left)):
        if getattr(table, column) is not None and getattr(other, column) is None:
            raise TableError(
                f"{describe_table(table)} has {column} but {describe_table(other)} has none; extract both from the "
                "same manifest"
            )


def _as_text(value: np.generic) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _label_names(table: FeatureTable, rows: NDArray[np.int64]) -> NDArray[np.str_]:
    """(n,): the class of each row, or an empty text if it has no label."""
    return np.array([*table.classes, ""])[table.labels[rows]]
