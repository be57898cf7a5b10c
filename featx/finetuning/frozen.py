"""Heads on the frozen feature: those that tuning has to beat, and the linear layer that it begins at."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featx.errors import TableError
from featx.estimators import LinearScores
from featx.finetuning.preparing import AT_ONCE, FEWEST_FOLDS, Prepared
from featx.finetuning.starting import Folds, fit_start
from featx.heads import Result, order_classes, train_head
from featx.labels import Labels
from featx.measures import to_probabilities
from featx.tables import RowIndices, Split, make_folds

HEAD = "logreg"
OF_MEAN = "mean of views"
OF_ROWS = "views as rows"
"""The two heads on the frozen feature, which use the views by the rules `mean` and `rows`."""
MOST_FOLDS = 5
SMALL_FIT = 2**20
"""Numbers in a table below which a head is tuned faster than processes start."""
START_ROWS = 20_000
"""Views of images that the linear layer is fitted to before training, about; of more images, one view of each."""

Probabilities = NDArray[np.float64]
"""(rows, classes)"""


@dataclass(frozen=True)
class FrozenHeads:
    """Logistic regressions on the frozen feature, fitted to the training and validation rows of a split."""

    classes: tuple[str, ...]
    start: LinearScores
    """Of raw features of single views: what training begins at."""
    probabilities: Mapping[str, Probabilities]
    """Of the test rows of the split, by the name of the head."""
    result: Result
    """Of the head on the mean of views."""


def fit_frozen(prepared: Prepared, split: Split, *, seed: int) -> FrozenHeads:
    """Both heads, tuned in folds of the rows that they are fitted to. Raises TableError as train_head does."""
    table, rows = prepared.table, split.fitted
    folds = _folds(prepared, split, seed)
    jobs = 1 if len(rows) * table.dim < SMALL_FIT else None
    head, result = train_head(table, HEAD, split=split, tuning=f"folds:{len(folds)}", seed=seed, jobs=jobs)
    labels = labels_in(prepared, rows, head.classes)
    start = fit_start(prepared.features(rows, most=START_ROWS, seed=seed), labels, folds=folds)
    of_mean = head.predict_probabilities(table.take(split.test))
    return FrozenHeads(head.classes, start, {OF_MEAN: of_mean, OF_ROWS: _of_views(start, prepared, split.test)}, result)


def labels_in(prepared: Prepared, rows: RowIndices, classes: tuple[str, ...]) -> Labels:
    """The labels of these rows, with these classes in this order."""
    return order_classes(prepared.table.labels_of(rows), classes)


def _of_views(scores: LinearScores, prepared: Prepared, rows: RowIndices) -> Probabilities:
    """The mean over views of the probabilities of each."""
    parts = []
    for start in range(0, len(rows), AT_ONCE):
        features = prepared.features(rows[start : start + AT_ONCE])
        found = to_probabilities(scores.of(features.reshape(-1, features.shape[2])))
        parts.append(found.reshape(*features.shape[:2], -1).mean(axis=1))
    return np.concatenate(parts)


def _folds(prepared: Prepared, split: Split, seed: int) -> Folds:
    """Folds of the rows to learn from, as many as the smallest class allows. Raises TableError if that is not two."""
    for folds in range(MOST_FOLDS, FEWEST_FOLDS, -1):
        try:
            return make_folds(prepared.table, split.fitted, folds=folds, seed=seed)
        except TableError:
            continue
    return make_folds(prepared.table, split.fitted, folds=FEWEST_FOLDS, seed=seed)
