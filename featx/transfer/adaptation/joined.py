"""Tables that adaptation makes: with other features, and with rows of two domains one after another."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable, Part
from featx.hashing import hash_settings
from featx.transfer.scores.rows import Floats

ROWS_AT_ONCE = 4096
"""Rows whose features are in memory at a time, beside those that are kept."""

Features = NDArray[np.float32]


def map_rows(table: FeatureTable, change: Callable[[Features], NDArray[Any]]) -> Features:
    """The features (n, d) of all rows after a change of rows (b, d), as float32."""
    changed = np.empty((len(table), table.dim), np.float32)
    for start in range(0, len(table), ROWS_AT_ONCE):
        rows = np.arange(start, min(start + ROWS_AT_ONCE, len(table)))
        changed[rows] = change(table.take(rows))
    return changed


def with_features(table: FeatureTable, features: Features, *, how: str) -> FeatureTable:
    """The table with these features (n, d) in place of its own; `how` they came about is part of its digest."""
    parts = tuple(Part(features[:, source.start : source.stop]) for source in table.sources)
    return replace(table, parts=parts, digest=hash_settings({"of": table.digest, "features": how}))


def without_labels(table: FeatureTable) -> FeatureTable:
    """The table as if no image of it had a label: what a method is given that must not see labels."""
    shares = None if table.shares is None else np.full_like(table.shares, np.nan)
    return replace(table, labels=np.full_like(table.labels, -1), shares=shares)


def append_rows(
    table: FeatureTable, other: FeatureTable, *, classes: Sequence[str], shares: Floats, how: str
) -> FeatureTable:
    """The rows of the table, then those of the other one, which has the same columns.

    `classes` are those of the new table, among them all of the first one, and `shares` (m, classes) are the labels of
    the other rows. Labels stay classes unless some image has soft labels. Images of one group stay together; an image
    without one is a group of its own if others have groups. Neither table's own split remains.
    """
    soft = table.shares is not None or bool(((shares > 0) & (shares < 1)).any())
    codes = np.concatenate([_codes(table, classes), shares.argmax(axis=1)]).astype(np.int32)
    features = np.vstack([map_rows(one, lambda rows: rows) for one in (table, other)])
    joined = replace(
        table,
        names=np.concatenate([table.names, np.char.add(b"target/", other.names)]),
        classes=tuple(classes),
        labels=codes,
        shares=np.vstack([_shares(table, classes), shares]).astype(np.float32) if soft else None,
        splits=None,
        groups=_join_groups(table, other),
        domains=None,
        weights=_join_weights(table, other),
        positions=np.arange(len(table) + len(other)),
        failed={},
    )
    return with_features(joined, features, how=f"{how}: {other.digest}")


def _codes(table: FeatureTable, classes: Sequence[str]) -> NDArray[np.int64]:
    """(n,): positions of the labels in these classes; -1 for none."""
    place = np.array([*(list(classes).index(name) for name in table.classes), -1])
    return np.asarray(place[table.labels])


def _shares(table: FeatureTable, classes: Sequence[str]) -> Floats:
    """(n, classes): the share of each class in each row; NaN for rows without a label."""
    found = np.zeros((len(table), len(classes)))
    place = np.array([list(classes).index(name) for name in table.classes], np.int64)
    known = np.flatnonzero(table.labelled)
    found[np.ix_(known, place)] = table.labels_of(known).shares
    found[~table.labelled] = np.nan
    return found


def _join_groups(table: FeatureTable, other: FeatureTable) -> NDArray[np.bytes_] | None:
    if table.groups is None and other.groups is None:
        return None
    each = [one.groups if one.groups is not None else np.char.add(b"image/", one.names) for one in (table, other)]
    return np.concatenate(each)


def _join_weights(table: FeatureTable, other: FeatureTable) -> NDArray[np.float32] | None:
    if table.weights is None and other.weights is None:
        return None
    each = [np.ones(len(one), np.float32) if one.weights is None else one.weights for one in (table, other)]
    return np.concatenate(each)
