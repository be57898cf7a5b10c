"""Tests of whether two domains are the same, by permuting which units are of which domain."""

import numpy as np
from numpy.typing import NDArray

from featx.transfer.gaps.rows import Floats, GapRows, Indices

PERMUTATIONS = 499
MOST_IN_KERNEL = 500
"""Rows of either domain between which kernels are computed."""


def permute_domains(units: Indices, of_source: NDArray[np.bool_], *, seed: int) -> NDArray[np.bool_]:
    """(1 + PERMUTATIONS, n): whether each row counts as one of the source; the first row is the truth.

    Units of one domain are shuffled as wholes. The rows of a unit of both domains, such as a thing that both drew, are
    shuffled among themselves, so that it is always in both, with as many rows in each.
    """
    rng = np.random.default_rng(seed)
    numbers, unit = np.unique(units, return_inverse=True)
    in_source, in_target = (np.bincount(unit[mask], minlength=len(numbers)) > 0 for mask in (of_source, ~of_source))
    both = in_source & in_target
    single = np.flatnonzero(~both)
    shared = np.flatnonzero(both[unit])
    by_unit = shared[np.argsort(unit[shared], kind="stable")]
    drawn = np.empty((1 + PERMUTATIONS, len(units)), np.bool_)
    drawn[0] = of_source
    for row in drawn[1:]:
        assigned = in_source.copy()
        assigned[single] = in_source[rng.permutation(single)]
        row[:] = assigned[unit]
        shuffled = shared[np.lexsort((rng.random(len(shared)), unit[shared]))]
        row[shuffled] = of_source[by_unit]
    return drawn


def share_as_large(statistics: Floats) -> float:
    """The p-value: the share of all statistics, the true one among them, that are at least as large as the first."""
    return float(np.mean(statistics >= statistics[0] - 1e-12))


def compare_predictions(predicted: Floats, units: Indices, of_source: NDArray[np.bool_], *, seed: int) -> float:
    """The p-value of equal shares of predicted classes (n, K) in both domains, by the chi-square statistic.

    This is the test of label shift of Rabanser, Günnemann & Lipton (2019), with permutations.
    """
    drawn = permute_domains(units, of_source, seed=seed).astype(np.float64)
    total = predicted.sum(axis=0)
    inside = drawn @ predicted
    outside = total - inside
    rows = np.maximum(drawn.sum(axis=1, keepdims=True), 1)
    others = np.maximum(len(units) - rows, 1)
    differences = np.square(inside / rows - outside / others) / (1 / rows + 1 / others)
    statistics: Floats = (differences / np.maximum(total, 1)).sum(axis=1)
    return share_as_large(statistics)


def mean_discrepancy(rows: GapRows, *, seed: int) -> tuple[float, float]:
    """The squared maximum mean discrepancy of the domains, and its p-value by permutations of whole units.

    The unbiased estimate of Gretton et al. (2012, equation 3), between at most 500 rows of either domain along their
    principal axes. The width of the Gaussian kernel is the median distance between rows.
    """
    chosen = _draw(rows, seed=seed)
    kernel = _kernel(rows.directions[chosen])
    drawn = permute_domains(rows.units[chosen], rows.of_source[chosen], seed=seed).astype(np.float64)
    within = np.einsum("bn,bn->b", drawn @ kernel, drawn)
    in_source, in_target = drawn.sum(axis=1), len(chosen) - drawn.sum(axis=1)
    degrees = drawn @ kernel.sum(axis=1)
    outside = kernel.sum() - 2 * degrees + within
    values: Floats = (
        within / _pairs(in_source) + outside / _pairs(in_target) - 2 * (degrees - within) / (in_source * in_target)
    )
    return float(values[0]), share_as_large(values)


def _pairs(count: Floats) -> Floats:
    """Ordered pairs of different rows; at least 1."""
    return np.maximum(count * (count - 1), 1)


def _kernel(features: Floats) -> Floats:
    """(n, n): the Gaussian kernel of all pairs of rows, 0 on the diagonal."""
    squares = np.square(features).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares - 2 * features @ features.T, 0)
    between = distances[np.triu_indices(len(distances), 1)]
    width = float(np.median(between)) if len(between) else 0.0
    kernel: Floats = np.exp(-distances / width) if width > 0 else np.ones_like(distances)
    np.fill_diagonal(kernel, 0)
    return kernel


def _draw(rows: GapRows, *, seed: int) -> Indices:
    """At most MOST_IN_KERNEL rows of either domain, of units that are drawn for both."""
    rank = np.random.default_rng(seed).permutation(int(rows.units.max()) + 1)[rows.units]
    order = np.argsort(rank, kind="stable")
    of_source = rows.of_source[order]
    return np.concatenate([order[of_source][:MOST_IN_KERNEL], order[~of_source][:MOST_IN_KERNEL]])
