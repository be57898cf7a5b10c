"""A table and the name of a head in; the head, tuned and fitted on training rows, and its result on test rows out."""

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import Pipeline
from sklearn.utils.parallel import Parallel, delayed

from featx.cache import FeatureTable, label_sources
from featx.errors import HeadError, TableError
from featx.evaluate import evaluate_head
from featx.heads import Head, HeadRecipe, find_recipe
from featx.measures import HeadMetrics
from featx.provenance import usable_cores, versions
from featx.results import Result
from featx.splits import Rows, Split, make_folds, split_table

Params: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Sample:
    """Rows to learn from, as arrays."""

    features: NDArray[np.float32]
    labels: NDArray[np.int32]
    weights: NDArray[np.float32] | None

    def take(self, rows: Rows) -> "Sample":
        """These rows alone."""
        return Sample(self.features[rows], self.labels[rows], None if self.weights is None else self.weights[rows])


def train_head(table: FeatureTable, name: str, *, seed: int = 0, jobs: int | None = None) -> tuple[Head, Result]:
    """The fitted head of this name, and its result on rows that neither fitting nor tuning saw.

    Hyper-parameters are chosen by cross-validated accuracy inside the training rows, with scaler and PCA fitted inside
    each fold; then the head is fitted on all training rows. `jobs` processes share the folds (default: one a core).
    Raises TableError where the labels cannot be split, HeadError for an unknown head or one that does not converge.
    """
    start, recipe = time.perf_counter(), find_recipe(name)
    split = split_table(table, seed=seed)
    sample = _sample(table, split.development)
    folds = make_folds(table, split.development, seed=seed)
    params = tune(recipe, sample, folds, seed=seed, jobs=jobs)
    pipeline = fit_pipeline(recipe, sample, params, seed=seed)
    calibrator = None if recipe.probabilities else _calibrate(recipe, sample, folds, params, seed=seed)
    classes = tuple(table.classes[label] for label in pipeline.classes_)
    head = Head(name, classes, params, table.sources, {}, pipeline, calibrator)
    metrics = evaluate_head(head, table, rows=split.test, seed=seed)
    result = _result(head, table, split, metrics=metrics, seed=seed, seconds=time.perf_counter() - start)
    return replace(head, training=result.to_dict()), result


def _sample(table: FeatureTable, rows: Rows) -> Sample:
    weights = None if table.weights is None else table.weights[rows]
    sample = Sample(table.take(rows), table.labels[rows], weights)
    if not np.isfinite(sample.features).all():
        bad = rows[~np.isfinite(sample.features).all(axis=1)][0]
        raise TableError(f"the features of {table.name(int(bad))} are NaN or infinite; run `featx cache verify`")
    return sample


def tune(
    recipe: HeadRecipe, sample: Sample, folds: Sequence[tuple[Rows, Rows]], *, seed: int, jobs: int | None
) -> dict[str, Any]:
    """Parameters of the recipe's grid with the best mean (weighted) accuracy over the folds; of equals, the first."""
    smallest, columns = min(len(train) for train, _ in folds), sample.features.shape[1]
    grid = {key: _fit_for(key, values, rows=smallest, columns=columns) for key, values in recipe.grid.items()}
    candidates = sorted(ParameterGrid(grid), key=_before_classifier)
    groups = [list(group) for _, group in groupby(candidates, key=_before_classifier)]
    pairs = [(fold, group) for group in groups for fold in folds]
    scores = Parallel(n_jobs=jobs or usable_cores())(
        delayed(_score_group)(recipe.build(seed), group, sample, fold=fold) for fold, group in pairs
    )
    of_groups = [scores[start : start + len(folds)] for start in range(0, len(scores), len(folds))]
    means = np.concatenate([np.mean(of_group, axis=0) for of_group in of_groups])
    if not np.isfinite(means.max()):
        raise HeadError(
            f"no parameters of the grid {grid} converged in every fold; scale the features or choose another head"
        )
    return dict(candidates[int(means.argmax())])


def _fit_for(key: str, values: Sequence[float], *, rows: int, columns: int) -> Sequence[float]:
    """The values of the grid as they suit a table of this size."""
    if key == "pca__n_components":
        return sorted({min(int(value), rows, columns) for value in values})
    return [value / columns for value in values] if key == "classifier__gamma" else values


def _before_classifier(params: Params) -> list[tuple[str, Any]]:
    return sorted(item for item in params.items() if not item[0].startswith("classifier__"))


def _score_group(
    pipeline: Pipeline, group: Sequence[Params], sample: Sample, *, fold: tuple[Rows, Rows]
) -> NDArray[np.float64]:
    """Accuracy of each candidate; they share the steps before the classifier, which are fitted once."""
    fit, held_out = map(sample.take, fold)
    before = pipeline.set_params(**group[0])[:-1]
    with np.errstate(invalid="ignore"):  # the explained share of no variance, where all images are alike
        before.fit(fit.features)
    fit, held_out = (replace(part, features=before.transform(part.features)) for part in (fit, held_out))
    return np.array([_score(pipeline.set_params(**params)["classifier"], fit, held_out) for params in group])


def _score(classifier: Any, fit: Sample, held_out: Sample) -> float:
    if not _converges(classifier, fit):
        return -np.inf
    guess = classifier.predict(held_out.features)
    return float(accuracy_score(held_out.labels, guess, sample_weight=held_out.weights))


def _converges(classifier: Any, sample: Sample) -> bool:
    """Fit the classifier and say whether it converged."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            classifier.fit(sample.features, sample.labels, sample_weight=sample.weights)
        except ConvergenceWarning:
            return False
    return True


def fit_pipeline(recipe: HeadRecipe, sample: Sample, params: Params, *, seed: int) -> Pipeline:
    """The recipe's pipeline with these parameters, fitted. Raises HeadError where it does not converge."""
    pipeline = recipe.build(seed).set_params(**params)
    with np.errstate(invalid="ignore"):
        transformed = replace(sample, features=pipeline[:-1].fit_transform(sample.features))
    if not _converges(pipeline["classifier"], transformed):
        raise HeadError(f"{pipeline['classifier']} does not converge on {len(sample.labels)} rows; choose another head")
    return pipeline


def _calibrate(
    recipe: HeadRecipe, sample: Sample, folds: Sequence[tuple[Rows, Rows]], params: Params, *, seed: int
) -> LogisticRegression:
    """Decision values -> probabilities, learnt on rows that each fold's pipeline did not see (Platt 1999)."""
    decisions, rows = [], []
    for train, test in folds:
        pipeline = fit_pipeline(recipe, sample.take(train), params, seed=seed)
        decisions.append(pipeline.decision_function(sample.features[test]))
        rows.append(test)
    unseen = sample.take(np.concatenate(rows))
    values = np.concatenate(decisions).reshape(len(unseen.labels), -1)
    return LogisticRegression(max_iter=1000).fit(values, unseen.labels, sample_weight=unseen.weights)


def _result(
    head: Head, table: FeatureTable, split: Split, *, metrics: HeadMetrics, seed: int, seconds: float
) -> Result:
    rows = {
        "train": len(split.development),
        "test": len(split.test),
        "unlabelled": int(np.sum(~table.labelled)),
        "failed": len(table.failed),
    }
    return Result(
        head=head.name,
        table=table.digest,
        backbones=label_sources(head.sources),
        params=head.params,
        metrics=metrics,
        rows=rows,
        split=split.rule,
        classes=head.classes,
        seed=seed,
        seconds=round(seconds, 3),
        versions=versions(),
    )
