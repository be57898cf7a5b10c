"""Joins annotations to a table by the images' names, in place of the labels and columns from the cache."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable, read_features
from featx.columns import NO_LABEL, as_name, as_texts, find_repeated
from featx.errors import TableError
from featx.hashing import hash_image_set, hash_settings
from featx.tables.annotations.reading import Annotations

logger = logging.getLogger(__name__)


def annotate(table: FeatureTable | Path | str, annotations: Annotations) -> FeatureTable:
    r"""The table, or that of the cache at this path, with the annotations' labels, splits, groups, domains and weights.

    Lines are matched by the images' names. An image without a line loses its label, so that no head is trained or
    tested on it. A warning says how many images have no line, and how many lines name an image that the table lacks.
    The digest changes with the annotations, but not with the order of their lines. Raises TableError if no line names
    an image of the table.

    >>> import featx
    >>> with open("annotations.csv", "w") as file:
    ...     print("name,label,split", "circle/000.png,round,train", "star/000.png,pointed,test", sep="\n", file=file)
    >>> table = featx.annotate(featx.read_features("photos.h5"), featx.read_annotations("annotations.csv"))
    >>> table.classes, int(table.labelled.sum())
    (('pointed', 'round'), 2)
    """
    table = table if isinstance(table, FeatureTable) else read_features(table)
    annotations = _read_backslashes(table, annotations)
    order = np.argsort(annotations.names)
    lines = order[np.searchsorted(annotations.names, table.names, sorter=order).clip(max=len(order) - 1)]
    found = annotations.names[lines] == table.names
    _check_matches(table, annotations, found)
    changed: dict[str, Any] = _join_labels(table, annotations, lines, found)
    for name, fill in (("splits", b""), ("groups", b""), ("domains", b""), ("weights", 0)):
        if (column := getattr(annotations, name)) is not None:
            changed[name] = _join(column, lines, found, fill)
    annotated = replace(table, **changed)
    return replace(annotated, digest=_digest(table, annotated))


def _read_backslashes(table: FeatureTable, annotations: Annotations) -> Annotations:
    """The annotations with slashes in the names that have Windows's backslashes and are not those of an image."""
    names = annotations.names
    odd = np.flatnonzero((np.strings.find(names, b"\\") >= 0) & ~np.isin(names, table.names))
    if not len(odd):
        return annotations
    changed = names.copy()
    changed[odd] = [as_name(name.decode().replace("\\", "/")).encode() for name in names[odd].tolist()]
    if find_repeated(changed):
        return annotations
    logger.warning("%s: backslashes in names, as in Windows, are read as slashes", annotations.where)
    return replace(annotations, names=changed)


def _digest(table: FeatureTable, annotated: FeatureTable) -> str:
    columns = (annotated.labels, annotated.shares, annotated.splits, annotated.groups, annotated.weights)
    hashed = hash_image_set(columns, annotated.domains)
    about = {"classes": annotated.classes, "multilabel": annotated.multilabel, "columns": hashed}
    return hash_settings({"annotated": table.digest, **about})


def _join_labels(
    table: FeatureTable, annotations: Annotations, lines: NDArray[np.int64], found: NDArray[np.bool_]
) -> dict[str, Any]:
    """The label fields of the annotated table, by name."""
    if not annotations.has_labels:
        shares = None if table.shares is None else np.where(found[:, None], table.shares, np.float32(np.nan))
        return {"labels": np.where(found, table.labels, np.int32(NO_LABEL)), "shares": shares}
    about = {"classes": annotations.classes, "multilabel": annotations.multilabel}
    if annotations.labels is not None:
        return about | {"labels": _join(annotations.labels, lines, found, NO_LABEL), "shares": None}
    assert annotations.shares is not None
    shares = _join(annotations.shares, lines, found, np.nan)
    labels = np.full(len(table), NO_LABEL, np.int32)
    if not annotations.multilabel:
        known = np.isfinite(shares).all(axis=1)
        labels[known] = shares[known].argmax(axis=1)
    return about | {"labels": labels, "shares": shares}


def _join(values: NDArray[Any], lines: NDArray[np.int64], found: NDArray[np.bool_], fill: object) -> NDArray[Any]:
    """The value of each image's line; `fill` for images without a line."""
    joined = values[lines]
    joined[~found] = fill
    return joined


def _check_matches(table: FeatureTable, annotations: Annotations, found: NDArray[np.bool_]) -> None:
    """Warn of lines without an image and of images without a line. Raises TableError if no line has an image."""
    if not found.any():
        raise TableError(
            f"{annotations.where}: none of its {len(annotations)} lines names an image of the table: the first is "
            f"{annotations.name(0)!r} in the file but {table.name(0)!r} in the table; use the names of the cache"
        )
    failed = as_texts([image.name for image in table.failed.values()])
    unknown = annotations.names[~np.isin(annotations.names, np.concatenate([table.names, failed]))]
    if len(unknown):
        logger.warning(
            "%s: %d lines name images that the table does not have, such as %s",
            annotations.where,
            len(unknown),
            unknown[0].decode(),
        )
    unlisted = np.flatnonzero(~found)
    if len(unlisted):
        logger.warning(
            "%s: %d of %d images have no line, and so no label, such as %s",
            annotations.where,
            len(unlisted),
            len(table),
            table.name(int(unlisted[0])),
        )
