"""The rows of two domains, and their moments, which all adapters share."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from featx.errors import HeadError
from featx.estimators.scaling import column_moments


@dataclass(frozen=True)
class Moments:
    """How many rows a domain has, and the mean and variance (d,) of its columns, in float64."""

    rows: int
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DomainPair:
    """The rows of a source (n, d) and of a target (m, d); what adapters need of them is computed once.

    Arrays may be memory maps: they are read in blocks, and never copied as a whole. There are labels (n,) of the source
    only. Raises HeadError if the domains do not have the same columns, if one has no rows, or if a number is NaN or
    infinite.

    >>> import numpy as np
    >>> from featx.estimators import DomainPair, DomainStandardiser
    >>> rng = np.random.default_rng(0)
    >>> pair = DomainPair(rng.normal(size=(90, 3)), rng.normal(size=(60, 3)))
    >>> adapters = [adapter.fit_pair(pair) for adapter in (DomainStandardiser(), DomainStandardiser(0))]
    """

    source: NDArray[Any]
    target: NDArray[Any]
    labels: ArrayLike | None = None

    def __post_init__(self) -> None:
        for name, rows in (("source", self.source), ("target", self.target)):
            if np.ndim(rows) != 2 or rows.dtype.kind not in "fiu":
                raise HeadError(f"the {name} is no array of numbers (images, columns); give the features of its images")
            if not len(rows):
                raise HeadError(f"the {name} has no rows; adapting needs features of both domains")
        if self.source.shape[1] != self.target.shape[1]:
            raise HeadError(
                f"the source has {self.source.shape[1]} columns and the target {self.target.shape[1]}; "
                "give features of the same backbone"
            )
        if self.labels is not None and len(np.asarray(self.labels)) != len(self.source):
            raise HeadError(
                f"there are {len(np.asarray(self.labels))} labels for {len(self.source)} rows of the source; "
                "give each row of the source one label, and those of the target none"
            )

    @cached_property
    def source_moments(self) -> Moments:
        """The moments of the source."""
        return measure_moments(self.source, name="source")

    @cached_property
    def target_moments(self) -> Moments:
        """The moments of the target."""
        return measure_moments(self.target, name="target")


def measure_moments(rows: NDArray[Any], *, name: str, weights: NDArray[np.float64] | None = None) -> Moments:
    """The moments of rows (n, d) with weights (n,). Raises HeadError if a number is NaN or infinite."""
    with np.errstate(all="ignore"):
        mean, variance = column_moments(rows, weights)
    wrong = ~np.isfinite(mean + variance)
    if wrong.any():
        raise HeadError(
            f"column {int(wrong.argmax())} of the {name} is NaN, infinite or too large; leave such rows out"
        )
    return Moments(len(rows), mean, variance)
