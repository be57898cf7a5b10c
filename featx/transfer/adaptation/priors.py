"""Corrects the class probabilities of a head for a target whose classes have other shares than those of the source."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from sklearn.pipeline import Pipeline

from featx.cache import FeatureTable
from featx.errors import ChoiceError, did_you_mean
from featx.estimators import PriorShift
from featx.heads import Head
from featx.measures import em_shares
from featx.showing import shorten
from featx.tables import RowIndices
from featx.transfer.scores.rows import Floats

LEAST = 1e-6
"""A class with a smaller share in the target is taken to have this one, so that its probability stays a number."""
MOST_TEMPERATURE = 3.0
"""A higher one, as of few and unlike validation images, makes all classes alike, so that shares alone would decide."""
TOTAL = 1e-3
"""How far from 1 given shares may sum, since people round them."""


def check_shares(given: Mapping[str, float], classes: Sequence[str]) -> dict[str, float]:
    """The share of each of these classes, 0 for those that are not given, with the sum 1.

    Raises ChoiceError for a class that the source lacks, for shares below 0, and for a sum far from 1.
    """
    for name, share in given.items():
        if name not in classes:
            raise ChoiceError(
                f"the source has no class {name!r}{did_you_mean(name, classes)}, so that no share of it can be used; "
                f"choose from {shorten(classes)}"
            )
        if not share >= 0:
            raise ChoiceError(f"the share of class {name!r} is {share:g}; give 0 or more")
    total = sum(given.values())
    if not abs(total - 1) <= TOTAL:
        raise ChoiceError(f"the shares of the target's classes sum to {total:g}; they must sum to 1")
    return {name: given.get(name, 0.0) / total for name in classes}


def learnt_shares(head: Head, table: FeatureTable, rows: RowIndices, *, balanced: bool) -> Floats:
    """(classes of the head,): the share of each class among the rows that it learnt from, as it counted them."""
    if balanced:
        return np.full(len(head.classes), 1 / len(head.classes))
    totals = dict(zip(table.classes, table.labels_of(rows).class_totals, strict=True))
    found = np.array([totals[name] for name in head.classes])
    return np.asarray(found / found.sum())


def correct_prior(head: Head, learnt: Floats, shares: Floats) -> Head:
    """The head whose probabilities are multiplied by shares (classes,) of the target / shares that it learnt."""
    ratio = np.log(np.maximum(shares, LEAST) / learnt)
    *steps, (name, classifier) = head.pipeline.steps
    # scores are divided by the temperature before they become probabilities
    shifted = PriorShift(classifier, ratio * min(head.temperature, MOST_TEMPERATURE))
    return replace(head, pipeline=Pipeline([*steps, (name, shifted)]))


def estimate_shares(head: Head, learnt: Floats, seen: FeatureTable) -> Floats:
    """(classes of the head,): the shares of classes among images without labels, by EM from the head's predictions."""
    return em_shares(head.predict_proba(seen), learnt)


def describe_shares(head: Head, shares: Floats) -> str:
    """Each class with its share in percent."""
    return shorten(f"{name} {share:.0%}" for name, share in zip(head.classes, shares, strict=True))
