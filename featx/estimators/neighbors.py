"""A classifier by the nearest training rows, and the search for them by cosine similarity."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator
from sklearn.model_selection import ParameterGrid
from sklearn.preprocessing import normalize
from sklearn.utils.validation import check_is_fitted

from featx.errors import HeadError
from featx.estimators.classifier import ProbabilityClassifier
from featx.estimators.rows import validated_rows
from featx.estimators.scores import Grid
from featx.estimators.targets import Targets

SIMILARITIES_AT_ONCE = 2**22
"""Number of similarities in memory at a time; as sort keys they take 32 MiB."""
UNIFORM_VOTE = 0.01
"""The part of all votes that is spread evenly over the classes.

Without it, one image whose class none of its neighbours has would make the best temperature infinite.
"""


def nearest_rows(
    queries: NDArray[Any], rows: NDArray[Any], *, count: int, skip_self: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The indices (m, k) and cosine similarities (m, k) of the rows nearest to each query, the nearest first.

    `queries` (m, d) and `rows` (n, d) have length 1, or 0: a row of zeros has similarity 0 to all. k is `count`, or the
    number of rows if that is less. Of equal similarities, as float32, the first row is the nearer one. With `skip_self`
    the queries are the rows themselves, and none is its own neighbour.
    """
    count = min(count, len(rows) - skip_self)
    indices = np.empty((len(queries), count), np.int64)
    similarities = np.empty((len(queries), count), np.float32)
    step = max(1, SIMILARITIES_AT_ONCE // len(rows))
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        found = (queries[part] @ rows.T).astype(np.float32, copy=False)
        if skip_self:
            inside = np.arange(len(found))
            found[inside, start + inside] = -np.inf
        indices[part], similarities[part] = _highest(found, count)
    return indices, similarities


def _highest(similarities: NDArray[np.float32], count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The columns of the highest numbers of each row, and these numbers, falling; of equal ones the first column.

    Each number and its column make one integer of 64 bits, so that one partition orders by both.
    """
    bits = (-similarities + np.float32(0)).view(np.int32)
    # the bits of negative floats fall while the floats rise
    ordered = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits).astype(np.int64)
    keys = (ordered << 32) | np.arange(similarities.shape[1])
    if count < keys.shape[1]:
        keys = np.partition(keys, count - 1, axis=1)[:, :count] if count else keys[:, :0]
    keys = np.sort(keys, axis=1)
    columns = keys & 0xFFFFFFFF
    return columns, np.take_along_axis(similarities, columns, axis=1)


class NeighborVoter(BaseEstimator, ABC):  # type: ignore[misc]
    """A classifier by the votes of the nearest training rows, which are searched for once for all parameter sets."""

    n_neighbors: int
    temperature: float
    rows_: NDArray[Any]
    """(n, d): the training rows with weight, scaled to length 1."""
    votes_: NDArray[np.float64]
    """(n, K): the votes of each of these rows."""

    def _scores_by_votes(self, X: NDArray[Any]) -> NDArray[np.float64]:
        return self._count(*nearest_rows(normalize(X), self.rows_, count=self.n_neighbors))

    def _sweep_votes(self, held_out: NDArray[Any], grid: Grid) -> Iterator[tuple[dict[str, Any], NDArray[np.float64]]]:
        """Each parameter set of the grid, with the scores of held-out rows (m, d)."""
        most = max(grid.get("n_neighbors", [self.n_neighbors]))
        indices, similarities = nearest_rows(normalize(held_out), self.rows_, count=most)
        for params in ParameterGrid(grid):
            self.set_params(**params)
            check_voting(self.n_neighbors, self.temperature)
            yield params, self._count(indices[:, : self.n_neighbors], similarities[:, : self.n_neighbors])

    def _count(self, indices: NDArray[np.int64], similarities: NDArray[np.float32]) -> NDArray[np.float64]:
        votes = count_votes(indices, similarities, self.votes_, temperature=self.temperature)
        return self._from_votes(votes)

    @abstractmethod
    def _from_votes(self, votes: NDArray[np.float64]) -> NDArray[np.float64]:
        """The scores of rows from the sums (m, K) of their neighbours' votes."""


class CosineNeighbors(NeighborVoter, ProbabilityClassifier):
    """The nearest training rows by cosine similarity s vote for their classes, each with exp(s / temperature).

    A vote also counts the weight of the row, and a row of soft labels divides its vote among its classes. One hundredth
    of all votes is spread evenly over the classes, so that none is impossible; this changes no ranking. Neighbours are
    counted in rows, whatever their weights; if there are fewer rows than `n_neighbors`, all of them vote. Of equally
    similar rows the first is the nearer one, and of equal votes the first class wins. The classifier keeps the training
    rows, scaled to length 1. Wu et al., arXiv 1805.01978; Caron et al., arXiv 2104.14294.

    >>> import numpy as np
    >>> from featx.estimators import CosineNeighbors
    >>> rows = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    >>> fitted = CosineNeighbors(n_neighbors=2).fit(rows, ["cat", "cat", "dog"])
    >>> fitted.predict_proba([[2.0, 0.0]]).round(3)
    array([[0.995, 0.005]])
    >>> indices, similarities = fitted.kneighbors([[2.0, 0.0]])
    >>> indices
    array([[0, 1]])
    """

    def __init__(self, n_neighbors: int = 20, temperature: float = 0.07) -> None:
        self.n_neighbors = n_neighbors
        self.temperature = temperature

    def kneighbors(self, X: NDArray[Any] | None = None) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The indices (m, k) and similarities (m, k) of the nearest training rows with weight, the most similar first.

        Without X, the neighbours of each training row among the other rows.
        """
        check_is_fitted(self)
        queries = self.rows_ if X is None else normalize(validated_rows(self, X))
        return nearest_rows(queries, self.rows_, count=self.n_neighbors, skip_self=X is None)

    def _learn(self, X: NDArray[Any], targets: Targets) -> None:
        check_voting(self.n_neighbors, self.temperature)
        self.rows_ = normalize(X)
        self.votes_ = targets.mass

    def _scores(self, X: NDArray[Any]) -> NDArray[Any]:
        return self._scores_by_votes(X)

    def _sweep(
        self, X: NDArray[Any], targets: Targets, held_out: NDArray[Any], grid: Grid
    ) -> Iterator[tuple[dict[str, Any], NDArray[Any]]]:
        self._learn(X, targets)
        yield from self._sweep_votes(held_out, grid)

    def _from_votes(self, votes: NDArray[np.float64]) -> NDArray[np.float64]:
        votes /= votes.sum(axis=1, keepdims=True)
        votes *= 1 - UNIFORM_VOTE
        votes += UNIFORM_VOTE / votes.shape[1]
        return votes


def count_votes(
    indices: NDArray[np.int64], similarities: NDArray[np.float32], votes: NDArray[np.float64], *, temperature: float
) -> NDArray[np.float64]:
    """The sums (m, K) of the votes (n, K) of each query's neighbours, each times its strength; the nearest has 1.

    `indices` and `similarities` (m, k) are those that `nearest_rows` returns.
    """
    # minus the highest similarity, so that exp does not overflow
    strength = np.exp((similarities - similarities[:, :1]).astype(np.float64) / temperature)
    starts = np.arange(len(indices) + 1) * indices.shape[1]
    chosen = csr_array((strength.ravel(), indices.ravel(), starts), shape=(len(indices), len(votes)))
    added: NDArray[np.float64] = chosen @ votes
    return added


def check_voting(n_neighbors: int, temperature: float) -> None:
    """Raise HeadError unless there is at least 1 neighbour and the temperature is above 0."""
    if n_neighbors < 1 or not temperature > 0:
        given = f"{n_neighbors} neighbours at temperature {temperature}"
        raise HeadError(f"{given}; give at least 1 neighbour and a temperature above 0")
