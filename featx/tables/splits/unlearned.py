"""Leaves out of tests the images that a fine-tuned backbone learned from."""

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable
from featx.errors import TableError
from featx.tables.splits.split import RowIndices, Split

logger = logging.getLogger(__name__)


def learned_rows(table: FeatureTable) -> NDArray[np.bool_] | None:
    """(n,): whether a backbone of the table learned from the image, or from another one of its group; None if none did.

    >>> import featx
    >>> from featx.tables import learned_rows
    >>> learned_rows(featx.read_features("photos.h5")) is None
    True
    """
    learned = table.learned
    if learned is None or not learned.any():
        return None
    return learned if table.groups is None else np.isin(table.groups, table.groups[learned])


def tuned_names(table: FeatureTable) -> str:
    """The names of the fine-tuned backbones of the table, for messages."""
    return " and ".join(dict.fromkeys(source.name for source in table.sources if source.card.get("tuned")))


def without_learned(table: FeatureTable, splits: Sequence[Split]) -> list[Split]:
    """The splits without those test images that a backbone of the table learned from; these are in no part.

    Raises TableError if no test image of a split is left.
    """
    learned = learned_rows(table)
    if learned is None:
        return list(splits)
    _warn(table, splits, learned)
    return [_leave_out(table, split, learned) for split in splits]


def unlearned_of(table: FeatureTable, rows: RowIndices) -> RowIndices:
    """Those of these rows from whose images, and groups, no backbone of the table learned."""
    learned = learned_rows(table)
    return rows if learned is None else rows[~learned[rows]]


def _leave_out(table: FeatureTable, split: Split, learned: NDArray[np.bool_]) -> Split:
    test = split.test[~learned[split.test]]
    left_out = len(split.test) - len(test)
    if not left_out:
        return split
    if not len(test):
        raise TableError(
            f"{split.rule}: {tuned_names(table)} learned from all {left_out} test images; test it on images that it "
            "has not seen, which `featx backbones show` tells how to draw"
        )
    rule = f"{split.rule}; without {left_out} images that {tuned_names(table)} learned from"
    return replace(split, test=test, rule=rule)


def _warn(table: FeatureTable, splits: Sequence[Split], learned: NDArray[np.bool_]) -> None:
    """Say how many test images are left out, and that validation images were seen."""
    name = tuned_names(table)
    tested = sum(len(split.test) for split in splits)
    left_out = sum(int(learned[split.test].sum()) for split in splits)
    if left_out:
        where = "the test images" if len(splits) == 1 else f"test images in {len(splits)} splits"
        logger.warning(
            "%s learned from %d of the %d %s; no backbone is tested or trained on these",
            name,
            left_out,
            tested,
            where.removeprefix("the "),
        )
    if len(table.sources) > 1 and any(learned[split.validation].any() for split in splits):
        logger.warning(
            "%s learned from validation images, so that it looks better on them than it is; go by the test images", name
        )
