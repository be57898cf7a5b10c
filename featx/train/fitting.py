"""A pipeline and rows in; the pipeline fitted to them, step by step, weights and soft labels counting, out."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from featx.estimators import fit_classifier
from featx.splits import Rows
from featx.train.lesson import Lesson, Target

Weights = NDArray[np.float64] | None


def fit_pipeline(pipeline: Pipeline, lesson: Lesson, rows: Rows) -> Pipeline:
    """A copy of the pipeline, fitted to these rows of the lesson. Raises HeadError where it cannot be."""
    fitted = clone(pipeline)
    target, weights = lesson.target(rows), lesson.weights(rows)
    features = fit_before(fitted, lesson.features(rows), target, weights)
    if lesson.truth.multilabel:
        fitted["classifier"].fit(features, target, sample_weight=weights)
    else:
        fit_classifier(fitted["classifier"], features, target, sample_weight=weights, groups=lesson.groups_of(rows))
    return fitted


def fit_before(
    pipeline: Pipeline, features: NDArray[np.float32], target: Target, weights: Weights
) -> NDArray[np.float32]:
    """The features as the classifier of the pipeline is given them, once the steps before it are fitted."""
    for _, step in pipeline.steps[:-1]:
        with np.errstate(invalid="ignore"):  # the explained share of no variance, where all images are alike
            _fit(step, features, target, weights)
            features = _transform(step, features)
    return features


def transform_before(pipeline: Pipeline, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """The features as the classifier of the fitted pipeline is given them."""
    for _, step in pipeline.steps[:-1]:
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
