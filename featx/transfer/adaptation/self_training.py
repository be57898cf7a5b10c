"""Self-training: a head learns from images of the target that it is sure of, with its own predictions as labels."""

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable
from featx.heads import Head, refit_head
from featx.tables import select_rows
from featx.transfer.adaptation.joined import append_rows
from featx.transfer.scores.rows import Floats, Indices

PORTIONS = (0.5, 0.8)
"""Share of the images that are predicted to be of each class, the surest first, that is learnt from in each round."""


def train_on_own_predictions(head: Head, learnt: FeatureTable, seen: FeatureTable, *, balanced: bool) -> Head:
    """The head, fitted again to the source and to the images of the target that it is surest of.

    In each round the same share of each predicted class is taken, so that easy classes do not crowd out others
    (class-balanced self-training, Zou et al. 2018, section 4.3). `learnt` and `seen` have the features that the head
    reads. Parameters and temperature stay. Raises what `refit_head` raises.
    """
    for portion in PORTIONS:
        probabilities = head.predict_proba(seen)
        sure = surest(probabilities, portion=portion)
        guesses = np.eye(len(head.classes))[probabilities[sure].argmax(axis=1)]
        shares = _in_classes(guesses, head.classes, learnt.classes)
        new = select_rows(seen, sure)
        joined = append_rows(learnt, new, classes=learnt.classes, shares=shares, how="own predictions")
        head = refit_head(head, joined, balanced=balanced)
    return head


def surest(probabilities: Floats, *, portion: float) -> Indices:
    """The rows (k,) of the highest probability among those of each predicted class: this portion, at least one."""
    guesses = probabilities.argmax(axis=1)
    surety = probabilities.max(axis=1)
    chosen = [_highest(np.flatnonzero(guesses == one), surety, portion=portion) for one in np.unique(guesses)]
    return np.sort(np.concatenate(chosen))


def _highest(rows: Indices, surety: NDArray[np.float64], *, portion: float) -> Indices:
    count = max(1, round(portion * len(rows)))
    return rows[np.argsort(-surety[rows], kind="stable")[:count]]


def _in_classes(shares: Floats, own: tuple[str, ...], classes: tuple[str, ...]) -> Floats:
    """The shares (m, own) as shares (m, classes)."""
    spread = np.zeros((len(shares), len(classes)))
    spread[:, [classes.index(name) for name in own]] = shares
    return spread
