"""PACTran-Gauss: a bound on the loss that a linear classifier of a source's features has on images never seen."""

import numpy as np
from numpy.typing import ArrayLike

from featx.estimators import fit_along_axes
from featx.measures import to_probabilities
from featx.transfer.scores.measured import Measured
from featx.transfer.scores.rows import Floats, Indices, LabelledRows, rows_of_arrays
from featx.transfer.scores.spectrum import Spectrum, gather

ROWS = 8_000
"""Of more rows this many are drawn, and the first one drawn of each class that would have none."""
REACH = 1.0
"""The published lambda sigma_0^2, for each row."""
SPREAD = 10.0
"""The published D sigma_0^2: the variance that the score of a class has under the prior, for a row of mean length."""
TOLERANCE = 1e-5


def gaussian_bound(features: ArrayLike, labels: ArrayLike, *, weights: ArrayLike | None = None, seed: int = 0) -> float:
    """PACTran-Gauss of features (n, D) for labels (n,), in nats per row: minus a bound, so that larger is better.

    The bound is the smallest L(W) + |W|^2 / 2m + K s / 2m ln(1 + m tr(H) / K D) over W (K, D) by its first two terms:
    L is the mean cross-entropy of softmax regression with an intercept, H its second derivative by W, K the number of
    classes, m = lambda sigma_0^2 and s = D sigma_0^2, for a Gaussian prior of variance sigma_0^2 (Ding et al. 2022,
    arXiv 2203.05126, PACTran with a Gaussian prior). Of the published settings these are m = n and s = 10. The
    published code takes the sum over rows in H, where L has the mean. Rows are centred, and scaled so that their mean
    squared length is D: units do not count. Of more than 8,000 rows, 8,000 are drawn. Raises TableError for fewer than
    two classes.

    >>> import numpy as np
    >>> from featx.transfer import gaussian_bound
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(200) % 2
    >>> far, near = rng.normal(size=(2, 200, 5)) + np.array([5, 0])[:, None, None] * labels[:, None]
    >>> gaussian_bound(far, labels) > gaussian_bound(near, labels)
    True
    """
    rows = rows_of_arrays(features, labels, weights=weights)
    return gather(rows, lambda rows, spectrum: GaussianBound(rows, spectrum, seed=seed)).value()


class GaussianBound:
    """Collects the coordinates along the principal axes of all rows, or of those that are drawn."""

    def __init__(self, rows: LabelledRows, spectrum: Spectrum, *, seed: int) -> None:
        self._rows = rows
        self._places = _draw(rows, seed=seed)
        variance = float(spectrum.values.sum()) / len(rows)
        self._scale = np.sqrt(rows.columns / variance) if variance else 1.0
        self._curvatures = spectrum.values * self._scale**2 * len(self._places) / len(rows)
        self._coordinates = np.empty((len(self._places), len(spectrum.values)), rows.precision)

    def add(self, places: Indices, *, centred: Floats, turned: Floats) -> None:
        """Keep those of these rows that were drawn, whose coordinates along the axes are `turned` (b, k)."""
        slots = np.searchsorted(self._places, places).clip(max=len(self._places) - 1)
        drawn = self._places[slots] == places
        self._coordinates[slots[drawn]] = turned[drawn] * self._scale

    def measured(self) -> Measured:
        """PACTran-Gauss of the rows that were kept."""
        return Measured(self.value())

    def value(self) -> float:
        """PACTran-Gauss of the rows that were kept."""
        shares = self._rows.shares(self._places)
        weights = self._rows.weights[self._places] / self._rows.weights[self._places].sum()
        coefficients, chances = self._fit(shares, weights)
        loss = -float(weights @ (shares * np.log(np.where(shares > 0, chances, 1))).sum(axis=1))
        lengths = np.square(self._coordinates).sum(axis=1, dtype=np.float64)
        curvature = float(weights @ (lengths * (chances * (1 - chances)).sum(axis=1)))
        reach = REACH * len(self._places)
        parameters = shares.shape[1] * self._rows.columns
        flatness = shares.shape[1] * SPREAD * np.log1p(reach * curvature / parameters)
        return -(loss + float(np.square(coefficients).sum() + flatness) / (2 * reach))

    def _fit(self, shares: Floats, weights: Floats) -> tuple[Floats, Floats]:
        """The coefficients (K, k) of the smallest penalised loss, and the chances (n, K) of the classes by them."""
        chances = np.zeros_like(shares)
        seen = np.flatnonzero(shares.any(axis=0))
        if not self._coordinates.shape[1]:
            chances += weights @ shares
            return np.zeros((len(seen), 0)), chances
        mass = shares[:, seen] * weights[:, None] * len(weights)
        coefficients, biases = fit_along_axes(
            self._coordinates, mass, curvatures=self._curvatures, l2=1 / REACH, tol=TOLERANCE
        )
        chances[:, seen] = to_probabilities(self._coordinates @ coefficients.T + biases)
        return coefficients, chances


def _draw(rows: LabelledRows, *, seed: int) -> Indices:
    """The rows that count, in order: all, or ROWS of them, with one of every class."""
    if len(rows) <= ROWS:
        return np.arange(len(rows))
    order = np.random.default_rng(seed).permutation(len(rows))
    firsts = np.unique(rows.labels.codes[order], return_index=True)[1]
    return np.union1d(order[:ROWS], order[firsts])
