"""Measures a fitted head on a table, with intervals."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable
from featx.errors import TableError
from featx.heads.head import ROWS_AT_ONCE, Head
from featx.labels import Labels
from featx.measures import HeadMetrics, measure
from featx.tables import GivenTables, as_table, check_not_empty


def evaluate_head(
    head: Head, table: GivenTables, *, rows: NDArray[np.int64] | None = None, seed: int = 0
) -> HeadMetrics:
    """The measures of the head on these rows of the table (default: all labelled rows), with 95 % intervals.

    **By default the rows that the head was trained on count too, and make it look better than it is.** On the table
    of its training, give the rows of its test images, as the second example does; `featx evaluate` finds them by
    itself. The default is right for images that the head has never seen.

    Intervals come from a bootstrap over the rows, or over whole groups if the table has groups. Raises HeadError if the
    features are of another backbone; TableError if no row has a label, if a label is not one of the head's classes, or
    if only one of head and table is multi-label.

    >>> import featx
    >>> head, table = featx.load_head("photos.featx"), featx.read_features("photos.h5")
    >>> metrics = featx.evaluate_head(head, table)
    >>> metrics.n, metrics.majority_accuracy, [found.name for found in metrics.per_class][:2]
    (60, 0.2, ['circle', 'cross'])

    Only the test images:

    >>> split = featx.make_splits(table)[0]
    >>> head, _ = featx.train_head(table, "class-mean", split=split, jobs=1)
    >>> featx.evaluate_head(head, table, rows=split.test).n
    15
    """
    table = as_table(table, sources=head.sources)
    rows = rows_to_measure(head, table, rows)
    probabilities, labels = predict_rows(head, table, rows)
    return measure(probabilities, labels, seed=seed)


def rows_to_measure(head: Head, table: FeatureTable, rows: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """These rows, or all labelled ones. Raises TableError if there are none, or if their labels are of another kind."""
    rows = np.flatnonzero(table.labelled) if rows is None else rows
    check_not_empty(table)
    if not len(rows):
        raise TableError("no image has a label to compare with; extract from class folders or a manifest with labels")
    if head.multilabel != table.multilabel:
        raise TableError(
            f"head {head.name!r} predicts {_label_count(head.multilabel)} per image, but these images have "
            f"{_label_count(table.multilabel)}; give other labels with --annotations"
        )
    return rows


def _label_count(multilabel: bool) -> str:
    return "any number of labels" if multilabel else "one label"


def predict_rows(head: Head, table: FeatureTable, rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], Labels]:
    """The head's probabilities (n, classes) of these labelled rows, and their labels in the order of its classes.

    Raises HeadError if features are of another backbone, NaN or infinite; TableError if a label is not one of the
    head's classes.
    """
    table = as_table(table, sources=head.sources)
    head.check(table.sources)
    starts = range(0, len(rows), ROWS_AT_ONCE)
    parts = [head.predict_probabilities(table.take(rows[start : start + ROWS_AT_ONCE])) for start in starts]
    return np.vstack(parts), order_classes(table.labels_of(rows), head.classes)


def order_classes(labels: Labels, classes: Sequence[str]) -> Labels:
    """The labels with these classes in this order. Raises TableError if an image has another class."""
    if labels.classes == tuple(classes):
        return labels
    column = {name: index for index, name in enumerate(classes)}
    for index in _present_classes(labels):
        name = labels.classes[index]
        if name not in column:
            raise TableError(
                f"class {name!r} is not one of the head's classes, {', '.join(classes)}; leave its images out"
            )
    position = np.array([column.get(name, -1) for name in labels.classes])
    return replace(
        labels,
        classes=tuple(classes),
        codes=np.where(labels.codes >= 0, position[labels.codes], -1),
        given_shares=_order_shares(labels, position, len(classes)),
    )


def _present_classes(labels: Labels) -> NDArray[np.int64]:
    """The positions of the classes that some image has."""
    if labels.given_shares is None:
        return np.unique(labels.codes)
    return np.flatnonzero((labels.given_shares > 0).any(axis=0))


def _order_shares(labels: Labels, position: NDArray[np.int64], classes: int) -> NDArray[np.float64] | None:
    if labels.given_shares is None:
        return None
    shares = np.zeros((len(labels), classes))
    known = position >= 0
    shares[:, position[known]] = labels.given_shares[:, known]
    return shares
