"""A table and the name of a head in; the head, tuned and fitted on training rows, and its result on test rows out."""

import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from featx.cache import FeatureTable
from featx.estimators import class_scores
from featx.heads.head import Head
from featx.heads.results import Result
from featx.heads.training.choosing import STACKED, choose_pipeline
from featx.heads.training.describing import measure_head
from featx.heads.training.development import Lesson, make_lesson
from featx.heads.training.fitting import fit_pipeline
from featx.heads.training.tuning import judge
from featx.measures import fit_temperature
from featx.tables import (
    Rows,
    Split,
    split_table,
)


def train_head(
    table: FeatureTable,
    name: str,
    *,
    fusion: str = "",
    split: Split | None = None,
    folds: int | None = None,
    balanced: bool = False,
    seed: int = 0,
    jobs: int | None = None,
) -> tuple[Head, Result]:
    """The fitted head of this name, and its result on rows that neither fitting nor tuning saw.

    Parameters are chosen on the validation rows of the split, or on so many folds of all rows but the test rows; every
    step is fitted without the rows it is judged by. Then the head is fitted on training and validation rows together;
    of few-shot splits, on training rows alone. With `balanced` every class weighs alike in fitting and tuning, however
    many images it has; in temperature and result images count as they are. `jobs` processes share the tuning (default:
    one a core, where the features are small). Raises TableError where the labels cannot be split, HeadError for an
    unknown head or fusion, ConvergenceError where a fit does not converge.
    """
    start = time.perf_counter()
    split = split or split_table(table, seed=seed)
    lesson = make_lesson(table, split, folds=folds, balanced=balanced, seed=seed)
    # threads of BLAS that wait for each other cost a small fit many times what it takes
    with threadpool_limits(None if lesson.large else 1):
        pipeline, tuned = choose_pipeline(name, fusion, lesson=lesson, seed=seed, jobs=jobs)
        scores, rows = _validate(pipeline, lesson, tuned.scores)
        temperature = fit_temperature(scores, lesson.truth.take(rows))
        if fusion == STACKED:
            tuned = replace(tuned, measure=judge(scores, lesson.counted(rows)).measure)
        fitted = fit_pipeline(pipeline, lesson, lesson.train)
    classes, several = lesson.truth.classes, lesson.truth.multilabel
    head = Head(name, classes, tuned.params, table.sources, {}, fitted, temperature, several)
    result = measure_head(head, table, split=split, lesson=lesson, tuned=tuned, fusion=fusion, folds=folds, seed=seed)
    result = replace(result, seconds=round(time.perf_counter() - start, 3))
    return replace(head, training=result.to_dict()), result


def _validate(
    pipeline: Pipeline, lesson: Lesson, scores: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], Rows]:
    """Class scores of rows that each fold's pipeline did not see, computed where tuning has not; and which they are."""
    if scores is None:
        folds = [(fit_pipeline(pipeline, lesson, fit), held_out) for fit, held_out in lesson.folds]
        scores = np.concatenate([class_scores(fitted, lesson.features(rows)) for fitted, rows in folds])
    return scores, np.concatenate([held_out for _, held_out in lesson.folds])
