"""Nearest neighbours for images with several labels: they vote on every class separately."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import normalize

from featx.estimators.multilabel import IndicatorClassifier, SampleWeights
from featx.estimators.neighbors import UNIFORM_VOTE, NeighborVoter, check_voting
from featx.estimators.scores import Grid


class MultilabelNeighbors(NeighborVoter, IndicatorClassifier):
    """A CosineNeighbors of two classes, yes and no, for each column of an indicator (n, C), with one shared search.

    >>> import numpy as np
    >>> from featx.estimators import MultilabelNeighbors
    >>> rows = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    >>> indoors_and_sunny = np.array([[1, 0], [1, 1], [0, 1]])
    >>> fitted = MultilabelNeighbors(n_neighbors=2).fit(rows, indoors_and_sunny)
    >>> fitted.predict([[2.0, 0.0], [0.0, 1.0]])
    array([[1, 0],
           [0, 1]])
    """

    def __init__(self, n_neighbors: int = 20, temperature: float = 0.07) -> None:
        self.n_neighbors = n_neighbors
        self.temperature = temperature

    def _learn(self, X: NDArray[Any], indicator: NDArray[np.int64], weights: SampleWeights) -> None:
        check_voting(self.n_neighbors, self.temperature)
        mass = np.ones(len(X)) if weights is None else weights
        self.rows_ = normalize(X)
        self.votes_ = np.column_stack([mass[:, None] * indicator, mass])

    def _logits(self, X: NDArray[Any]) -> NDArray[np.float64]:
        return self._scores_by_votes(X)

    def _sweep(
        self,
        X: NDArray[Any],
        indicator: NDArray[np.int64],
        weights: SampleWeights,
        *,
        held_out: NDArray[Any],
        grid: Grid,
    ) -> Iterator[tuple[dict[str, Any], NDArray[np.float64]]]:
        self._learn(X, indicator, weights)
        yield from self._sweep_votes(held_out, grid)

    def _from_votes(self, votes: NDArray[np.float64]) -> NDArray[np.float64]:
        shares = (1 - UNIFORM_VOTE) * votes[:, :-1] / votes[:, -1:] + UNIFORM_VOTE / 2
        logits: NDArray[np.float64] = np.log(shares) - np.log1p(-shares)
        return logits
