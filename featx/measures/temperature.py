"""Class scores -> probabilities by one number, the temperature, fitted on rows that the head was not fitted on."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, log_expit, log_softmax, softmax

from featx.errors import TableError
from featx.labels import Labels
from featx.measures.images import Floats
from featx.measures.resampling import kish_size

WIDEST = 1e4
"""Scores are divided by no more, and no less, than so many times their root mean square, or that share of it."""


def to_probabilities(scores: Floats, *, temperature: float = 1.0, multilabel: bool = False) -> Floats:
    """(n, classes): the softmax of scores (n, classes) divided by the temperature; of several labels the sigmoid."""
    scaled = scores.astype(np.float64) / temperature
    made: Floats = expit(scaled) if multilabel else softmax(scaled, axis=1)
    return made


def fit_temperature(scores: Floats, truth: Labels) -> float:
    """The temperature whose probabilities have the least weighted negative log-likelihood (Guo et al. 2017, 4.2).

    `scores`: (n, classes), of rows that the head was not fitted on; of several labels one logit a class. The likelihood
    is convex in 1 / temperature, so the least is found exactly, by its derivative. Where every row is right without
    doubt, more confidence is always likelier; then it goes no further than n rows bear out: a mean of log((n+2)/(n+1))
    nats, by the rule of succession. 1 where all scores of a row are alike. Raises TableError where shapes differ, a
    score is not finite, or nothing weighs anything.
    """
    _check(scores, truth)
    fit = _Fit(scores, truth)
    if not fit.scale:
        return 1.0
    lowest, highest = -np.log(WIDEST), np.log(WIDEST)
    if fit.slope(lowest) >= 0:
        best = lowest
    elif fit.slope(highest) <= 0:
        best = highest
    else:
        best = brentq(fit.slope, lowest, highest, xtol=1e-10)
    floor = np.log1p(1 / (kish_size(truth.weights) + 1))
    if fit.loss(best) < floor < fit.loss(lowest):
        best = brentq(lambda sharpness: fit.loss(sharpness) - floor, lowest, best, xtol=1e-10)
    return float(fit.scale / np.exp(best))


class _Fit:
    """The negative log-likelihood, as a function of the logarithm of scale / temperature."""

    def __init__(self, scores: Floats, truth: Labels) -> None:
        scores = scores.astype(np.float64)
        if not truth.multilabel:
            scores -= scores.mean(axis=1, keepdims=True)
        self._shares, self._weight, self._multilabel = (
            truth.shares,
            truth.weights / truth.weights.sum(),
            truth.multilabel,
        )
        self.scale = float(np.sqrt(self._weight @ (scores**2).mean(axis=1)))
        self._scores = scores / self.scale if self.scale else scores

    def slope(self, sharpness: float) -> float:
        """The derivative of `loss` by scale / temperature."""
        made = to_probabilities(self._scores, temperature=np.exp(-sharpness), multilabel=self._multilabel)
        return float(self._weight @ ((made - self._shares) * self._scores).sum(axis=1))

    def loss(self, sharpness: float) -> float:
        """Mean nats a row, of several labels a row and class."""
        scaled = self._scores * np.exp(sharpness)
        if not self._multilabel:
            return float(-self._weight @ (self._shares * log_softmax(scaled, axis=1)).sum(axis=1))
        logs = np.where(self._shares > 0, log_expit(scaled), log_expit(-scaled))
        return float(-self._weight @ logs.mean(axis=1))


def _check(scores: Floats, truth: Labels) -> None:
    shape = len(truth), len(truth.classes)
    if scores.shape != shape or not len(truth):
        raise TableError(f"the scores are {scores.shape} but rows and classes are {shape}; align them")
    if not np.isfinite(scores).all():
        raise TableError("a class score is NaN or infinite; check the features with `featx cache verify`")
    if not (truth.weights >= 0).all() or not truth.weights.sum() > 0:
        raise TableError("the weights of the rows to calibrate on are all 0, or one is below 0; give some a weight")
