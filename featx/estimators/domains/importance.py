"""Weights of source rows by how much more likely they are in the target, from a classifier of domains."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.extmath import randomized_svd

from featx.errors import HeadError
from featx.estimators.domains.moments import measure_moments
from featx.estimators.domains.pair import DomainPair
from featx.estimators.rows import row_slices
from featx.estimators.scaling import per_deviation, standardised
from featx.estimators.softmax import SoftmaxRegression

DIRECTIONS = 32
"""The most principal directions that the classifier of domains reads: with more, few rows of few images tell all."""
MOST_ROWS = 5000
"""The most rows of each domain that it learns from, by default."""
FOLDS = 5
LEAST = -50.0
"""Logarithm of the smallest weight / the largest one before these are cut; numbers that are smaller become 0."""
LITTLE = 0.25
"""Weights that amount to less than this part of the rows are worth a warning."""


def importance_weights(
    source: NDArray[Any], target: NDArray[Any], *, most_rows: int = MOST_ROWS, seed: int = 0
) -> NDArray[np.float64]:
    """The weights (n,) of source rows (n, d) by which they stand for target rows (m, d), with mean 1.

    A logistic regression on the 32 first principal directions of both domains learns which domain a row is of; the
    weight of a row is p / (1 - p), p being its probability of the target, and so rises with its density in the target /
    its density in the source. The probability of each source row comes from a fit without it, in 5 parts. It learns
    from at most `most_rows` rows of each domain. Weights above sqrt(n) are cut to that (Ionides 2008, Truncated
    importance sampling). Arrays may be memory maps. Raises HeadError as `DomainPair` does, and for fewer than 2 rows of
    the source.

    Such weights adapt to little: where domains differ much, few rows carry all of them. `effective_sample_size` tells
    how many, and `note_on_weights` says so.

    >>> import numpy as np
    >>> from featx.estimators import effective_sample_size, importance_weights
    >>> rng = np.random.default_rng(0)
    >>> source, target = rng.normal(size=(300, 1)), rng.normal(size=(300, 1)) + 1
    >>> weights = importance_weights(source, target)
    >>> bool(weights[source[:, 0].argmax()] > 1 > weights[source[:, 0].argmin()])
    True
    >>> round(effective_sample_size(weights)) < 300
    True
    """
    pair = DomainPair(source, target)
    if len(source) < 2 or most_rows < 2:
        raise HeadError("the classifier of domains learns from fewer than 2 rows of the source; give it more")
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(source))
    seen = pair.target[np.sort(rng.permutation(len(target))[:most_rows])]
    logarithms = _log_odds(pair, seen, order % min(FOLDS, len(source)), learnt=order < most_rows, seed=seed)
    return _cut(np.exp(np.maximum(logarithms - logarithms.max(), LEAST)))


def effective_sample_size(weights: ArrayLike) -> float:
    """The number of equally weighted rows that says as much as rows with these weights: (sum)^2 / sum of squares.

    Kish, Survey Sampling, 1965. It is 1 if one row has all the weight. Raises HeadError if no weight is above 0.

    >>> from featx.estimators import effective_sample_size
    >>> effective_sample_size([1, 1, 0, 0])
    2.0
    """
    given = np.asarray(weights, np.float64)
    if not given.sum() > 0:
        raise HeadError("no weight is above 0; an effective number of rows needs one")
    return float(given.sum() ** 2 / np.square(given).sum())


def note_on_weights(weights: ArrayLike) -> str:
    """A sentence that says that few of these rows carry all the weight; empty if many do.

    >>> from featx.estimators import note_on_weights
    >>> note_on_weights([0.01] * 99 + [100])
    'the weights of 100 images count as 1.0 images: few of them are like the target, and a head learns from these alone'
    >>> note_on_weights([1, 2, 1])
    ''
    """
    given = np.asarray(weights)
    effective = effective_sample_size(given)
    if effective >= LITTLE * len(given):
        return ""
    return (
        f"the weights of {len(given)} images count as {effective:.1f} images: few of them are like the target, and a "
        "head learns from these alone"
    )


def _cut(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weights (n,) with mean 1, of which those that were above sqrt(n) are sqrt(n)."""
    most = np.sqrt(len(weights))
    falling = np.sort(weights)[::-1]
    cut = np.arange(int(np.ceil(most)))  # how many may be cut
    rest = np.cumsum(falling[::-1])[::-1][cut]
    # if `cut` weights are cut to a limit, it is `most` x the mean of all weights
    limits = rest / (most - cut)
    weights = np.minimum(weights, limits[np.argmax(limits >= falling[cut])])
    normalised: NDArray[np.float64] = weights / weights.mean()
    return normalised


def _log_odds(
    pair: DomainPair, seen: NDArray[Any], parts: NDArray[np.int64], *, learnt: NDArray[np.bool_], seed: int
) -> NDArray[np.float64]:
    """The log odds (n,) of the target for each source row, from the learnt rows of other parts and those seen."""
    drawn = pair.source[learnt]
    reduce = _reduction(drawn, seen, seed=seed)
    others = reduce(seen)
    rows = np.vstack([reduce(pair.source[part]) for part in row_slices(pair.source)])
    if not np.isfinite(rows).all():
        measure_moments(pair.source, name="source")
    logarithms = np.empty(len(rows))
    for part in np.unique(parts):
        own = rows[learnt & (parts != part)]
        of_target = np.repeat([0, 1], [len(own), len(others)])
        fitted = SoftmaxRegression().fit(np.vstack([own, others]), of_target)
        logarithms[parts == part] = fitted.decision_function(rows[parts == part])
    return logarithms


def _reduction(
    source: NDArray[Any], target: NDArray[Any], *, seed: int
) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    """A function from rows (b, d) to their coordinates (b, k) along the principal directions of both domains."""
    each = measure_moments(source, name="source"), measure_moments(target, name="target")
    middle = (each[0].mean + each[1].mean) / 2
    factor = per_deviation((each[0].variance + each[1].variance) / 2)
    both = standardised(np.vstack([source, target]).astype(np.float32), mean=middle, factor=factor)
    mean = both.mean(axis=0)
    _, lengths, axes = randomized_svd(both - mean, min(DIRECTIONS, *both.shape), random_state=seed)
    variances = lengths.astype(np.float64) ** 2 / len(both)
    kept = variances >= np.finfo(np.float32).eps * variances.max()
    directions = axes[kept].T * per_deviation(variances[kept])

    def reduce(rows: NDArray[Any]) -> NDArray[np.float32]:
        """The coordinates (b, k) of rows (b, d)."""
        scaled = standardised(np.asarray(rows, np.float32), mean=middle, factor=factor)
        return np.asarray((scaled - mean) @ directions, np.float32)

    return reduce
