"""How often the nearest neighbours of an image, among images that are not of its group, have its class."""

import numpy as np
from numpy.typing import NDArray

from featx.transfer.scores.class_means import deviations
from featx.transfer.scores.measured import Measured, measured_accuracy
from featx.transfer.scores.rows import Floats, Indices, LabelledRows
from featx.transfer.scores.spectrum import Spectrum

NEIGHBOURS = 20
"""Number of neighbours that vote, if there are as many."""
QUERIES = 1000
"""Number of images whose neighbours are looked for; of more images, this many are drawn."""
AT_ONCE = 1024
"""Number of images that are compared with the queries at once."""


class Neighbours:
    """Collects the nearest neighbours of some images by the cosine of standardised columns, block by block.

    Each neighbour votes with its weight (Cover & Hart 1967).
    """

    def __init__(self, rows: LabelledRows, spectrum: Spectrum, *, seed: int) -> None:
        self._rows = rows
        self._mean = spectrum.mean
        self._deviations = deviations(spectrum)
        self._places = draw_queries(len(rows), seed=seed)
        self._queries = self._directions(rows.read(self._places).astype(np.float64) - self._mean)
        self._nearest = np.zeros((len(self._places), 0), np.int64)
        self._similarities = np.zeros((len(self._places), 0), np.float32)

    def add(self, places: Indices, *, centred: Floats, turned: Floats) -> None:
        """Look among these rows (b, D) minus the mean of all."""
        for start in range(0, len(places), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            self._look_among(places[part], self._directions(centred[part]))

    def _look_among(self, places: Indices, directions: NDArray[np.float32]) -> None:
        found = self._queries @ directions.T
        found[self._is_same(places)] = -np.inf
        similarities = np.hstack([self._similarities, found])
        candidates = np.hstack([self._nearest, np.broadcast_to(places, found.shape)])
        count = min(NEIGHBOURS, similarities.shape[1])
        top = np.argpartition(similarities, -count, axis=1)[:, -count:]
        self._similarities = np.take_along_axis(similarities, top, axis=1)
        self._nearest = np.take_along_axis(candidates, top, axis=1)

    def measured(self) -> Measured:
        """The accuracy of the class with most votes."""
        top = np.array([self._elect(*one) for one in zip(self._nearest, self._similarities, strict=True)])
        correct = self._rows.shares(self._places)[np.arange(len(top)), top]
        return measured_accuracy(correct, self._rows.labels.take(self._places))

    def _elect(self, nearest: Indices, similarities: NDArray[np.float32]) -> int:
        """The class with most votes of these rows; those of the query's own group have none."""
        return int(self._rows.mass(nearest[np.isfinite(similarities)]).sum(axis=0).argmax())

    def _directions(self, centred: Floats) -> NDArray[np.float32]:
        scaled = centred / self._deviations.astype(centred.dtype)
        lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
        return np.asarray(scaled / np.where(lengths > 0, lengths, 1), np.float32)

    def _is_same(self, places: Indices) -> NDArray[np.bool_]:
        """(q, b): whether a row is the query itself, or of its group."""
        groups = self._rows.labels.groups
        of = np.arange(len(self._rows)) if groups is None else groups
        return np.asarray(of[self._places][:, None] == of[places][None])


def draw_queries(count: int, *, seed: int) -> Indices:
    """The rows whose neighbours are looked for, ascending: all, or QUERIES that are drawn."""
    if count <= QUERIES:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, QUERIES, replace=False))
