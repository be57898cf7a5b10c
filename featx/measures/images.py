"""What one image adds to a measure: the numbers, one an image, whose weighted mean over images a measure is."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from featx.labels import Labels

THRESHOLD = 0.5
"""Above it a class is named, of several labels."""
SMALLEST = float(np.finfo(np.float64).eps)
"""The least probability that log-loss knows, as in scikit-learn: an image costs at most 36 nats."""

Floats: TypeAlias = NDArray[np.float64]


def class_share(truth: Labels, column: int) -> Floats:
    """(n,): how much of this class each image is."""
    if truth.given_shares is None:
        alone: Floats = (truth.codes == column).astype(np.float64)
        return alone
    share: Floats = truth.given_shares[:, column]
    return share


def right_share(probabilities: Floats, truth: Labels) -> Floats:
    """(n,): whether each image is named rightly, 0 or 1; of soft labels the share of the class that it is taken for."""
    if truth.multilabel:
        right: Floats = ((probabilities > THRESHOLD) == (truth.shares > 0)).all(axis=1).astype(np.float64)
        return right
    return guessed_right(probabilities.argmax(axis=1), truth)


def guessed_right(guess: NDArray[np.int64], truth: Labels) -> Floats:
    """(n,): whether each image is of the class that it is taken for, 0 or 1; of soft labels the share of it."""
    return (
        (truth.codes == guess).astype(np.float64) if truth.given_shares is None else _of_each(truth.given_shares, guess)
    )


def log_losses(probabilities: Floats, truth: Labels) -> Floats:
    """(n,): nats; of soft labels the cross-entropy, of several labels the mean over classes of each yes or no."""
    if truth.multilabel:
        losses: Floats = _nats(np.where(truth.shares > 0, probabilities, 1 - probabilities)).mean(axis=1)
        return losses
    if truth.given_shares is None:
        return _nats(_of_each(probabilities, truth.codes))
    return _inner(truth.given_shares, _nats(probabilities))


def brier_scores(probabilities: Floats, truth: Labels) -> Floats:
    """(n,): the squared error summed over classes, expected under soft labels; of several labels its mean."""
    if truth.multilabel:
        scores: Floats = ((probabilities - truth.shares) ** 2).mean(axis=1)
        return scores
    of_truth = (
        _of_each(probabilities, truth.codes)
        if truth.given_shares is None
        else _inner(truth.given_shares, probabilities)
    )
    return np.maximum(_inner(probabilities, probabilities) - 2 * of_truth + 1, 0)


def _nats(probabilities: Floats) -> Floats:
    nats: Floats = -np.log(np.clip(probabilities, SMALLEST, 1 - SMALLEST))
    return nats


def _of_each(values: Floats, columns: NDArray[np.int64]) -> Floats:
    """(n,): the value of each row (n, classes) in its column."""
    return values[np.arange(len(values)), columns]


def _inner(left: Floats, right: Floats) -> Floats:
    """(n,): the inner products of the rows."""
    products: Floats = np.einsum("nc,nc->n", left, right)
    return products
