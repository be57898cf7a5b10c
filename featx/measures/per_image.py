"""Measures of single images, such as correct or not; the weighted mean over images is the measure of the head."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from featx.labels import Labels

THRESHOLD = 0.5
"""A class of a multi-label image is predicted if its probability is above this."""
SMALLEST_PROBABILITY = float(np.finfo(np.float64).eps)
"""Log loss clips probabilities here, as scikit-learn does: an image costs at most 36 nats."""

Floats: TypeAlias = NDArray[np.float64]


def class_share(labels: Labels, column: int) -> Floats:
    """The share of this class in each image, (n,); 0 or 1 unless labels are soft."""
    if labels.given_shares is None:
        alone: Floats = (labels.codes == column).astype(np.float64)
        return alone
    share: Floats = labels.given_shares[:, column]
    return share


def correctness(probabilities: Floats, labels: Labels) -> Floats:
    """1 for each correctly classified image, else 0, (n,); for soft labels the share of the predicted class.

    A multi-label image is correct if all of its labels are.
    """
    if labels.multilabel:
        correct: Floats = ((probabilities > THRESHOLD) == (labels.shares > 0)).all(axis=1).astype(np.float64)
        return correct
    return class_correctness(probabilities.argmax(axis=1), labels)


def class_correctness(predicted: NDArray[np.int64], labels: Labels) -> Floats:
    """1 for each image (n,) whose predicted class is correct, else 0; for soft labels the share of that class."""
    if labels.given_shares is None:
        correct: Floats = (labels.codes == predicted).astype(np.float64)
        return correct
    return _value_in_column(labels.given_shares, predicted)


def log_losses(probabilities: Floats, labels: Labels) -> Floats:
    """The log loss of each image in nats, (n,).

    Soft labels: the cross-entropy. Multi-label: the mean over classes of the binary log loss.
    """
    if labels.multilabel:
        losses: Floats = _nats(np.where(labels.shares > 0, probabilities, 1 - probabilities)).mean(axis=1)
        return losses
    if labels.given_shares is None:
        return _nats(_value_in_column(probabilities, labels.codes))
    return _inner(labels.given_shares, _nats(probabilities))


def brier_scores(probabilities: Floats, labels: Labels) -> Floats:
    """The squared error of the probabilities of each image, summed over classes, (n,).

    Soft labels: its expectation. Multi-label: the mean over classes.
    """
    if labels.multilabel:
        scores: Floats = ((probabilities - labels.shares) ** 2).mean(axis=1)
        return scores
    if labels.given_shares is None:
        of_label = _value_in_column(probabilities, labels.codes)
    else:
        of_label = _inner(labels.given_shares, probabilities)
    return np.maximum(_inner(probabilities, probabilities) - 2 * of_label + 1, 0)


def _nats(probabilities: Floats) -> Floats:
    nats: Floats = -np.log(np.clip(probabilities, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY))
    return nats


def _value_in_column(values: Floats, columns: NDArray[np.int64]) -> Floats:
    """The value of each row (n, classes) in its own column, (n,)."""
    return values[np.arange(len(values)), columns]


def _inner(left: Floats, right: Floats) -> Floats:
    """The inner product of each pair of rows, (n,)."""
    products: Floats = np.einsum("nc,nc->n", left, right)
    return products
