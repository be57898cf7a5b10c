"""Uncertain images: those of which a head does not know the class."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable
from featx.estimators import FeatureScaler, SoftmaxRegression
from featx.heads import Head
from featx.tables import select_rows
from featx.transfer.labelling.pool import Pool, Turns

STRONG_L2 = 100.0
"""Penalty of the head that is trained on the labels so far, strong enough for few images."""
ROWS_AT_ONCE = 4_096


@dataclass(frozen=True)
class Doubts:
    """What a head says about the images of a pool."""

    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]
    """(m, classes)"""
    multilabel: bool
    """Whether each class has a probability of its own, so that they do not sum to 1."""

    @property
    def degrees(self) -> NDArray[np.float64]:
        """(m,): 1 minus the margin between the two most probable classes (Scheffer, Decomain and Wrobel 2001).

        0 if the head is sure of the class, 1 if two are as probable. Of several labels, that of the class of which it
        is the least sure.
        """
        if self.multilabel:
            return np.asarray(1 - np.abs(2 * self.probabilities - 1).min(axis=1))
        ordered = np.sort(self.probabilities, axis=1)
        return np.asarray(1 - (ordered[:, -1] - ordered[:, -2]))

    def text(self, place: int) -> str:
        """The two classes between which the head is most in doubt, with their probabilities: `circle .41, star .39`."""
        own = self.probabilities[place]
        order = np.argsort(np.abs(own - 0.5) if self.multilabel else -own, kind="stable")[:2]
        names = [self.classes[one] for one in order.tolist()]
        if any(name[-1:].isdigit() for name in names):
            names = [f"'{name}'" for name in names]
        return ", ".join(f"{name} {_decimals(own[one])}" for name, one in zip(names, order.tolist(), strict=True))


def _decimals(probability: float) -> str:
    return f"{probability:.2f}".removeprefix("0") if probability < 1 else "1"


def doubts_of_head(head: Head, pool: Pool) -> Doubts:
    """What this head says. Raises HeadError if the features are not of the backbones that it was trained on."""
    probabilities = _in_order(pool, lambda rows: head.predict_proba(select_rows(pool.table, rows)))
    return Doubts(head.classes, probabilities, head.multilabel)


def _in_order(pool: Pool, probabilities_of: Callable[[NDArray[np.int64]], NDArray[np.float64]]) -> NDArray[np.float64]:
    """(m, classes): the probabilities of the images of the pool, whose features are read in the order of the table."""
    order = np.argsort(pool.rows)
    starts = range(0, len(order), ROWS_AT_ONCE)
    found = np.vstack([probabilities_of(pool.rows[order[start : start + ROWS_AT_ONCE]]) for start in starts])
    ordered = np.empty_like(found)
    ordered[order] = found
    return ordered


def can_be_learnt(table: FeatureTable) -> bool:
    """Whether the labels so far are enough for a head: one label for an image, and two classes or more."""
    return not table.multilabel and len(np.unique(_labels_of(table)[1])) > 1


def doubts_of_labels(pool: Pool) -> Doubts:
    """What logistic regression says that is fitted to the labels so far, on standardised features.

    A soft label counts as the class with the largest share. Raises ConvergenceError.
    """
    table = pool.table
    rows, codes = _labels_of(table)
    present, numbers = np.unique(codes, return_inverse=True)
    scaler = FeatureScaler("standardise")
    weights = None if table.weights is None else table.weights[rows]
    # as shares: scikit-learn warns of few labels for many classes
    model = SoftmaxRegression(STRONG_L2)
    model.fit_soft(scaler.fit_transform(table.take(rows)), np.eye(len(present))[numbers], sample_weight=weights)
    probabilities = _in_order(pool, lambda some: model.predict_proba(scaler.transform(table.take(some))))
    return Doubts(tuple(table.classes[code] for code in present.tolist()), probabilities, multilabel=False)


def _labels_of(table: FeatureTable) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows that have a label and a weight above 0, and the number of the class of each."""
    weighted = np.ones(len(table), bool) if table.weights is None else table.weights > 0
    rows = np.flatnonzero(table.labelled & weighted)
    return rows, table.labels_of(rows).codes


def suggest_uncertain(pool: Pool, turns: Turns, *, doubts: Doubts, count: int) -> Iterator[tuple[int, str]]:
    """The images of which the head is the least sure, the most uncertain first."""
    degrees = doubts.degrees
    for _ in range(count):
        place = int(np.where(turns.allowed(), degrees, -np.inf).argmax())
        turns.take(place)
        yield place, f"the head is unsure: {doubts.text(place)}"
