"""What all adapters have in common: `sample_domain` says which rows are of the source and which of the target."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import validate_data

from featx.errors import HeadError
from featx.estimators.domains.pair import DomainPair
from featx.estimators.rows import FLOATS, validated_rows


class DomainAdapter(OneToOneFeatureMixin, TransformerMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """A transformer after which a classifier that has learnt the source fits the target too.

    `sample_domain` (n,) says where rows come from: above 0 from the source, below 0 from the target (the convention of
    skada). Labels of target rows are never read. Weights of rows are not used.
    """

    maps_target: ClassVar[bool]
    """Whether rows of the target change; if not, a head needs the adapter for training alone."""
    n_features_in_: int

    def fit(self, X: NDArray[Any], y: ArrayLike | None = None, *, sample_domain: ArrayLike | None = None) -> Self:
        """The adapter, fitted to rows X (n, d) of both domains.

        Without `sample_domain` all rows count as both source and target, so that there is nothing to adapt. Raises
        HeadError if a domain has no rows.
        """
        X = validate_data(self, X, dtype=FLOATS)
        if sample_domain is None:
            return self.fit_pair(DomainPair(X, X, y))
        of_source = is_of_source(sample_domain, rows=len(X))
        known = None if y is None else np.asarray(y)[of_source]
        return self.fit_pair(DomainPair(X[of_source], X[~of_source], known))

    def fit_domains(self, source: NDArray[Any], target: NDArray[Any], *, labels: ArrayLike | None = None) -> Self:
        """The adapter, fitted to the rows of a source (n, d) and of a target (m, d), which may be memory maps.

        `labels` (n,) are those of the source. Raises HeadError as `DomainPair` does.
        """
        return self.fit_pair(DomainPair(source, target, labels))

    def fit_pair(self, pair: DomainPair) -> Self:
        """The adapter, fitted to two domains; several adapters that are given the same pair share work."""
        self.n_features_in_ = pair.source.shape[1]
        self._fit_pair(pair)
        return self

    def fit_transform(
        self, X: NDArray[Any], y: ArrayLike | None = None, *, sample_domain: ArrayLike | None = None
    ) -> NDArray[Any]:
        """The rows X (n, d) of both domains, each adapted as its domain is."""
        return self.fit(X, y, sample_domain=sample_domain).transform(X, sample_domain=sample_domain)

    def transform(self, X: NDArray[Any], *, sample_domain: ArrayLike | None = None) -> NDArray[Any]:
        """The adapted rows (m, d); without `sample_domain` all of them are of the target."""
        X = validated_rows(self, X)
        if sample_domain is None:
            return self._adapt_target(X)
        of_source = is_of_source(sample_domain, rows=len(X))
        if of_source.all():
            return self._adapt_source(X)
        adapted = np.empty_like(X)
        adapted[of_source] = self._adapt_source(X[of_source])
        adapted[~of_source] = self._adapt_target(X[~of_source])
        return adapted

    @abstractmethod
    def _fit_pair(self, pair: DomainPair) -> None:
        """Fit to the two domains."""

    def _adapt_source(self, X: NDArray[Any]) -> NDArray[Any]:
        """The adapted rows (n, d) of the source."""
        return X

    def _adapt_target(self, X: NDArray[Any]) -> NDArray[Any]:
        """The adapted rows (m, d) of the target."""
        return X


def is_of_source(sample_domain: ArrayLike, *, rows: int) -> NDArray[np.bool_]:
    """Whether each row (n,) is of the source. Raises HeadError unless there is a number other than 0 for each row."""
    given = np.asarray(sample_domain)
    if given.shape != (rows,) or given.dtype.kind not in "fiu" or not (np.abs(given) > 0).all():
        raise HeadError(
            f"sample_domain of shape {given.shape} must have a number for each of {rows} rows, "
            "above 0 for the source and below 0 for the target"
        )
    return np.asarray(given > 0)
