"""Tunes a head, fits it with what tuning chose, and calibrates its probabilities on the rows that chose."""

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from featx.errors import ConvergenceError
from featx.heads.training.choosing import choose_pipeline
from featx.heads.training.development import DevelopmentSet
from featx.heads.training.fitting import fit_pipeline, held_out_scores
from featx.heads.training.tuning import TunedPipeline
from featx.labels import Labels
from featx.measures import fit_temperature, row_values, to_probabilities

logger = logging.getLogger(__name__)


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
