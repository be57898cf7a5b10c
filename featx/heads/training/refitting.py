"""Fits a head again, with the parameters that it has, to other rows than those that it was tuned on."""

from dataclasses import replace

import numpy as np
from threadpoolctl import threadpool_limits

from featx.cache import FeatureTable
from featx.heads.head import Head
from featx.heads.training.development import DevelopmentSet, drop_absent_classes
from featx.heads.training.fitting import fit_pipeline
from featx.tables import as_table, eligible_rows, select_rows


def refit_head(head: Head, table: FeatureTable, *, balanced: bool = False) -> Head:
    """The head with its parameters and temperature, fitted to all labelled rows of this table with a weight above 0.

    The table has the columns that the head reads; a table at view 0 of a cache with the head's views is read as the
    head reads it. With `balanced` all classes have the same total weight. Nothing is measured: `training` stays what it
    was.

    Raises TableError if fewer than two classes are left, HeadError if the table has other features than the head reads,
    and HeadError and ConvergenceError as `train_head` does.

    >>> import featx
    >>> from featx.heads import refit_head
    >>> table = featx.read_features("photos.h5")
    >>> head, _ = featx.train_head(table, "class-mean", jobs=1)
    >>> refit_head(head, table).params == head.params
    True
    """
    table = as_table(table, sources=head.sources)
    head.check(table.sources)
    chosen = select_rows(table, eligible_rows(table).rows)
    rows = np.arange(len(chosen))
    labels = drop_absent_classes(chosen.labels_of(rows))
    development = DevelopmentSet(chosen, labels, chosen.groups, folds=(), final_rows=rows, balanced=balanced)
    # BLAS threads that wait for each other make a small fit many times slower
    with threadpool_limits(None if development.large else 1):
        pipeline = fit_pipeline(head.pipeline, development, rows)
    return replace(head, classes=labels.classes, pipeline=pipeline)
