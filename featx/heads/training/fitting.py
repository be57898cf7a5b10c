"""A pipeline and rows in; the pipeline fitted to them, step by step, weights and soft labels counting, out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from featx.estimators import fit_classifier
from featx.heads.training.development import Lesson, Target
from featx.tables import Rows

Weights: TypeAlias = NDArray[np.float64] | None
Setup: TypeAlias = Mapping[str, Any]
"""Parameters of the steps before a classifier, as the pipeline names them."""
Fitted: TypeAlias = Sequence[Any]
"""The steps before a classifier."""


def fit_pipeline(pipeline: Pipeline, lesson: Lesson, rows: Rows) -> Pipeline:
    """A copy of the pipeline, fitted to these rows of the lesson. Raises HeadError where it cannot be."""
    fitted = clone(pipeline)
    target, weights = lesson.target(rows), lesson.weights(rows)
    features = _fit_steps(steps_before(fitted), lesson.features(rows), target, weights)
    if lesson.truth.multilabel:
        fitted["classifier"].fit(features, target, sample_weight=weights)
    else:
        fit_classifier(fitted["classifier"], features, target, sample_weight=weights, groups=lesson.groups_of(rows))
    return fitted


def fit_setups(
    pipeline: Pipeline, setups: Sequence[Setup], lesson: Lesson, rows: Rows
) -> Iterator[tuple[Fitted, NDArray[np.float32]]]:
    """For each of a group of setups, the fitted steps before the classifier, and the rows' features after them."""
    about, place = (lesson.target(rows), lesson.weights(rows)), _shared(pipeline)
    if place is None:
        for setup in setups:
            steps = steps_before(clone(pipeline).set_params(**setup))
            yield steps, _fit_steps(steps, lesson.features(rows), *about)
        return
    steps = steps_before(clone(pipeline).set_params(**setups[0]))
    features = _fit_steps(steps[:place], lesson.features(rows), *about)
    of_step = pipeline.steps[place][0] + "__"
    values = [{key.removeprefix(of_step): setup[key] for key in setup if key.startswith(of_step)} for setup in setups]
    for variant in steps[place].fit_each(features, values):
        after = [clone(step) for step in steps[place + 1 :]]
        yield [*steps[:place], variant, *after], _fit_steps(after, variant.transform(features), *about)


def group_setups(pipeline: Pipeline, setups: Iterable[Setup], *, parts: int = 1) -> list[list[Setup]]:
    """The setups, in groups that differ only in parameters of the step that is fitted for many of them at once.

    Groups are cut into so many parts, as far as they go, for as many processes; their order stays the same.
    """
    place, groups = _shared(pipeline), dict[tuple[Any, ...], list[Setup]]()
    of_step = "" if place is None else pipeline.steps[place][0] + "__"
    for setup in setups:
        others = sorted((key, value) for key, value in setup.items() if not (of_step and key.startswith(of_step)))
        groups.setdefault(tuple(others), []).append(setup)
    return [part for group in groups.values() for part in _cut(group, min(parts, len(group)))]


def _cut(group: list[Setup], parts: int) -> list[list[Setup]]:
    ends = [len(group) * part // parts for part in range(parts + 1)]
    return [group[start:stop] for start, stop in pairwise(ends)]


def _shared(pipeline: Pipeline) -> int | None:
    """The place of the first step that can be fitted for many of its parameters at once."""
    places = [place for place, step in enumerate(steps_before(pipeline)) if hasattr(step, "fit_each")]
    return places[0] if places else None


def steps_before(pipeline: Pipeline) -> Fitted:
    """The steps before the classifier."""
    return [step for _, step in pipeline.steps[:-1]]


def _fit_steps(steps: Fitted, features: NDArray[np.float32], target: Target, weights: Weights) -> NDArray[np.float32]:
    """The features after these steps, which are fitted."""
    for step in steps:
        with np.errstate(invalid="ignore"):  # the explained share of no variance, where all images are alike
            _fit(step, features, target, weights)
            features = _transform(step, features)
    return features


def transform_steps(steps: Fitted, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """The features after these fitted steps."""
    for step in steps:
        features = _transform(step, features)
    return features


def _transform(step: Any, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """The features (n, d) as the step has them: in their own memory, where it can, as nobody else has them."""
    if not hasattr(step, "copy"):
        return np.asarray(step.transform(features))
    step.copy = False
    try:
        return np.asarray(step.transform(features))
    finally:
        step.copy = True


def _fit(step: Any, features: NDArray[np.float32], target: Target, weights: Weights) -> None:
    """Fit a step; one that does not look at classes is given none."""
    if hasattr(step, "fit_soft"):
        fit_classifier(step, features, target, sample_weight=weights)
    else:
        step.fit(features)
