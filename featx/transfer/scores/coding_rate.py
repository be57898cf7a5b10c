"""TransRate: how much shorter the features are coded if the class of each row is known."""

import numpy as np
from numpy.typing import ArrayLike

from featx.transfer.scores.rows import Floats, LabelledRows, rows_of_arrays
from featx.transfer.scores.spectrum import Spectrum, decompose

DISTORTION = 1e-4
"""Mean squared error of the code, relative to the mean squared length of rows."""


def transrate(features: ArrayLike, labels: ArrayLike) -> float:
    """TransRate of features (n, D) for labels (n,), in nats; larger is better.

    It is the coding rate of all rows minus the mean coding rate of the rows of each class, where the rate of rows Z is
    1/2 log det (I + Z'Z / (n e)) (Huang et al. 2022, arXiv 2106.09362, equations 4 and 5). Rows are centred, and
    scaled so that their mean squared length is 1; e is 10^-4. Raises TableError for fewer than two classes.

    >>> import numpy as np
    >>> from featx.transfer import transrate
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(200) % 2
    >>> far, near = rng.normal(size=(2, 200, 5)) + np.array([5, 0])[:, None, None] * labels[:, None]
    >>> transrate(far, labels) > transrate(near, labels)
    True
    """
    rows = rows_of_arrays(features, labels)
    return transrate_of(rows, decompose(rows))


def transrate_of(rows: LabelledRows, spectrum: Spectrum) -> float:
    """TransRate of rows whose spectrum is known: the rows of one class are read at a time."""
    if not len(spectrum.values):
        return 0.0
    scale = len(rows) / spectrum.values.sum()
    whole = np.log1p(scale * spectrum.values / (len(rows) * DISTORTION)).sum() / 2
    rates = [_rate(_coordinates(rows, spectrum, number) * np.sqrt(scale)) for number in range(len(rows.totals))]
    return float(whole - rows.totals @ rates / len(rows))


def _coordinates(rows: LabelledRows, spectrum: Spectrum, number: int) -> Floats:
    """The coordinates (m, k) of the rows of one class."""
    places = np.flatnonzero(rows.labels.codes == number)
    return np.asarray((rows.read(places).astype(np.float64) - spectrum.mean) @ spectrum.axes)


def _rate(coordinates: Floats) -> float:
    """The coding rate of these rows, by the smaller of their two Gram matrices."""
    few = len(coordinates) < coordinates.shape[1]
    gram = coordinates @ coordinates.T if few else coordinates.T @ coordinates
    gram /= len(coordinates) * DISTORTION
    return float(np.linalg.slogdet(np.eye(len(gram)) + gram)[1]) / 2
