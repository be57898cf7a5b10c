"""Heads as sources of parameters: linear scores of the target's classes, matched by name, on the target's features."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable, Source, identify_source, label_sources
from featx.errors import HeadError
from featx.estimators import (
    NO_CHANCE,
    DomainStandardiser,
    FeatureScaler,
    LinearClassifier,
    LinearScores,
    fold_steps,
)
from featx.heads import Head
from featx.showing import shorten

ANY_LINEAR = "logreg"
"""The head that can be drawn towards any linear head, because scores over temperature are log odds in all of them."""
DRAWN_HEADS = (ANY_LINEAR, "ridge", "linear-svm")
"""The heads that can be drawn towards others."""


@dataclass(frozen=True, eq=False)
class LinearSource:
    """A head of other images, as scores that are linear in the features of the target."""

    head: Head
    scores: LinearScores
    """In the order of the target's classes; 0 for classes that the head does not know."""
    known: tuple[bool, ...]
    """For each class of the target, whether the head knows it."""
    normalises: bool
    """Whether the features are brought to length 1 before."""
    standardised: LinearScores | None = None
    """The scores of features that were first given the mean and scale that each column has in the source; None if the
    head does not know these."""

    @property
    def variants(self) -> tuple[LinearScores, ...]:
        """The scores to draw heads towards: standardised ones first, if there are any, then as they are."""
        return (self.scores,) if self.standardised is None else (self.standardised, self.scores)

    @property
    def doubt(self) -> str:
        """Why it cannot help anybody: it is not better than chance on test images of its own. Else empty."""
        metrics = self.head.training.get("metrics") or {}
        value, chance = metrics.get("balanced_accuracy"), 1 / len(self.head.classes)
        if value is None:
            return ""
        low, high = metrics.get("balanced_accuracy_ci") or (value, value)
        measured = f"{value:.3f} ({low:.3f} to {high:.3f})"
        return (
            ""
            if low > chance
            else f"its balanced accuracy on test images of its own, {measured}, is not above chance, {chance:.3f}"
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of the head that have coefficients."""
        return self.head.classes

    @property
    def backbones(self) -> tuple[str, ...]:
        """The backbones of its features."""
        return tuple(label_sources(self.head.sources))

    @property
    def digest(self) -> str:
        """The sha256 of its classes and scores."""
        found = hashlib.sha256("\0".join(self.head.classes).encode())
        found.update(self.scores.coefficients.tobytes() + self.scores.intercepts.tobytes())
        return found.hexdigest()


def linear_source(
    head: Head, table: FeatureTable, *, classes: Sequence[str], name: str, seen: NDArray[np.float32] | None = None
) -> LinearSource:
    """The head as a source of parameters for the head `name` of a table with these classes.

    `seen` (m, d) are features of the target, of images with or without labels; without them it is not standardised.

    Raises HeadError if its features are of other backbones, if its scores are not linear in them, if they are in other
    units than those of the target, or if it shares fewer than two classes with the target.
    """
    _check_backbones(head, table.sources)
    steps = [step for _, step in head.pipeline.steps[:-1]]
    normalises = _normalises(steps)
    scores = _scores(head, steps[1:] if normalises else steps, name=name)
    has_weight = scores.intercepts > NO_CHANCE / 2
    places = [_place(head, label, has_weight) for label in classes]
    known = tuple(place is not None for place in places)
    if sum(known) < 2:
        raise HeadError(
            f"the source head {head.name!r} knows {shorten(head.classes)}, the target has {shorten(classes)}; classes "
            "are matched by name and two must be the same, so rename them with --annotations, or leave the source out"
        )
    match = partial(_matched, head=head, places=places, known=known, name=name)
    adapter = None if seen is None else _standardiser(steps, seen)
    standardised = None if adapter is None else match(fold_steps([adapter], scores))
    return LinearSource(head, match(scores), known, normalises, standardised)


def _matched(
    scores: LinearScores, *, head: Head, places: Sequence[int | None], known: Sequence[bool], name: str
) -> LinearScores:
    """The scores of the classes of the target, in the units of the head `name`."""
    unit = _unit(len(scores.intercepts), len(places), name)
    if name != ANY_LINEAR:
        return scores.take(places).times(unit)
    return _centred(scores.take(places).times(unit / head.temperature), known)


def _standardiser(steps: Sequence[Any], seen: NDArray[np.float32]) -> DomainStandardiser | None:
    """What gives columns of the target the mean and scale of the source; None if the first step does not know them."""
    first = steps[0] if steps else None
    if not isinstance(first, FeatureScaler) or first.how not in ("none", "standardise") or not hasattr(first, "mean_"):
        return None
    return DomainStandardiser().fit_to_scaler(first, seen)


def _check_backbones(head: Head, sources: Sequence[Source]) -> None:
    if [(one.name, one.kind) for one in head.sources] != [(one.name, one.kind) for one in sources]:
        own, other = (" + ".join(map(identify_source, each)) for each in (head.sources, sources))
        raise HeadError(
            f"the source head {head.name!r} reads features of {own}, the target has features of {other}; extract the "
            "target with the backbones and outputs of the source, in that order, and read it with the same views"
        )


def _normalises(steps: Sequence[Any]) -> bool:
    """Whether the first step brings rows to length 1, which the head of the target can do too."""
    return bool(steps) and isinstance(steps[0], FeatureScaler) and steps[0].how == "l2"


def _scores(head: Head, steps: Sequence[Any], *, name: str) -> LinearScores:
    """The scores of features before these steps. Raises HeadError if there are no linear ones, or none in its units."""
    classifier = head.pipeline["classifier"]
    if head.multilabel or not isinstance(classifier, LinearClassifier):
        what = "gives images several labels" if head.multilabel else "has no coefficients of features"
        raise HeadError(
            f"the source head {head.name!r} {what}, so nothing can be drawn towards it; train the source with "
            f"--head {name} and one label for each image, or use its images with --pool"
        )
    try:
        folded = fold_steps(steps, classifier.held())
    except HeadError as error:
        raise HeadError(
            f"the source head {head.name!r} cannot be moved to other features: {error}; train the source with "
            f"--head {name} and without a fusion"
        ) from error
    if name not in (ANY_LINEAR, head.name):
        raise HeadError(
            f"the source head is {head.name!r}, whose scores are in other units than those of {name!r}; train the "
            f"target with --head {ANY_LINEAR}, which takes any linear head, or the source with --head {name}"
        )
    return folded


def _place(head: Head, label: str, has_weight: Any) -> int | None:
    """The position of a class in the head; None if it does not know the class."""
    place = head.classes.index(label) if label in head.classes else None
    return place if place is not None and has_weight[place] else None


def _unit(own: int, other: int, name: str) -> float:
    """What scores of a head of `own` classes are multiplied by: those of two classes are halves of one margin."""
    if name == ANY_LINEAR or (own == 2) == (other == 2):
        return 1.0
    return 2.0 if own == 2 else 0.5


def _centred(scores: LinearScores, known: Sequence[bool]) -> LinearScores:
    """The scores minus their mean over the known classes, which log odds allow: a new class then begins at the mean."""
    rows = np.flatnonzero(known)
    coefficients, intercepts = scores.coefficients.copy(), scores.intercepts.copy()
    coefficients[rows] -= coefficients[rows].mean(axis=0)
    intercepts[rows] -= intercepts[rows].mean()
    return LinearScores(coefficients, intercepts)
