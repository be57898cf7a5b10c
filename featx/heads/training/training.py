"""Trains a head on a table: split, development set, parameters, calibration, final fit, measures on test rows."""

import logging
import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from featx.cache import FeatureTable
from featx.errors import ConvergenceError
from featx.heads.head import Head
from featx.heads.results import Result
from featx.heads.training.choosing import choose_pipeline
from featx.heads.training.development import DevelopmentSet, make_development_set
from featx.heads.training.fitting import fit_pipeline, held_out_scores
from featx.heads.training.outcome import Training, measure_head
from featx.heads.training.tuning import TunedPipeline
from featx.heads.training.validating import AUTO, choose_tuning, join_tuning
from featx.labels import Labels
from featx.measures import fit_temperature, row_values, to_probabilities
from featx.tables import GivenTables, Split, as_table, split_table

logger = logging.getLogger(__name__)


def train_head(
    table: GivenTables,
    name: str,
    *,
    fusion: str = "",
    split: Split | None = None,
    tuning: str = AUTO,
    folds: int | None = None,
    balanced: bool = False,
    cautious: bool = False,
    seed: int = 0,
    jobs: int | None = None,
) -> tuple[Head, Result]:
    """The fitted head of this name, and its result on test rows that neither tuning nor fitting saw.

    `table` is a table, the path of a cache, or several of them, which are fused.

    `tuning` says how parameters are chosen: `validation` by the validation rows of the split; `folds:K` by
    cross-validation in K folds of all rows but the test rows, in whole groups if there are groups; `auto` by five folds
    where validation rows were not given and there are at most 2,000 rows to learn from, and for heads and fusions with
    PCA whatever their number; else, and for few-shot splits, by validation rows. `folds=K` is another way to write
    `folds:K`. Every step is fitted without the rows that it is measured on. The head is then fitted on training and
    validation rows together; for few-shot splits, on training rows alone. With `balanced` all classes have the same
    total weight in fitting and tuning; temperature and result use the weights as they are. With `cautious` columns are
    standardised whatever else the head could try, and the strongest penalty, at most ten times the best one, is taken
    whose measure on validation rows is within a standard error of that: such a head relies on less, which helps on
    images of another kind than those of training. `jobs` processes share the tuning (default: one per core, or one
    process if the features are large).

    Raises TableError if the rows cannot be split, HeadError for an unknown head, fusion or tuning, ConvergenceError if
    no fit converges with parameters that did so in tuning.

    >>> import featx
    >>> table = featx.read_features("photos.h5")
    >>> head, result = featx.train_head(table, "class-mean", jobs=1)
    >>> head.classes
    ('circle', 'cross', 'square', 'star', 'triangle')
    >>> result.rows
    {'train': 35, 'validation': 10, 'test': 15, 'unlabelled': 0, 'failed': 0}
    """
    start = time.perf_counter()
    table = as_table(table)
    split = split or split_table(table, seed=seed)
    asked = join_tuning(tuning, folds)
    chosen = choose_tuning(table, split, head=name, fusion=fusion, tuning=asked, seed=seed)
    development = make_development_set(
        table, split, folds=chosen.folds, balanced=balanced, cautious=cautious, seed=seed
    )
    # BLAS threads that wait for each other make a small fit many times slower
    with threadpool_limits(None if development.large else 1):
        tuned, pipeline, calibration = fit_tuned(name, fusion, development=development, seed=seed, jobs=jobs)
    training = Training(split, development, tuned, fusion=fusion, tuning=chosen, seed=seed)
    return complete_head(name, pipeline, table=table, training=training, calibration=calibration, start=start)


def complete_head(
    name: str,
    pipeline: Pipeline,
    *,
    table: FeatureTable,
    training: Training,
    calibration: "Calibration",
    start: float,
) -> tuple[Head, Result]:
    """The head of this name with a fitted pipeline, and its result on the test rows of the split.

    `start` is the `time.perf_counter()` at which its training began.
    """
    head = Head(
        name=name,
        classes=training.development.labels.classes,
        params=training.tuned.params,
        sources=table.sources,
        training={},
        pipeline=pipeline,
        temperature=calibration.temperature,
        multilabel=training.development.labels.multilabel,
    )
    result = measure_head(head, table, training=training)
    seconds = round(time.perf_counter() - start, 3)
    result = replace(result, validated_loss=calibration.loss, seconds=seconds)
    return replace(head, training=result.to_dict()), result


@dataclass(frozen=True)
class Calibration:
    """The temperature that was fitted on validation rows."""

    temperature: float
    loss: float
    """Log loss on these rows, in nats."""


def fit_tuned(
    name: str, fusion: str, *, development: DevelopmentSet, seed: int, jobs: int | None
) -> tuple[TunedPipeline, Pipeline, Calibration]:
    """What tuning chose for this head, the pipeline fitted on the final rows with it, and its temperature.

    If fits with the best parameters do not converge, these are the best ones of a stronger penalty.
    """
    tuned = choose_pipeline(name, fusion, development=development, seed=seed, jobs=jobs)
    while True:
        try:
            calibration = _calibrate(tuned, development)
            return tuned, fit_pipeline(tuned.pipeline, development, development.final_rows), calibration
        except ConvergenceError as error:
            other = tuned.fall_back()
            if other is None:
                raise
            logger.warning("the best parameters of tuning are not used, but the next best ones: %s", error)
            tuned = other


def _calibrate(tuned: TunedPipeline, development: DevelopmentSet) -> Calibration:
    """The temperature that fits the class scores of validation rows by pipelines that were not fitted to them."""
    scores = held_out_scores(tuned.pipeline, development) if tuned.scores is None else tuned.scores
    return calibrate(scores, development.labels.take(development.validation_rows))


def calibrate(scores: NDArray[np.float64], labels: Labels) -> Calibration:
    """The temperature that fits class scores (n, classes) of rows that no fit behind them saw, and its log loss."""
    temperature = fit_temperature(scores, labels)
    probabilities = to_probabilities(scores, temperature=temperature, multilabel=labels.multilabel)
    losses = row_values(probabilities, labels, measure="log_loss")
    return Calibration(temperature, float(np.average(losses, weights=labels.weights)))
