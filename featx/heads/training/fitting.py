"""Fits pipelines step by step to rows of a development set, with their weights and soft labels."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from featx.estimators import class_scores, fit_classifier
from featx.heads.training.development import DevelopmentSet, Target
from featx.tables import RowIndices

RowWeights: TypeAlias = NDArray[np.float64] | None
Setup: TypeAlias = Mapping[str, Any]
"""Parameters of the steps before the classifier, by their names in the pipeline."""
StepsBefore: TypeAlias = Sequence[Any]
"""The steps before the classifier, fitted or to be fitted."""


def fit_pipeline(pipeline: Pipeline, development: DevelopmentSet, rows: RowIndices) -> Pipeline:
    """A copy of the pipeline, fitted to these rows. Raises HeadError if it cannot be fitted to them."""
    fitted = clone(pipeline)
    target = development.target(rows)
    weights = development.weights(rows)
    features = _fit_steps(steps_before(fitted), development.features(rows), target, weights)
    if development.labels.multilabel:
        fitted["classifier"].fit(features, target, sample_weight=weights)
    else:
        groups = development.groups_of(rows)
        fit_classifier(fitted["classifier"], features, target, sample_weight=weights, groups=groups)
    return fitted


def held_out_scores(pipeline: Pipeline, development: DevelopmentSet) -> NDArray[np.float64]:
    """Class scores (n, classes) of all validation rows, each by a copy of the pipeline that was not fitted to it."""
    fitted = [(fit_pipeline(pipeline, development, fit), held_out) for fit, held_out in development.folds]
    return np.concatenate([development.join(class_scores(copy, development.features(rows))) for copy, rows in fitted])


def fit_setups(
    pipeline: Pipeline, setups: Sequence[Setup], development: DevelopmentSet, rows: RowIndices
) -> Iterator[tuple[StepsBefore, NDArray[np.float32]]]:
    """For each setup of a group, the fitted steps before the classifier and the rows' features after these steps.

    The setups of a group differ only in a step that can be fitted for many parameters at once: see `group_setups`.
    """
    target = development.target(rows)
    weights = development.weights(rows)
    place = _shared_step(pipeline)
    if place is None:
        for setup in setups:
            steps = steps_before(clone(pipeline).set_params(**setup))
            yield steps, _fit_steps(steps, development.features(rows), target, weights)
        return
    steps = steps_before(clone(pipeline).set_params(**setups[0]))
    features = _fit_steps(steps[:place], development.features(rows), target, weights)
    prefix = _prefix(pipeline, place)
    values = [{key.removeprefix(prefix): setup[key] for key in setup if key.startswith(prefix)} for setup in setups]
    for variant in steps[place].fit_each(features, values):
        after = [clone(step) for step in steps[place + 1 :]]
        yield [*steps[:place], variant, *after], _fit_steps(after, variant.transform(features), target, weights)


def group_setups(pipeline: Pipeline, setups: Iterable[Setup], *, parts: int = 1) -> list[list[Setup]]:
    """The setups in groups that differ only in parameters of the step that is fitted for many of them at once.

    Each group is cut into up to `parts` parts, which as many processes can try; the order does not change.
    """
    place = _shared_step(pipeline)
    groups = dict[tuple[Any, ...], list[Setup]]()
    for setup in setups:
        others = sorted(
            (key, value)
            for key, value in setup.items()
            if place is None or not key.startswith(_prefix(pipeline, place))
        )
        groups.setdefault(tuple(others), []).append(setup)
    return [part for group in groups.values() for part in _cut(group, min(parts, len(group)))]


def _cut(group: list[Setup], parts: int) -> list[list[Setup]]:
    ends = [len(group) * part // parts for part in range(parts + 1)]
    return [group[start:stop] for start, stop in pairwise(ends)]


def _shared_step(pipeline: Pipeline) -> int | None:
    """The position of the first step that can be fitted for many parameters at once; None if there is none."""
    places = [place for place, step in enumerate(steps_before(pipeline)) if hasattr(step, "fit_each")]
    return places[0] if places else None


def _prefix(pipeline: Pipeline, place: int) -> str:
    """Beginning of the names of the parameters of the step at this position."""
    return f"{pipeline.steps[place][0]}__"


def steps_before(pipeline: Pipeline) -> StepsBefore:
    """The steps before the classifier."""
    return [step for _, step in pipeline.steps[:-1]]


def _fit_steps(
    steps: StepsBefore, features: NDArray[np.float32], target: Target, weights: RowWeights
) -> NDArray[np.float32]:
    """Fit these steps, and return the features after them."""
    for step in steps:
        with np.errstate(invalid="ignore"):  # the explained share of zero variance, if all images are equal
            _fit_step(step, features, target, weights)
            features = _transform(step, features)
    return features


def transform_steps(steps: StepsBefore, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """The features after these fitted steps; the given array may be overwritten."""
    for step in steps:
        features = _transform(step, features)
    return features


def _transform(step: Any, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """The features (n, d) after the step, which overwrites the given ones if it can: nothing else needs them."""
    if not hasattr(step, "copy"):
        return np.asarray(step.transform(features))
    step.copy = False
    try:
        return np.asarray(step.transform(features))
    finally:
        step.copy = True


def _fit_step(step: Any, features: NDArray[np.float32], target: Target, weights: RowWeights) -> None:
    """Fit a step; only steps that select by class are given the target."""
    if hasattr(step, "fit_soft"):
        fit_classifier(step, features, target, sample_weight=weights)
    else:
        step.fit(features)
