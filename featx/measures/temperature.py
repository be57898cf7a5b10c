"""Turns class scores into probabilities by one number, the temperature, fitted on rows that the head did not see."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, softmax

from featx.errors import TableError
from featx.labels import Labels
from featx.measures.per_image import Floats
from featx.measures.resampling import kish_size

WIDEST = 1e4
"""The temperature is at most this many times the root mean square of the scores, and at least that divided by this."""


def to_probabilities(scores: Floats, *, temperature: float = 1.0, multilabel: bool = False) -> Floats:
    """Probabilities (n, classes): the softmax of scores (n, classes) / temperature; for multi-label the sigmoid.

    >>> import numpy as np
    >>> from featx.measures import to_probabilities
    >>> to_probabilities(np.array([[2.0, 0.0]]), temperature=2).round(2)
    array([[0.73, 0.27]])
    """
    scaled = scores.astype(np.float64) / temperature
    probabilities: Floats = expit(scaled) if multilabel else softmax(scaled, axis=1)
    return probabilities


def fit_temperature(scores: Floats, labels: Labels) -> float:
    """The temperature whose probabilities have the least weighted negative log-likelihood (Guo et al. 2017, 4.2).

    `scores` (n, classes) are of rows that the head was not fitted on; for multi-label, one logit per class. The
    likelihood is convex in 1 / temperature, so the optimum is found exactly, as a root of the derivative. Few rows do
    not show how often a confident head is wrong: with n rows that are all classified correctly, more confidence would
    always be likelier. Labels are therefore taken to be true with a probability of (n + 1/2) / (n + 1), as of a share
    that was found n times in n (Krichevsky & Trofimov 1981; Platt 1999, section 2.2, smooths his targets likewise), and
    n is Kish's effective number of rows. Soft labels say themselves how certain they are. 1 if all scores of each row
    are equal. Raises TableError if shapes differ, a score is not finite, or all weights are 0.

    >>> import numpy as np
    >>> from featx.labels import Labels
    >>> from featx.measures import fit_temperature
    >>> scores = np.array([[9.0, 0.0], [9.0, 0.0], [9.0, 0.0], [0.0, 9.0]])  # confident, one of four wrong
    >>> round(fit_temperature(scores, Labels(("cat", "dog"), codes=np.array([0, 0, 1, 1]))), 2)
    10.62
    """
    _check(scores, labels)
    fit = _Fit(scores, labels)
    if not fit.scale:
        return 1.0
    highest = np.log(WIDEST)
    lowest = -highest
    if fit.slope(lowest) >= 0:
        best = lowest
    elif fit.slope(highest) <= 0:
        best = highest
    else:
        best = brentq(fit.slope, lowest, highest, xtol=1e-10)
    return float(fit.scale / np.exp(best))


class _Fit:
    """The negative log-likelihood as a function of the logarithm of scale / temperature, the sharpness."""

    def __init__(self, scores: Floats, labels: Labels) -> None:
        scores = scores.astype(np.float64)
        if not labels.multilabel:
            scores -= scores.mean(axis=1, keepdims=True)
        self._shares = _smooth(labels)
        self._weights = labels.weights / labels.weights.sum()
        self._multilabel = labels.multilabel
        self.scale = float(np.sqrt(self._weights @ (scores**2).mean(axis=1)))
        self._scores = scores / self.scale if self.scale else scores

    def slope(self, sharpness: float) -> float:
        """The derivative of the negative log-likelihood by scale / temperature."""
        probabilities = to_probabilities(self._scores, temperature=np.exp(-sharpness), multilabel=self._multilabel)
        return float(self._weights @ ((probabilities - self._shares) * self._scores).sum(axis=1))


def _smooth(labels: Labels) -> Floats:
    """(n, classes): the shares of the classes, with a little taken from each hard label and given to other classes."""
    doubt = 0.5 / (kish_size(labels.weights) + 1)
    others = 1 if labels.multilabel else max(1, len(labels.classes) - 1)
    shares = labels.shares
    smoothed = shares * (1 - doubt) + (1 - shares) * doubt / others
    certain = labels.multilabel | (shares.max(axis=1, keepdims=True) == 1)
    return np.where(certain, smoothed, shares)


def _check(scores: Floats, labels: Labels) -> None:
    shape = len(labels), len(labels.classes)
    if scores.shape != shape or not len(labels):
        raise TableError(
            f"the scores have shape {scores.shape}, but there are {shape[0]} rows and {shape[1]} classes; "
            "give one row per label and one column per class"
        )
    if not np.isfinite(scores).all():
        raise TableError("a class score is NaN or infinite; check the features with `featx cache verify`")
    if not (labels.weights >= 0).all() or not labels.weights.sum() > 0:
        raise TableError(
            "the weights of the rows to calibrate on are all 0, or some are negative; give positive weights"
        )
