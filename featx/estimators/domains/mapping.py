"""Rows of the source are mapped so that they have the mean and covariance of the target."""

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.estimators.domains.adapter import DomainAdapter
from featx.estimators.domains.moments import Covariance, spectral
from featx.estimators.domains.pair import DomainPair
from featx.estimators.rows import GRAM_BYTES, centred_blocks
from featx.estimators.scaling import FAR


class _CovarianceAdapter(DomainAdapter):
    """Maps rows x of the source to (x - mean of the source) @ map_ + mean of the target."""

    maps_target = False

    def _fit_pair(self, pair: DomainPair) -> None:
        self.source_mean_ = pair.source_moments.mean
        self.target_mean_ = pair.target_moments.mean
        scaled = self._map(pair.source_covariance, pair.target_covariance)
        self.map_ = pair.factor[:, np.newaxis] * scaled / pair.factor

    @abstractmethod
    def _map(self, source: Covariance, target: Covariance) -> NDArray[np.float64]:
        """The map (d, d) between scaled rows of these covariances."""

    def _adapt_source(self, X: NDArray[Any]) -> NDArray[Any]:
        adapted = np.empty_like(X)
        kind = X.dtype if np.abs(self.map_).max() < FAR else np.float64
        matrix, mean = self.map_.astype(kind), self.target_mean_.astype(kind)
        for rows, block in centred_blocks(X, self.source_mean_.astype(kind), dtype=kind, size=GRAM_BYTES):
            np.matmul(block, matrix, out=adapted[rows])
            adapted[rows] += mean
        return adapted


class CoralAdapter(_CovarianceAdapter):
    """Maps the source so that it has the target's mean and covariance, by whitening and colouring.

    Rows of the source, minus their mean, are multiplied by C_s^(-1/2) C_t^(1/2), and get the mean of the target; rows
    of the target stay as they are. Covariances are shrunk by Ledoit & Wolf's rule, of columns that are first divided by
    the root of their mean variance in both domains. Sun, Feng & Saenko, arXiv 1511.05547.

    Attributes: `source_mean_`, `target_mean_` (d,) and `map_` (d, d), which multiplies rows from the right.

    >>> import numpy as np
    >>> from featx.estimators import CoralAdapter
    >>> rng = np.random.default_rng(0)
    >>> source, target = rng.normal(size=(500, 2)), rng.normal(size=(400, 2)) * [1, 3] + 5
    >>> adapter = CoralAdapter().fit_domains(source, target)
    >>> adapted = adapter.transform(source, sample_domain=np.ones(500))
    >>> adapted.mean(axis=0).round(), adapted.std(axis=0).round()
    (array([5., 5.]), array([1., 3.]))
    """

    def _map(self, source: Covariance, target: Covariance) -> NDArray[np.float64]:
        mapping: NDArray[np.float64] = source.power(-0.5) @ target.power(0.5)
        return mapping


class TransportAdapter(_CovarianceAdapter):
    """Maps the source so that it has the target's mean and covariance, by the map that moves rows least.

    It is the optimal transport (Monge map) between two normal distributions: rows of the source, minus their mean, are
    multiplied by T = C_s^(-1/2) (C_s^(1/2) C_t C_s^(1/2))^(1/2) C_s^(-1/2), and get the mean of the target; rows of the
    target stay as they are. Covariances are those of CoralAdapter. Flamary, Lounici & Ferrari, arXiv 1905.10155.

    Attributes: `source_mean_`, `target_mean_` (d,) and `map_` (d, d), which multiplies rows from the right; between
    columns of equal scale it is symmetric and positive definite.

    >>> import numpy as np
    >>> from featx.estimators import TransportAdapter
    >>> rng = np.random.default_rng(0)
    >>> source, target = rng.normal(size=(500, 2)), rng.normal(size=(400, 2)) * [1, 3] + 5
    >>> TransportAdapter().fit_domains(source, target).map_.diagonal().round()
    array([1., 3.])
    """

    def _map(self, source: Covariance, target: Covariance) -> NDArray[np.float64]:
        root, inverse = source.power(0.5), source.power(-0.5)
        between = root @ target.power(1) @ root
        values, axes = np.linalg.eigh((between + between.T) / 2)
        mapping: NDArray[np.float64] = inverse @ spectral(np.sqrt(values.clip(0)), axes) @ inverse
        return mapping
