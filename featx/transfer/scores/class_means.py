"""How often the nearest class mean, of images that are not of an image's group, is that of its class."""

import numpy as np

from featx.transfer.scores.measured import Measured, measured_accuracy
from featx.transfer.scores.rows import Floats, Indices, LabelledRows
from featx.transfer.scores.spectrum import Spectrum

EMPTY = 1e-9
"""A class has no image left if no more than this part of its weight is."""


class ClassMeans:
    """Collects how often the nearest class mean is right, with means of standardised columns without the image's group.

    A class that only this group has is never predicted for it (Mensink et al. 2013, IEEE TPAMI 35(11)).
    """

    def __init__(self, rows: LabelledRows, spectrum: Spectrum) -> None:
        self._rows = rows
        self._deviations = deviations(spectrum)
        self._totals = rows.totals
        self._sums = (spectrum.axes @ spectrum.moments).T / self._deviations
        self._correct = np.zeros(len(rows))

    def add(self, places: Indices, *, centred: Floats, turned: Floats) -> None:
        """Predict these rows (b, D) minus the mean of all."""
        scaled = centred / self._deviations.astype(centred.dtype)
        if self._rows.labels.groups is None:
            nearest = self._distances_alone(places, scaled).argmin(axis=1)
        else:
            nearest = np.concatenate(
                [self._distances_of_group(places[group], scaled[group]) for group in self._rows.groups_in(places)]
            ).argmin(axis=1)
        self._correct[places] = self._rows.shares(places)[np.arange(len(places)), nearest]

    def measured(self) -> Measured:
        """The accuracy over all rows."""
        return measured_accuracy(self._correct, self._rows.labels)

    def _distances_alone(self, places: Indices, scaled: Floats) -> Floats:
        """(b, K): the squared distance of each row to the class means without that row.

        Without its part m of the total T of a class, a row is T / (T - m) times as far from the mean.
        """
        means = (self._sums / self._totals[:, None]).astype(scaled.dtype)
        squares = np.square(scaled).sum(axis=1)[:, None] + np.square(means).sum(axis=1) - 2 * scaled @ means.T
        left = self._totals - self._rows.mass(places)
        empty = left <= EMPTY * self._totals
        return np.where(empty, np.inf, squares * np.square(self._totals / np.where(empty, 1, left)))

    def _distances_of_group(self, places: Indices, scaled: Floats) -> Floats:
        """(g, K): the squared distances of the rows of one group to the class means without it, less a constant."""
        mass = self._rows.mass(places)
        left = self._totals - mass.sum(axis=0)
        empty = left <= EMPTY * self._totals
        means = (self._sums - mass.T @ scaled) / np.where(empty, 1, left)[:, None]
        return np.where(empty, np.inf, np.square(means).sum(axis=1) - 2 * scaled @ means.T)


def deviations(spectrum: Spectrum) -> Floats:
    """(D,): the standard deviation of each column; 1 for a constant one."""
    largest = float(spectrum.variances.max())
    varies = spectrum.variances > largest * np.finfo(np.float64).eps
    return np.sqrt(np.where(varies, spectrum.variances, 1.0))
