"""The rows of two domains, and their moments, which all adapters share."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from featx.errors import HeadError
from featx.estimators.domains.moments import Covariance, Moments, measure_covariance, measure_moments
from featx.estimators.scaling import per_deviation


@dataclass(frozen=True, eq=False)
class DomainPair:
    """The rows of a source (n, d) and of a target (m, d); what adapters need of them is computed once.

    Arrays may be memory maps: they are read in blocks, and never copied as a whole. There are labels (n,) of the source
    only. Raises HeadError if the domains do not have the same columns, if one has no rows, or if a number is NaN or
    infinite.

    >>> import numpy as np
    >>> from featx.estimators import CoralAdapter, DomainPair, TransportAdapter
    >>> rng = np.random.default_rng(0)
    >>> pair = DomainPair(rng.normal(size=(90, 3)), rng.normal(size=(60, 3)))
    >>> adapters = [adapter.fit_pair(pair) for adapter in (CoralAdapter(), TransportAdapter())]
    """

    source: NDArray[Any]
    target: NDArray[Any]
    labels: ArrayLike | None = None

    def __post_init__(self) -> None:
        for name, rows in (("source", self.source), ("target", self.target)):
            if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.dtype.kind not in "fiu":
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

    @cached_property
    def factor(self) -> NDArray[np.float64]:
        """What columns (d,) are multiplied by before covariances: 1 / root of their mean variance in both domains."""
        return per_deviation((self.source_moments.variance + self.target_moments.variance) / 2)

    @cached_property
    def source_covariance(self) -> Covariance:
        """The shrunk covariance of the source's scaled columns."""
        return measure_covariance(self.source, self.source_moments, factor=self.factor, name="source")

    @cached_property
    def target_covariance(self) -> Covariance:
        """The shrunk covariance of the target's scaled columns."""
        return measure_covariance(self.target, self.target_moments, factor=self.factor, name="target")
