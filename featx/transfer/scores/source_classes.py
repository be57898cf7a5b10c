"""LEEP and NCE: how well the classes that a source model sees in the images tell the classes of the target task."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from featx.measures import to_probabilities
from featx.transfer.scores.rows import Floats, LabelledRows, rows_of_arrays

SUM = 1e-3
"""How far from 1 the probabilities of an image may sum; float16 has about three digits."""


def leep(probabilities: ArrayLike, labels: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """LEEP of the source's class probabilities (n, Z) for labels (n,), in nats per row; at most 0.

    It is the mean log-likelihood of the labels if a class of the source is drawn by its probability for the image, and
    then a class of the target by how often it goes with that class (Nguyen et al. 2020, arXiv 2002.12462, equation 2).
    Rows that are no probabilities are taken for logits. Raises TableError for fewer than two classes.

    >>> import numpy as np
    >>> from featx.transfer import leep
    >>> certain = np.eye(2)[[0, 0, 1, 1]]
    >>> leep(certain, [7, 7, 9, 9]), round(leep(certain, [7, 9, 7, 9]), 4)
    (0.0, -0.6931)
    """
    return leep_of(rows_of_arrays(probabilities, labels, weights=weights))


def nce(probabilities: ArrayLike, labels: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """NCE of the source's class probabilities or logits (n, Z) for labels (n,), in nats per row; at most 0.

    It is minus the conditional entropy of the labels, given the class that the source finds most likely (Tran et al.
    2019, arXiv 1908.08142, section 3). Raises TableError for fewer than two classes.

    >>> import numpy as np
    >>> from featx.transfer import nce
    >>> round(nce(np.eye(2)[[0, 0, 1, 1]], [7, 9, 7, 9]), 4)
    -0.6931
    """
    return nce_of(rows_of_arrays(probabilities, labels, weights=weights))


def leep_of(rows: LabelledRows) -> float:
    """LEEP of rows whose features are class scores of the source, by two passes over them."""
    joint = np.zeros((len(rows.totals), rows.columns))
    for places, block in rows.blocks():
        joint += rows.mass(places).T @ to_distributions(block, rows.kind)
    total = joint.sum(axis=0)
    conditional = joint / np.where(total > 0, total, 1)
    likelihood = 0.0
    for places, block in rows.blocks():
        expected = to_distributions(block, rows.kind) @ conditional.T
        mass = rows.mass(places)
        likelihood += float((mass[mass > 0] * np.log(expected[mass > 0])).sum())
    return min(0.0, likelihood / len(rows))


def nce_of(rows: LabelledRows) -> float:
    """NCE of rows whose features are class scores of the source, by one pass over them."""
    joint = np.zeros((rows.columns, len(rows.totals)))
    for places, block in rows.blocks():
        np.add.at(joint, block.argmax(axis=1), rows.mass(places))
    seen = joint[joint.any(axis=1)]
    shares = seen / seen.sum(axis=1, keepdims=True)
    return min(0.0, float((seen[seen > 0] * np.log(shares[seen > 0])).sum() / len(rows)))


def to_distributions(scores: Floats, kind: str) -> Floats:
    """For each row of class scores (b, Z) of the source, a distribution over its classes.

    `kind` is `classifier_kind` of its card. Probabilities that each class has on its own are divided by their sum.
    Without a kind, rows that are at least 0 and sum to 1 are probabilities, and the softmax of others is taken.
    """
    if kind in ("sigmoid", "sigmoid logits"):
        return _divided_by_sum(to_probabilities(scores, multilabel=True) if kind == "sigmoid logits" else scores)
    if kind == "softmax" or (not kind and are_probabilities(scores)):
        return _divided_by_sum(scores)
    return to_probabilities(scores)


def _divided_by_sum(scores: Floats) -> Floats:
    """The rows divided by their sums; a row without any probability is the same for all classes."""
    positive = np.maximum(scores, 0)
    total = positive.sum(axis=1, keepdims=True)
    return np.where(total > 0, positive / np.where(total > 0, total, 1), 1 / scores.shape[1])


def are_probabilities(scores: NDArray[np.floating]) -> bool:
    """Whether all rows (b, Z) are at least 0 and sum to 1."""
    return bool((scores >= 0).all() and (np.abs(scores.sum(axis=1) - 1) <= SUM).all())
