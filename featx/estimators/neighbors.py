"""The nearest rows by the angle between them: a classifier, and the search that it shares with other questions."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.model_selection import ParameterGrid
from sklearn.preprocessing import normalize
from sklearn.utils.validation import check_is_fitted

from featx.errors import HeadError
from featx.estimators.classifier import ProbabilityClassifier
from featx.estimators.scores import Grid
from featx.estimators.targets import Targets

CHUNK = 2**22
"""Similarities that are held at a time; as keys they take 32 MiB."""
SHARED = 0.01
"""Of all votes: without it one image of a class that no neighbour is of would make every temperature infinite."""


def nearest_rows(
    queries: NDArray[Any], rows: NDArray[Any], *, count: int, themselves: bool = True
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Indices (m, k) and cosine similarities (m, k) of the rows (n, d) nearest to each query (m, d), the nearest first.

    k is `count`, or all rows where they are fewer. Of equal similarities, as float32, the row that comes first is the
    nearer. A row of zeros has similarity 0 to all. With `themselves` False the queries are the rows, and none is its
    own neighbour.
    """
    return nearest_directions(normalize(queries), normalize(rows), count=count, themselves=themselves)


def nearest_directions(
    queries: NDArray[Any], rows: NDArray[Any], *, count: int, themselves: bool = True
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The same for queries and rows of length 1."""
    count = min(count, len(rows) - (not themselves))
    indices = np.empty((len(queries), count), np.int64)
    similarities = np.empty((len(queries), count), np.float32)
    step = max(1, CHUNK // len(rows))
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        found = (queries[part] @ rows.T).astype(np.float32, copy=False)
        if not themselves:
            inside = np.arange(len(found))
            found[inside, start + inside] = -np.inf
        indices[part], similarities[part] = _highest(found, count)
    return indices, similarities


def _highest(similarities: NDArray[np.float32], count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The columns of the highest numbers of each row, and these, falling; of equal ones the first column.

    Number and column make one integer of 64 bits, so that one partition orders by both.
    """
    bits = (-similarities + np.float32(0)).view(np.int32)
    # the bits of negative floats fall where the floats rise
    ordered = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits).astype(np.int64)
    keys = (ordered << 32) | np.arange(similarities.shape[1])
    if count < keys.shape[1]:
        keys = np.partition(keys, count - 1, axis=1)[:, :count] if count else keys[:, :0]
    keys = np.sort(keys, axis=1)
    columns = keys & 0xFFFFFFFF
    return columns, np.take_along_axis(similarities, columns, axis=1)


class CosineNeighbors(ProbabilityClassifier):
    """Votes of the nearest training rows by cosine similarity s, each exp(s / temperature) times its weight.

    A hundredth of all votes is shared by all classes alike, so that none is impossible: that changes no ranking. A row
    of soft labels divides its vote by them. Neighbours are counted in rows, whatever their weights; where there are
    fewer rows than `n_neighbors`, all vote. Ties: of equally similar rows the first is the nearer, of equal votes the
    first class wins. Training rows are kept, at length 1. Wu et al., arXiv 1805.01978; Caron et al., 2104.14294.
    """

    def __init__(self, n_neighbors: int = 20, temperature: float = 0.07) -> None:
        self.n_neighbors = n_neighbors
        self.temperature = temperature

    def kneighbors(self, X: NDArray[Any] | None = None) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Indices (m, k) of the training rows of weight and similarities (m, k), the most similar first.

        Without X, those of each training row among the others.
        """
        check_is_fitted(self)
        queries = self.rows_ if X is None else normalize(self._checked(X))
        return nearest_directions(queries, self.rows_, count=self.n_neighbors, themselves=X is not None)

    def _learn(self, X: NDArray[Any], targets: Targets) -> None:
        self._check_parameters()
        self.rows_, self.votes_ = normalize(X), targets.mass

    def _scores(self, X: NDArray[Any]) -> NDArray[Any]:
        return self._vote(*nearest_directions(normalize(X), self.rows_, count=self.n_neighbors))

    def _sweep(
        self, X: NDArray[Any], targets: Targets, held_out: NDArray[Any], grid: Grid
    ) -> Iterator[tuple[dict[str, Any], NDArray[Any]]]:
        self._learn(X, targets)
        most = max(grid.get("n_neighbors", [self.n_neighbors]))
        indices, similarities = nearest_directions(normalize(held_out), self.rows_, count=most)
        for params in ParameterGrid(grid):
            self.set_params(**params)._check_parameters()
            yield params, self._vote(indices[:, : self.n_neighbors], similarities[:, : self.n_neighbors])

    def _vote(self, indices: NDArray[np.int64], similarities: NDArray[np.float32]) -> NDArray[np.float64]:
        votes = count_votes(indices, similarities, self.votes_, temperature=self.temperature)
        votes /= votes.sum(axis=1, keepdims=True)
        votes *= 1 - SHARED
        votes += SHARED / votes.shape[1]
        return votes

    def _check_parameters(self) -> None:
        check_voting(self.n_neighbors, self.temperature)


def count_votes(
    indices: NDArray[np.int64], similarities: NDArray[np.float32], votes: NDArray[np.float64], *, temperature: float
) -> NDArray[np.float64]:
    """(m, K): the votes (n, K) of each query's neighbours added, each times its strength, which the nearest has as 1.

    `indices`, `similarities` (m, k): as `nearest_rows` gives them.
    """
    # less the highest, which keeps exp from overflowing
    strength = np.exp((similarities - similarities[:, :1]).astype(np.float64) / temperature)
    starts = np.arange(len(indices) + 1) * indices.shape[1]
    chosen = csr_array((strength.ravel(), indices.ravel(), starts), shape=(len(indices), len(votes)))
    added: NDArray[np.float64] = chosen @ votes
    return added


def check_voting(n_neighbors: int, temperature: float) -> None:
    """Raises HeadError where neighbours cannot vote so."""
    if n_neighbors < 1 or not temperature > 0:
        given = f"{n_neighbors} neighbours at temperature {temperature}"
        raise HeadError(f"{given}; give at least 1 neighbour and a temperature above 0")
