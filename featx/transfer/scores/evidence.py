"""LogME: the evidence of a Bayesian linear model for the classes, given a source's features."""

import numpy as np
from numpy.typing import ArrayLike

from featx.transfer.scores.rows import Floats, LabelledRows, rows_of_arrays
from featx.transfer.scores.spectrum import Spectrum, decompose

FINEST = 1e-7
"""Relative width at which the search for the best ratio of precisions ends; within it the evidence is equal."""
GRID = 241
"""Number of ratios that are tried first, since the evidence may have several maxima."""
BEYOND = 1e12
"""Ratios are tried from the least eigenvalue divided by this to the largest one times this."""


def log_evidence(
    features: ArrayLike, labels: ArrayLike, *, weights: ArrayLike | None = None, intercept: bool = True
) -> float:
    """LogME of features (n, D) for labels (n,): the log-evidence in nats per row, averaged over the classes.

    Each class is a target y of 0 and 1 with y ~ N(F w + b, 1 / beta), w ~ N(0, 1 / alpha) and a flat prior for b; alpha
    and beta are those of the largest evidence (You et al. 2021, arXiv 2102.11005, equation 2, whose published code is
    wrong for fewer rows than columns). They are found on the evidence as a function of alpha / beta alone, on a grid
    and then by bisection, so that nothing depends on a number of iterations. It is a density: it can be above 0, and
    only differences between sources of the same images mean anything.

    A weight w of a row divides the variance of its y by w; only ratios of weights count. `intercept=False` leaves out
    b, as published. Raises TableError for fewer than two classes.

    >>> import numpy as np
    >>> from featx.transfer import log_evidence
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(200) % 2
    >>> good, noise = rng.normal(size=(2, 200, 5)) + np.array([1, 0])[:, None, None] * labels[:, None]
    >>> log_evidence(good, labels) > log_evidence(noise, labels)
    True
    """
    rows = rows_of_arrays(features, labels, weights=weights)
    return evidence_of(rows, decompose(rows, centred=intercept), intercept=intercept)


def evidence_of(rows: LabelledRows, spectrum: Spectrum, *, intercept: bool = True) -> float:
    """LogME of rows whose spectrum is known."""
    sizes = rows.squares - rows.totals**2 / len(rows) if intercept else rows.squares
    parts = np.square(spectrum.moments) / spectrum.values[:, None]
    freedom = len(rows) - intercept
    rest = np.maximum(sizes - parts.sum(axis=0), 0) if len(spectrum.values) < freedom else np.zeros(len(sizes))
    best = _maximise(_Evidence(spectrum.values, parts, rest, freedom)) if len(parts) else _without_axes(rest, freedom)
    constant = np.log(rows.weights).sum() / 2 - (np.log(len(rows)) / 2 if intercept else 0)
    return float((best + constant).mean() / len(rows))


def _without_axes(sizes: Floats, freedom: int) -> Floats:
    """The log-evidence for constant features, which predict the mean alone, for each sum of squares."""
    return np.asarray(-freedom / 2 * (np.log(2 * np.pi * sizes / freedom) + 1))


class _Evidence:
    """The log-evidence of each class as a function of the logarithm of alpha / beta, maximised over beta."""

    def __init__(self, values: Floats, parts: Floats, rest: Floats, freedom: int) -> None:
        self.values = values
        self._parts = parts
        self._rest = rest
        self._freedom = freedom

    def at(self, logs: Floats) -> Floats:
        """(K,): for each class at its own log ratio (K,)."""
        ratios = np.exp(logs)
        shrunk = self.values[:, None] + ratios
        left = (self._parts * (ratios / shrunk)).sum(axis=0) + self._rest
        return np.asarray(_without_axes(left, self._freedom) - np.log1p(self.values[:, None] / ratios).sum(axis=0) / 2)

    def on(self, grid: Floats) -> Floats:
        """(g, K): for every class at all log ratios (g,), by one product of matrices."""
        ratios = np.exp(grid)[:, None]
        left = (ratios / (self.values + ratios)) @ self._parts + self._rest
        volumes = np.log1p(self.values / ratios).sum(axis=1, keepdims=True)
        return np.asarray(_without_axes(left, self._freedom) - volumes / 2)


def _maximise(evidence: _Evidence) -> Floats:
    """(K,): the largest evidence of each class: the best of a grid, then golden sections around it."""
    low = float(np.log(evidence.values.min() / BEYOND))
    high = float(np.log(evidence.values.max() * BEYOND))
    grid = np.linspace(low, high, GRID)
    tried = evidence.on(grid)
    peak = grid[tried.argmax(axis=0)]
    step = grid[1] - grid[0]
    return np.asarray(np.maximum(_golden(evidence, peak - step, peak + step), tried.max(axis=0)))


def _golden(evidence: _Evidence, low: Floats, high: Floats) -> Floats:
    """(K,): the maximum between these log ratios (K,), by golden sections (Kiefer 1953)."""
    part = float(np.sqrt(5) - 1) / 2
    left = high - part * (high - low)
    right = low + part * (high - low)
    at_left, at_right = evidence.at(left), evidence.at(right)
    while (high - low).max() > FINEST:
        is_left = at_left > at_right
        low = np.where(is_left, low, left)
        high = np.where(is_left, right, high)
        kept, at_kept = np.where(is_left, left, right), np.where(is_left, at_left, at_right)
        new = np.where(is_left, high - part * (high - low), low + part * (high - low))
        at_new = evidence.at(new)
        left, right = np.where(is_left, new, kept), np.where(is_left, kept, new)
        at_left, at_right = np.where(is_left, at_new, at_kept), np.where(is_left, at_kept, at_new)
    return np.asarray(np.maximum(at_left, at_right))
