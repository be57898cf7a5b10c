"""A fitted head and a table in; metrics with their interval out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

from featx.cache import FeatureTable
from featx.errors import TableError
from featx.heads import Head
from featx.splits import check_any

RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class ClassMetrics:
    """How one class fared."""

    name: str
    n: int
    precision: float
    recall: float | None
    """None where the class has no image among those evaluated."""
    f1: float


@dataclass(frozen=True)
class HeadMetrics:
    """How a head fared on labelled rows; weighted by the images' weights where there are any."""

    n: int
    accuracy: float
    accuracy_ci: tuple[float, float]
    """95 % percentile bootstrap over the rows (Efron 1979)."""
    majority_accuracy: float
    """What naming the most frequent class of these rows would reach."""
    balanced_accuracy: float
    macro_f1: float
    log_loss: float
    per_class: tuple[ClassMetrics, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Images of row's class that were taken for column's class, unweighted."""
    weighted: bool


def evaluate_head(
    head: Head, table: FeatureTable, *, rows: NDArray[np.int64] | None = None, seed: int = 0
) -> HeadMetrics:
    """Metrics of the head on these rows of the table (default: all that have a label).

    Raises HeadError where the features are of another backbone, TableError where no row has a label or a label is none
    of the head's classes.
    """
    head.check(table.sources)
    rows = np.flatnonzero(table.labels >= 0) if rows is None else rows
    check_any(table)
    if not len(rows):
        raise TableError("no image has a label to compare with; extract from class folders or a manifest with labels")
    truth = _positions(head, table, rows)
    weights = None if table.weights is None else table.weights[rows].astype(np.float64)
    if weights is not None and not weights.sum() > 0:
        raise TableError("the weights of the evaluated images are all 0; give some of them a weight")
    return _measure(head.classes, head.predict_probabilities(table.take(rows)), truth=truth, weights=weights, seed=seed)


def _positions(head: Head, table: FeatureTable, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Labels of the rows as columns of the head's probabilities."""
    column = {name: index for index, name in enumerate(head.classes)}
    for label in np.unique(table.labels[rows]):
        if table.classes[label] not in column:
            raise TableError(
                f"class {table.classes[label]!r} is none of the head's: {', '.join(head.classes)}; leave it out"
            )
    by_label = np.array([column.get(name, -1) for name in table.classes])
    return by_label[table.labels[rows]]


def _measure(
    classes: Sequence[str],
    probabilities: NDArray[np.float64],
    *,
    truth: NDArray[np.int64],
    weights: NDArray[np.float64] | None,
    seed: int,
) -> HeadMetrics:
    columns = np.arange(len(classes))
    guess = probabilities.argmax(axis=1)
    correct = guess == truth
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, guess, labels=columns, sample_weight=weights, zero_division=0
    )
    confusion = confusion_matrix(truth, guess, labels=columns)
    counts, shares = np.bincount(truth, minlength=len(columns)), np.bincount(truth, weights, len(columns))
    seen, met = shares > 0, (shares > 0) | (np.bincount(guess, weights, len(columns)) > 0)
    return HeadMetrics(
        n=len(truth),
        accuracy=float(np.average(correct, weights=weights)),
        accuracy_ci=bootstrap_accuracy(correct, weights, seed=seed),
        majority_accuracy=float(shares.max() / shares.sum()),
        balanced_accuracy=float(recall[seen].mean()),
        macro_f1=float(f1[met].mean()),
        log_loss=float(log_loss(truth, probabilities, labels=columns, sample_weight=weights)),
        per_class=tuple(
            ClassMetrics(name, int(counts[i]), float(precision[i]), float(recall[i]) if seen[i] else None, float(f1[i]))
            for i, name in enumerate(classes)
        ),
        confusion=tuple(tuple(map(int, row)) for row in confusion),
        weighted=weights is not None,
    )


def bootstrap_accuracy(
    correct: NDArray[np.bool_], weights: NDArray[np.float64] | None = None, *, seed: int = 0
) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the (weighted) share of `correct`, from RESAMPLES draws of the rows.

    Rows that agree in weight and outcome are exchangeable, so only their counts are drawn (a multinomial): the same
    distribution as drawing rows, at a cost that does not grow with them.
    """
    weights = np.ones(len(correct)) if weights is None else weights
    kinds, counts = np.unique(np.stack([weights, correct], axis=1), axis=0, return_counts=True)
    rng = np.random.default_rng(seed)
    draws = np.array([_draw(rng, kinds, counts) for _ in range(RESAMPLES)])
    low, high = np.nanquantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _draw(rng: np.random.Generator, kinds: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    drawn = rng.multinomial(counts.sum(), counts / counts.sum())
    total = drawn @ kinds[:, 0]
    return float(drawn @ (kinds[:, 0] * kinds[:, 1]) / total) if total > 0 else np.nan
