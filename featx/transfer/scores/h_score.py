"""The H-score: how much of the variance of the features lies between the classes."""

import numpy as np
from numpy.typing import ArrayLike

from featx.transfer.scores.measured import Measured
from featx.transfer.scores.rows import Floats, Indices, LabelledRows, rows_of_arrays
from featx.transfer.scores.spectrum import Spectrum, gather


def shrunk_h_score(features: ArrayLike, labels: ArrayLike) -> float:
    """The H-score of features (n, D) for labels (n,), between 0 and the number of classes minus 1.

    It is tr(S^-1 (1 - d) B): S is the covariance of the features, shrunk by d towards a multiple of the identity
    (Ledoit & Wolf 2004), and B that of the class means (Bao et al. 2019; Ibrahim et al. 2021, arXiv 2110.06893,
    section 3). Without shrinkage it would be the largest possible for any labels of fewer images than columns. Raises
    TableError for fewer than two classes.

    >>> import numpy as np
    >>> from featx.transfer import shrunk_h_score
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(200) % 2
    >>> 0 < shrunk_h_score(rng.normal(size=(200, 5)) + labels[:, None], labels) < 1
    True
    """
    return gather(rows_of_arrays(features, labels), HScore).value()


class HScore:
    """Collects what the shrinkage depends on, block by block."""

    def __init__(self, rows: LabelledRows, spectrum: Spectrum) -> None:
        self._rows = rows
        self._spectrum = spectrum
        self._fourth = 0.0

    def add(self, places: Indices, *, centred: Floats, turned: Floats) -> None:
        """Count these rows, whose coordinates along the axes are `turned` (b, k)."""
        self._fourth += float(np.square(np.square(turned).sum(axis=1, dtype=np.float64)).sum())

    def measured(self) -> Measured:
        """The H-score of all rows."""
        return Measured(self.value())

    def value(self) -> float:
        """The H-score of all rows."""
        count = len(self._rows)
        variances = self._spectrum.values / count
        shrinkage = self._shrinkage(variances)
        mean = float(variances.sum()) / self._rows.columns
        between = np.square(self._spectrum.moments) @ (1 / self._rows.totals) / count
        shrunk = (1 - shrinkage) * variances + shrinkage * mean
        return float((1 - shrinkage) * (between / shrunk).sum())

    def _shrinkage(self, variances: Floats) -> float:
        """Ledoit and Wolf's d, between 0 and 1 (2004, equation 14)."""
        columns = self._rows.columns
        count = len(self._rows)
        squares = float(np.square(variances).sum())
        away = squares / columns - (float(variances.sum()) / columns) ** 2
        noise = (self._fourth / count - squares) / (columns * count)
        return min(noise, away) / away if away > 0 else 0.0
