"""Trains a head on a table: split, development set, parameters, calibration, final fit, measures on test rows."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from featx.cache import FeatureTable
from featx.errors import ConvergenceError
from featx.heads.head import Head
from featx.heads.results import Result
from featx.heads.training.calibrating import Calibration, fit_tuned
from featx.heads.training.development import DevelopmentSet, make_development_set
from featx.heads.training.outcome import Training, measure_head
from featx.heads.training.validating import AUTO, choose_tuning, join_tuning
from featx.heads.training.viewing import ViewFit, choose_fit, describe_views, tables_by_rule
from featx.heads.used_views import ViewChoice
from featx.settings import ViewRule
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
    views: ViewChoice = "first",
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
    images of another kind than those of training.

    `views` says what becomes of the views of an image, if the table has several: `first` takes the table as it is,
    which is view 0 unless it was read by another rule; `mean` the mean feature over views; `rows` fits each view as a
    row with an equal part of the image's weight, never divides the views of an image between two parts of a split, and
    predicts the mean probability over views; `auto` takes what is best on the validation rows, of `first`, `mean` and,
    where it is affordable, `rows`. `result.views` says what was taken and tests what it is worth.

    `jobs` processes share the tuning (default: one per core, or one process if the features are large).

    Raises TableError if the rows cannot be split, or if views are asked for that the table lacks; HeadError for an
    unknown head, fusion, tuning or rule of views, or for `rows` with `mlp`, which stops early by a part of its rows;
    ConvergenceError if no fit converges with parameters that did so in tuning.

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
    develop = partial(
        make_development_set, split=split, folds=chosen.folds, balanced=balanced, cautious=cautious, seed=seed
    )
    tables = tables_by_rule(table, views, head=name, split=split)
    fit = partial(_fit, name, fusion=fusion, seed=seed, jobs=jobs)
    fits = _fit_each(tables, lambda rule, one: fit(rule, table=one, development=develop(one)), asked=views)
    best = choose_fit(fits, views)
    training = Training(split, best.development, best.tuned, fusion=fusion, tuning=chosen, seed=seed)
    used = describe_views(fits, best, tried=tables.keys(), views=views, split=split, seed=seed, jobs=jobs)
    return complete_head(
        name,
        best.pipeline,
        table=best.table,
        training=replace(training, views=used),
        calibration=best.calibration,
        start=start,
    )


def _fit_each(
    tables: Mapping[ViewRule, FeatureTable],
    fit: Callable[[ViewRule, FeatureTable], ViewFit],
    *,
    asked: ViewChoice,
) -> list[ViewFit]:
    """The fit of each rule. Raises ConvergenceError if that of the asked rule does not converge, or none does."""
    fits, failed = [], []
    for rule, table in tables.items():
        try:
            fits.append(fit(rule, table))
        except ConvergenceError as error:
            if rule == asked:
                raise
            logger.warning("views %s are left out: %s", rule, error)
            failed.append(error)
    if not fits:
        raise failed[0]
    return fits


def _fit(
    name: str,
    rule: ViewRule,
    *,
    table: FeatureTable,
    development: DevelopmentSet,
    fusion: str,
    seed: int,
    jobs: int | None,
) -> ViewFit:
    """The head of this name, tuned and fitted with the views that the table of this rule has."""
    # BLAS threads that wait for each other make a small fit many times slower
    with threadpool_limits(None if development.large else 1):
        tuned, pipeline, calibration = fit_tuned(name, fusion, development=development, seed=seed, jobs=jobs)
    return ViewFit(rule, table, development, tuned, pipeline, calibration)


def complete_head(
    name: str,
    pipeline: Pipeline,
    *,
    table: FeatureTable,
    training: Training,
    calibration: Calibration,
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
