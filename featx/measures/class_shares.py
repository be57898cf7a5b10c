"""Shares of classes among images without labels, from the predictions of a head, with intervals."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from featx.errors import TableError
from featx.measures.intervals import wilson
from featx.measures.per_image import Floats
from featx.measures.resampling import ENDS, GROUPS, Units, affordable, kish_size

ROUNDS = 3_000
"""Most rounds of the EM algorithm."""
SETTLED = 1e-7
"""The EM algorithm ends when no share changes by more."""
ROUNDS_OF_RESAMPLES = 200
"""Most rounds on resamples, which begin near the estimate."""
NEARLY_SETTLED = 1e-4
"""On resamples it ends when no share changes by more: that is little beside what differs between resamples."""
RESAMPLES = 200
"""Resamples of an interval, or as many as are affordable."""
LEAST_PROBABILITY = 1e-12
"""Probabilities below this are taken for it, so that no image is impossible under all classes."""


def em_shares(probabilities: Floats, source_shares: Floats, *, weights: Floats | None = None) -> Floats:
    """The shares (k,) of classes among images, the likeliest if only shares differ from those the head learnt.

    `probabilities` (m, k) are those of a calibrated head for images that it did not see, and `source_shares` (k,) the
    shares of classes that it learnt from, which need not sum to 1. Class j's density at image i is proportional to
    probabilities[i, j] / source_shares[j]; the shares of a mixture of these densities that are likeliest are found by
    the EM algorithm (Saerens, Latinne & Decaestecker 2002, equation 2.4). The likelihood is concave. If more than
    shares differ, the result may be far off. A class with a source share of 0 gets 0. `weights` (m,) count images.

    Raises TableError if shapes do not fit, if there is no image, or if all source shares are 0.

    >>> import numpy as np
    >>> from featx.measures import em_shares
    >>> sure = np.array([[0.99, 0.01], [0.99, 0.01], [0.99, 0.01], [0.01, 0.99]])
    >>> em_shares(sure, np.array([0.5, 0.5])).round(2)
    array([0.76, 0.24])
    """
    ratios = _ratios(probabilities, source_shares)
    counts = np.ones(len(ratios)) if weights is None else np.asarray(weights, np.float64)
    start = _normal(np.asarray(source_shares, np.float64))
    return _em(ratios, counts[:, None], start[:, None], rounds=ROUNDS, settled=SETTLED)[:, 0]


def em_interval(
    probabilities: Floats, source_shares: Floats, *, groups: NDArray[np.bytes_] | None = None, seed: int = 0
) -> Floats:
    """The 95 % intervals (k, 2) of the shares that `em_shares` finds, from resamples of the images.

    Percentiles of resamples (Efron 1979), of whole groups if `groups` (m,) are given. Each interval is at least as wide
    as Wilson's, which holds if the class of every image is known. What the head was trained on is taken as given, so
    that a head that is wrong in the target makes the shares wrong by more than their intervals. Arguments and errors
    are those of `em_shares`.

    >>> import numpy as np
    >>> from featx.measures import em_interval
    >>> sure = np.array([[0.99, 0.01], [0.99, 0.01], [0.99, 0.01], [0.01, 0.99]] * 25)
    >>> em_interval(sure, np.array([0.5, 0.5])).round(1)
    array([[0.7, 0.8],
           [0.2, 0.3]])
    """
    ratios = _ratios(probabilities, source_shares)
    shares = em_shares(probabilities, source_shares)
    units = _units(len(ratios), groups)
    counts = _counts(units, ratios.size, seed=seed)
    start = _inner_point(shares, source_shares)
    starts = np.repeat(start[:, None], counts.shape[1], axis=1)
    resampled = _em(ratios, counts, starts, rounds=ROUNDS_OF_RESAMPLES, settled=NEARLY_SETTLED)
    return _interval(shares, resampled, units, len(ratios))


def bbse_shares(predicted: Floats, source_predicted: Floats, source_codes: NDArray[np.int64]) -> Floats:
    """The shares (k,) of classes among images, which explain how often a head predicts each class there.

    This is black-box shift estimation (Lipton, Wang & Smola 2018, section 4). `predicted` (m, k) are predictions for
    the images: rows of 0 with one 1, or probabilities. `source_predicted` (n, k) are the same of source images that the
    head did not see, with the classes `source_codes` (n,); with them the mean prediction C[:, j] within class j is
    known. The shares q are those of at least 0 with the least |C q - mean prediction|, scaled to the sum 1. Unlike
    `em_shares` this needs no calibrated head. A class without source images gets 0.

    Raises TableError if shapes do not fit, or if there are no images.

    >>> import numpy as np
    >>> from featx.measures import bbse_shares
    >>> source = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> target = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> bbse_shares(target, source, np.array([0, 0, 1, 1])).round(2)
    array([0.75, 0.25])
    """
    _check(predicted, source_predicted.shape[1])
    _check(source_predicted, predicted.shape[1])
    sums = _sums_by_class(source_predicted, source_codes)
    return _solve(_normal(sums), predicted.mean(axis=0))


def bbse_interval(
    predicted: Floats,
    source_predicted: Floats,
    source_codes: NDArray[np.int64],
    *,
    groups: NDArray[np.bytes_] | None = None,
    source_groups: NDArray[np.bytes_] | None = None,
    seed: int = 0,
) -> Floats:
    """The 95 % intervals (k, 2) of the shares that `bbse_shares` finds, from resamples of both domains.

    Percentiles as by `em_interval`, at least as wide as if the classes were known; since source images are resampled
    too, how little is known of the head's errors widens the intervals. Arguments and errors are those of `bbse_shares`.

    >>> import numpy as np
    >>> from featx.measures import bbse_interval
    >>> source = np.array([[1.0, 0.0], [0.0, 1.0]] * 50)
    >>> target = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]] * 25)
    >>> bbse_interval(target, source, np.array([0, 1] * 50)).round(1)
    array([[0.7, 0.8],
           [0.2, 0.3]])
    """
    shares = bbse_shares(predicted, source_predicted, source_codes)
    units, of_source = _units(len(predicted), groups), _units(len(source_predicted), source_groups)
    cost = predicted.size + source_predicted.size * len(shares)
    means = predicted.T @ _counts(units, cost, seed=seed)
    counts = _counts(of_source, cost, seed=seed + 1)
    resampled = [
        _solve(_normal(_sums_by_class(source_predicted * own[:, None], source_codes)), mean / mean.sum())
        for own, mean in zip(counts.T, means.T, strict=True)
    ]
    return _interval(shares, np.stack(resampled, axis=1), units, len(predicted))


def _check(predictions: Floats, classes: int) -> None:
    if predictions.ndim != 2 or not len(predictions) or predictions.shape[1] != classes:
        raise TableError(
            f"predictions have the shape {predictions.shape}; they must be (images, {classes}), with at least one image"
        )


def _ratios(probabilities: Floats, source_shares: Floats) -> Floats:
    """(m, k): the density of each class at each image, times a factor of the image; 0 for classes without a share."""
    shares = _normal(np.asarray(source_shares, np.float64))
    _check(probabilities, len(shares))
    if not shares.any():
        raise TableError("all source shares are 0; at least one class must have been learnt")
    ratios = np.zeros(probabilities.shape)
    np.divide(np.maximum(probabilities, LEAST_PROBABILITY), shares, out=ratios, where=shares > 0)
    ratios /= ratios.max(axis=1, keepdims=True)
    return ratios


def _em(ratios: Floats, counts: Floats, start: Floats, *, rounds: int, settled: float) -> Floats:
    """The likeliest shares (k, b) for each column of counts (m, b), from the shares (k, b) to start with."""
    shares = start
    total = counts.sum(axis=0)
    for _ in range(rounds):
        found = shares * (ratios.T @ (counts / (ratios @ shares))) / total
        change = float(np.abs(found - shares).max())
        shares = found
        if change < settled:
            break
    return shares


def _inner_point(shares: Floats, source_shares: Floats) -> Floats:
    """The shares with a little of those of the source, since EM never leaves 0."""
    mixed: Floats = 0.95 * shares + 0.05 * _normal(np.asarray(source_shares, np.float64))
    return mixed


def _sums_by_class(predicted: Floats, codes: NDArray[np.int64]) -> Floats:
    """(k, k): column j has the sum of the predictions for images of class j."""
    of_class = np.zeros((len(codes), predicted.shape[1]))
    of_class[np.arange(len(codes)), codes] = 1
    sums: Floats = predicted.T @ of_class
    return sums


def _solve(confusion: Floats, mean: Floats) -> Floats:
    """The shares of at least 0 that explain this mean prediction best; those of the prediction if none do."""
    shares, _ = nnls(confusion, mean)
    found: Floats = _normal(shares) if shares.any() else mean
    return found


def _normal(values: Floats) -> Floats:
    """Each column divided by its sum; columns of 0 unchanged."""
    total = values.sum(axis=0)
    normal: Floats = values / np.where(total > 0, total, 1)
    return normal


def _units(count: int, groups: NDArray[np.bytes_] | None) -> Units:
    """What is resampled: images, or groups."""
    if groups is None:
        return Units(np.arange(count), count, "images", np.ones(count))
    names, of_image = np.unique(groups, return_inverse=True)
    return Units(of_image, len(names), GROUPS, np.bincount(of_image, minlength=len(names)).astype(np.float64))


def _counts(units: Units, cost: int, *, seed: int) -> Floats:
    """(m, b): how often each image is in each of b resamples."""
    resamples = affordable(cost * ROUNDS_OF_RESAMPLES // 10, RESAMPLES)
    drawn = np.concatenate(list(units.draw(resamples, seed=seed)), axis=1)[:, 1:]
    return drawn[units.of_image].astype(np.float64)


def _interval(shares: Floats, resampled: Floats, units: Units, images: int) -> Floats:
    """(k, 2): percentiles of shares (k, b), at least as wide as if classes were known; under half an image is 0."""
    size = kish_size(units.weights)
    low, high = np.quantile(resampled, ENDS, axis=1)
    known = np.array([wilson(float(share), size) for share in np.clip(shares, 0, 1)])
    low = np.minimum(low, known[:, 0])
    low[low < 0.5 / images] = 0
    return np.stack([low, np.maximum(high, known[:, 1])], axis=1)
