"""A table and annotations in; the table with what they say of its images out."""

import logging
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable
from featx.columns import NO_LABEL, as_texts
from featx.errors import TableError
from featx.hashing import hash_columns, hash_settings
from featx.tables.annotations.reading import Annotations

logger = logging.getLogger(__name__)


def annotate(table: FeatureTable, annotations: Annotations) -> FeatureTable:
    """The table with what the annotations say in place of what the cache said, joined by the images' names.

    An image without a line takes no part: it keeps no label. How many these are, and lines whose image the table lacks,
    is logged as a warning. The digest is another one, whatever the order of the lines. Raises TableError where no line
    names an image of the table.
    """
    order = np.argsort(annotations.names)
    lines = order[np.searchsorted(annotations.names, table.names, sorter=order).clip(max=len(order) - 1)]
    found = annotations.names[lines] == table.names
    _tell(table, annotations, found)
    changed: dict[str, Any] = _labels(table, annotations, lines, found)
    for name, fill in (("splits", b""), ("groups", b""), ("weights", 0)):
        if (column := getattr(annotations, name)) is not None:
            changed[name] = _join(column, lines, found, fill)
    made = replace(table, **changed)
    of_images = (made.labels, made.shares, made.splits, made.groups, made.weights)
    said = {"classes": made.classes, "multilabel": made.multilabel, "columns": hash_columns(of_images)}
    return replace(made, digest=hash_settings({"annotated": table.digest, **said}))


def _labels(
    table: FeatureTable, annotations: Annotations, lines: NDArray[np.int64], found: NDArray[np.bool_]
) -> dict[str, Any]:
    if not annotations.labelling:
        unlisted = None if table.shares is None else np.where(found[:, None], table.shares, np.float32(np.nan))
        return {"labels": np.where(found, table.labels, np.int32(NO_LABEL)), "shares": unlisted}
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
    joined = values[lines]
    joined[~found] = fill
    return joined


def _tell(table: FeatureTable, annotations: Annotations, found: NDArray[np.bool_]) -> None:
    where, failed = annotations.where, as_texts([image.name for image in table.failed.values()])
    strange = annotations.names[~np.isin(annotations.names, np.concatenate([table.names, failed]))]
    if not found.any():
        raise TableError(
            f"{where}: none of its {len(annotations)} lines names an image of the table: the first is "
            f"{annotations.name(0)!r} there and {table.name(0)!r} in the table; name images as the cache does"
        )
    if len(strange):
        logger.warning(
            "%s: %d lines name images that the table does not have, such as %s",
            where,
            len(strange),
            strange[0].decode(),
        )
    if unlisted := int(np.sum(~found)):
        first = table.name(int(np.flatnonzero(~found)[0]))
        logger.warning(
            "%s: %d of %d images have no line and take no part, such as %s", where, unlisted, len(table), first
        )
