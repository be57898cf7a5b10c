"""TransRate: how much shorter the features are coded if the class of each row is known."""

import numpy as np
from numpy.typing import ArrayLike

from featx.transfer.scores.coding_rate import DISTORTION
from featx.transfer.scores.rows import LabelledRows, rows_of_arrays
from featx.transfer.scores.spectrum import Spectrum, decompose


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
    return transrate_of(rows, decompose(rows, class_rates=True))


def transrate_of(rows: LabelledRows, spectrum: Spectrum) -> float:
    """TransRate of rows whose spectrum is known, with the coding rates of the classes."""
    assert spectrum.class_rates is not None
    if not len(spectrum.values):
        return 0.0
    whole = np.log1p(spectrum.values / (spectrum.values.sum() * DISTORTION)).sum() / 2
    return float(whole - rows.totals @ spectrum.class_rates / len(rows))
