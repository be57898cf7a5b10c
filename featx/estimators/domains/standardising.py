"""Columns of the target are brought to the mean and scale that they have in the source."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from featx.errors import HeadError
from featx.estimators.domains.adapter import DomainAdapter
from featx.estimators.domains.moments import Moments, measure_moments
from featx.estimators.domains.pair import DomainPair
from featx.estimators.scaling import FeatureScaler, standardised

SHARES_SUM = 1e-3
"""How far from 1 the given shares of classes may sum, since people round them."""


class DomainStandardiser(DomainAdapter):
    """Gives every column of the target the mean and standard deviation that it has in the source.

    This is standardisation of each domain by its own statistics, written into the units of the source: rows of the
    source stay as they are. Few rows say little about the target, so its moments are drawn towards the source's: with m
    rows and k = m / (m + `shrinkage`), mean and variance are k x those of the target + (1 - k) x those of the source.
    Li et al., arXiv 1603.04779, do it inside a network.

    If the domains have other shares of classes, equal moments are not the same look. `target_shares` (class -> share in
    the target, 0 to 1, for every class of the source) then gives the moments of the source the target's composition:
    each row of the source weighs share in the target / share in the source of its class. This needs the source's
    labels.

    Attributes: `source_mean_`, `target_mean_` and `factor_` (d,). A column that is constant in the source becomes its
    value there; one that is constant in the target alone is shifted.

    >>> import numpy as np
    >>> from featx.estimators import DomainStandardiser
    >>> source, target = np.array([[0.0], [2.0]]), np.array([[10.0], [14.0]])
    >>> adapter = DomainStandardiser(shrinkage=0).fit_domains(source, target)
    >>> adapter.transform(target)
    array([[0.],
           [2.]])
    """

    maps_target = True

    def __init__(self, shrinkage: float = 50.0, *, target_shares: Mapping[Any, float] | None = None) -> None:
        self.shrinkage = shrinkage
        self.target_shares = target_shares

    def _fit_pair(self, pair: DomainPair) -> None:
        if not self.shrinkage >= 0:
            raise HeadError(f"shrinkage is {self.shrinkage} but is a number of rows; give 0 or more")
        source = pair.source_moments
        if self.target_shares is not None:
            if pair.labels is None:
                raise HeadError("shares of classes are given without labels of the source; give both")
            weights = composition_weights(pair.labels, self.target_shares)
            source = measure_moments(pair.source, name="source", weights=weights)
        self._keep(source, pair.target_moments)

    def fit_to_scaler(self, scaler: FeatureScaler, target: NDArray[Any]) -> Self:
        """The adapter for rows of a target (m, d), and for a source that is known by a scaler that was fitted to it.

        The scaler must have measured each column alone, as all but "overall" do.
        """
        source = Moments(0, scaler.mean_, 1 / np.square(scaler.factor_))
        self.n_features_in_ = len(source.mean)
        self._keep(source, measure_moments(target, name="target"))
        return self

    def _keep(self, source: Moments, measured: Moments) -> None:
        target = _drawn_towards(source, measured, shrinkage=self.shrinkage)
        self.source_mean_ = source.mean
        self.target_mean_ = target.mean
        varies = target.variance > 0
        self.factor_ = np.sqrt(np.divide(source.variance, target.variance, out=np.ones(len(varies)), where=varies))

    def _adapt_target(self, X: NDArray[Any]) -> NDArray[Any]:
        adapted = standardised(X, mean=self.target_mean_, factor=self.factor_)
        adapted += self.source_mean_.astype(X.dtype)
        return adapted


def _drawn_towards(source: Moments, target: Moments, *, shrinkage: float) -> Moments:
    """The moments of the target, with those of the source counted as `shrinkage` rows."""
    kept = target.rows / (target.rows + shrinkage)
    return Moments(
        target.rows,
        source.mean + kept * (target.mean - source.mean),
        source.variance + kept * (target.variance - source.variance),
    )


def composition_weights(labels: ArrayLike, target_shares: Mapping[Any, float]) -> NDArray[np.float64]:
    """The weights (n,) that give rows with these labels (n,) the given shares of classes.

    Raises HeadError unless there is a share for each class and for no other, none negative, with the sum 1.
    """
    given = np.asarray(labels)
    if given.ndim != 1:
        raise HeadError(f"labels of shape {given.shape} are given with shares of classes; give each row one label")
    classes, rows, counts = np.unique(given, return_inverse=True, return_counts=True)
    shares = _checked_shares(classes.tolist(), target_shares)
    weights: NDArray[np.float64] = (shares * len(rows) / counts)[rows]
    return weights


def _checked_shares(classes: list[Any], target_shares: Mapping[Any, float]) -> NDArray[np.float64]:
    """The share of each of the source's classes."""
    if missing := [one for one in classes if one not in target_shares]:
        raise HeadError(f"class {missing[0]!r} of the source has no share in the target; give 0 if it is not there")
    if foreign := [one for one in target_shares if one not in classes and target_shares[one] != 0]:
        raise HeadError(f"class {foreign[0]!r} has a share in the target but no rows in the source; leave it out")
    shares = np.array([target_shares[one] for one in classes], np.float64)
    if not (shares >= 0).all() or abs(shares.sum() - 1) > SHARES_SUM:
        raise HeadError(f"the shares of the classes are {shares.tolist()}; they must be at least 0 and sum to 1")
    normalised: NDArray[np.float64] = shares / shares.sum()
    return normalised
