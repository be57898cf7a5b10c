"""A fitted head and a table in; its measures with their intervals out."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable
from featx.errors import TableError
from featx.heads.head import Head
from featx.labels import Labels
from featx.measures import HeadMetrics, measure
from featx.tables import check_any

ROWS_AT_ONCE = 4096
"""Of a table, to be scored."""


def evaluate_head(
    head: Head, table: FeatureTable, *, rows: NDArray[np.int64] | None = None, seed: int = 0
) -> HeadMetrics:
    """Measures of the head on these rows of the table (default: all that are labelled).

    Intervals are those of a bootstrap over the rows, or over whole groups where the table has some. Raises HeadError
    where the features are of another backbone, TableError where no row is labelled, a label is none of the head's
    classes, or head and table have one label an image and several.
    """
    rows = np.flatnonzero(table.labelled) if rows is None else rows
    check_any(table)
    if not len(rows):
        raise TableError("no image has a label to compare with; extract from class folders or a manifest with labels")
    if head.multilabel != table.multilabel:
        kinds = [("one label", "several labels")[several] for several in (head.multilabel, table.multilabel)]
        raise TableError(
            f"head {head.name!r} gives {kinds[0]} an image but these images have {kinds[1]}; annotate them"
        )
    return measure(predict_rows(head, table, rows), order_classes(table.labels_of(rows), head.classes), seed=seed)


def predict_rows(head: Head, table: FeatureTable, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n, classes): the probabilities that the head gives these rows, read some at a time.

    Raises HeadError where the features are of another backbone, NaN or infinite.
    """
    head.check(table.sources)
    starts = range(0, len(rows), ROWS_AT_ONCE)
    return np.vstack([head.predict_probabilities(table.take(rows[start : start + ROWS_AT_ONCE])) for start in starts])


def order_classes(truth: Labels, classes: Sequence[str]) -> Labels:
    """The same truth with these classes, in this order, as a head's probabilities have them.

    Raises TableError where an image is of a class that is none of them.
    """
    if truth.classes == tuple(classes):
        return truth
    column = {name: index for index, name in enumerate(classes)}
    for label in _present(truth):
        if (name := truth.classes[label]) not in column:
            raise TableError(f"class {name!r} is none of the head's: {', '.join(classes)}; leave it out")
    position = np.array([column.get(name, -1) for name in truth.classes])
    codes = np.where(truth.codes >= 0, position[truth.codes], -1)
    return replace(truth, classes=tuple(classes), codes=codes, given_shares=_columns(truth, position, len(classes)))


def _present(truth: Labels) -> NDArray[np.int64]:
    """The classes that some image is of."""
    if truth.given_shares is None:
        return np.unique(truth.codes)
    return np.flatnonzero((truth.given_shares > 0).any(axis=0))


def _columns(truth: Labels, position: NDArray[np.int64], classes: int) -> NDArray[np.float64] | None:
    if truth.given_shares is None:
        return None
    given, known = np.zeros((len(truth), classes)), position >= 0
    given[:, position[known]] = truth.given_shares[:, known]
    return given
