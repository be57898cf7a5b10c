"""GBC and N-LEEP: scores that take the features of each class, or of each cluster, for Gaussian."""

from functools import partial

import numpy as np
from numpy.typing import ArrayLike
from sklearn.mixture import GaussianMixture

from featx.transfer.scores.measured import Measured
from featx.transfer.scores.rows import Floats, Indices, LabelledRows, rows_of_arrays
from featx.transfer.scores.source_classes import leep_of
from featx.transfer.scores.spectrum import Spectrum, gather

MOST_AXES = 64
"""Number of principal axes in which Gaussians are fitted."""
EXPLAINED = 0.8
"""Share of the variance that the axes of clusters have."""
SEEDS = 3
"""Clusters depend on where they begin: the score is the mean over this many seeds."""
MOST_CLUSTERS = 200
"""More clusters would take long."""
LEAST_SHARE = 1e-3
"""A variance along an axis is at least this share of that of all rows: a class may have a single row."""


def gaussian_overlap(features: ArrayLike, labels: ArrayLike, *, weights: ArrayLike | None = None) -> float:
    """GBC of features (n, D) for labels (n,): minus the summed overlap of the classes, at most 0.

    Each class is a Gaussian with a diagonal covariance along the first 64 principal axes; the overlap of two is their
    Bhattacharyya coefficient (Pándy et al. 2022, arXiv 2111.12780, equations 3 to 5). Raises TableError for fewer than
    two classes.

    >>> import numpy as np
    >>> from featx.transfer import gaussian_overlap
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(200) % 2
    >>> far, near = rng.normal(size=(2, 200, 5)) + np.array([5, 1])[:, None, None] * labels[:, None]
    >>> gaussian_overlap(far, labels) > gaussian_overlap(near, labels)
    True
    """
    return gather(rows_of_arrays(features, labels, weights=weights), Overlap).value()


class Overlap:
    """Collects the mean and variance of each class along the first principal axes."""

    def __init__(self, rows: LabelledRows, spectrum: Spectrum) -> None:
        self._rows = rows
        self._axes = first_axes(spectrum, most=MOST_AXES)
        self._sums = np.zeros((len(rows.totals), len(self._axes)))
        self._squares = np.zeros_like(self._sums)

    def add(self, places: Indices, *, centred: Floats, turned: Floats) -> None:
        """Count these rows, whose coordinates along the axes are `turned` (b, k)."""
        first = turned[:, self._axes].astype(np.float64)
        mass = self._rows.mass(places)
        self._sums += mass.T @ first
        self._squares += mass.T @ np.square(first)

    def measured(self) -> Measured:
        """GBC of all rows."""
        return Measured(self.value())

    def value(self) -> float:
        """GBC of all rows."""
        totals = self._rows.totals[:, None]
        means = self._sums / totals
        whole = self._squares.sum(axis=0) / len(self._rows)
        variances = np.maximum(self._squares / totals - np.square(means), LEAST_SHARE * whole)
        return -2 * sum(float(_coefficients(means, variances, one).sum()) for one in range(len(means)))


def _coefficients(means: Floats, variances: Floats, one: int) -> Floats:
    """The Bhattacharyya coefficients of one class with each that comes after it."""
    shared = (variances[one] + variances[one + 1 :]) / 2
    apart = np.square(means[one] - means[one + 1 :]) / shared / 8
    spread = np.log(shared) / 2 - (np.log(variances[one]) + np.log(variances[one + 1 :])) / 4
    return np.asarray(np.exp(-(apart + spread).sum(axis=1)))


def first_axes(spectrum: Spectrum, *, most: int, explained: float = 1.0) -> Indices:
    """The positions of the axes of most variance, in falling order: this share of the variance, and at most `most`."""
    order = np.argsort(-spectrum.values)
    shares = np.cumsum(spectrum.values[order]) / spectrum.values.sum()
    count = int(np.searchsorted(shares, explained - np.finfo(np.float64).eps * len(shares))) + 1
    return order[: min(most, count)]


def clustered_leep(features: ArrayLike, labels: ArrayLike, *, seed: int = 0) -> float:
    """N-LEEP of features (n, D) for labels (n,), in nats per row: LEEP of the clusters that a row may belong to.

    Clusters are Gaussians with diagonal covariances along the axes of 80 % of the variance (64 at most). They are as
    many as classes, or a tenth of the rows if these are more, and at most 200 (Li et al. 2021, arXiv 2011.11200,
    section 3.2). The score is the mean over three seeds. Raises TableError for fewer than two classes.

    >>> import numpy as np
    >>> from featx.transfer import clustered_leep
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(100) % 2
    >>> far, near = rng.normal(size=(2, 100, 5)) + np.array([5, 0])[:, None, None] * labels[:, None]
    >>> clustered_leep(far, labels) > clustered_leep(near, labels)
    True
    """
    return gather(rows_of_arrays(features, labels), partial(Clusters, seed=seed)).value()


class Clusters:
    """Collects the coordinates along the first axes, in which clusters are then found."""

    def __init__(self, rows: LabelledRows, spectrum: Spectrum, *, seed: int) -> None:
        self._rows = rows
        self._seed = seed
        self._axes = first_axes(spectrum, most=MOST_AXES, explained=EXPLAINED)
        self._coordinates = np.empty((len(rows), len(self._axes)))

    def add(self, places: Indices, *, centred: Floats, turned: Floats) -> None:
        """Keep the first coordinates of these rows."""
        self._coordinates[places] = turned[:, self._axes]

    def measured(self) -> Measured:
        """N-LEEP of all rows."""
        return Measured(self.value())

    def value(self) -> float:
        """N-LEEP of all rows."""
        if not len(self._axes):
            return self._leep(np.ones((len(self._rows), 1)))
        return float(np.mean([self._of_seed(self._seed + place) for place in range(SEEDS)]))

    def _of_seed(self, seed: int) -> float:
        classes = len(self._rows.totals)
        count = max(min(classes, len(self._rows) // 5), len(self._rows) // 10, 1)
        mixture = GaussianMixture(min(count, MOST_CLUSTERS), covariance_type="diag", random_state=seed)
        chances = mixture.fit(self._coordinates).predict_proba(self._coordinates)
        return self._leep(chances)

    def _leep(self, chances: Floats) -> float:
        """LEEP of the chances (n, c) that rows belong to clusters."""
        return leep_of(LabelledRows(chances.__getitem__, self._rows.labels, chances.shape[1], np.float64))
