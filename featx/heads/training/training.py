"""Trains a head on a table: split, development set, parameters, calibration, final fit, measures on test rows."""

import time
from dataclasses import replace

from threadpoolctl import threadpool_limits

from featx.cache import FeatureTable
from featx.heads.head import Head
from featx.heads.results import Result
from featx.heads.training.choosing import choose_pipeline
from featx.heads.training.development import DevelopmentSet, make_development_set
from featx.heads.training.fitting import fit_pipeline, held_out_scores
from featx.heads.training.outcome import Training, measure_head
from featx.heads.training.tuning import TunedPipeline
from featx.measures import fit_temperature
from featx.tables import Split, split_table


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
    """The fitted head of this name, and its result on test rows that neither tuning nor fitting saw.

    Parameters are chosen on the validation rows of the split, or by cross-validation with this number of `folds` on all
    rows but the test rows; every step is fitted without the rows that it is measured on. The head is then fitted on
    training and validation rows together; for few-shot splits, on training rows alone. With `balanced` all classes have
    the same total weight in fitting and tuning; temperature and result use the weights as they are. `jobs` processes
    share the tuning (default: one per core, or one process if the features are large). Raises TableError if the rows
    cannot be split, HeadError for an unknown head or fusion, ConvergenceError if a fit does not converge.

    >>> import featx
    >>> table = featx.read_features("photos.h5")
    >>> head, result = featx.train_head(table, "class-mean", jobs=1)
    >>> head.classes
    ('circle', 'cross', 'square', 'star', 'triangle')
    >>> result.rows
    {'train': 35, 'validation': 10, 'test': 15, 'unlabelled': 0, 'failed': 0}
    """
    start = time.perf_counter()
    split = split or split_table(table, seed=seed)
    development = make_development_set(table, split, folds=folds, balanced=balanced, seed=seed)
    # BLAS threads that wait for each other make a small fit many times slower
    with threadpool_limits(None if development.large else 1):
        tuned = choose_pipeline(name, fusion, development=development, seed=seed, jobs=jobs)
        temperature = _calibrate(tuned, development)
        pipeline = fit_pipeline(tuned.pipeline, development, development.final_rows)
    head = Head(
        name=name,
        classes=development.labels.classes,
        params=tuned.params,
        sources=table.sources,
        training={},
        pipeline=pipeline,
        temperature=temperature,
        multilabel=development.labels.multilabel,
    )
    training = Training(split, development, tuned, fusion=fusion, folds=folds, seed=seed)
    result = measure_head(head, table, training=training)
    result = replace(result, seconds=round(time.perf_counter() - start, 3))
    return replace(head, training=result.to_dict()), result


def _calibrate(tuned: TunedPipeline, development: DevelopmentSet) -> float:
    """The temperature that fits the class scores of validation rows by pipelines that were not fitted to them."""
    scores = held_out_scores(tuned.pipeline, development) if tuned.scores is None else tuned.scores
    return fit_temperature(scores, development.labels.take(development.validation_rows))
