"""What several layers of the frozen backbone give on the same images: the rival of every fine-tuning."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable, Part
from featx.errors import FineTuningError
from featx.heads import calibrate
from featx.labels import Labels
from featx.measures import to_probabilities
from featx.tables import RowIndices, first_rows

GAMMAS = (0.1, 0.3, 1.0, 3.0)
"""Of the RBF kernel, for distances whose mean over pairs of images is about 2."""
PENALTIES = tuple(10.0 ** np.arange(-3, 1.5, 0.5))
"""The smallest leaves the fit to its rows, the largest hardly trusts them: the kernel of an image with itself is 2."""
AT_ONCE = 1_024
"""Number of rows whose distances to all fitted rows are in memory at a time."""
MOST_ROWS = 6_000
"""Most rows that are fitted, since time grows with the cube; from a larger table this number is drawn."""
LEAST_DEVIATION = 1e-8
"""Columns that vary less are constant, and left out."""

Matrix = NDArray[np.float64]


def layer_probabilities(table: FeatureTable, *, fit: RowIndices, rows: RowIndices) -> NDArray[np.float64]:
    """The probabilities (m, classes) of m `rows`, by kernel ridge regression on all columns, fitted to the rows `fit`.

    The table has several layers of a backbone, such as the outputs that `layers` stands for, best as the mean over
    views. Columns are standardised on the rows of the fit, and every output has an equal say in the distances between
    images, of which the kernel is 1 + exp(-gamma x distance). Gamma, the penalty and the temperature are those with
    the lowest log loss of the rows of the fit, each scored without itself, or without its group if there are groups;
    these scores are exact (Golub, Heath & Wahba 1979). The classes are those of the table; a class without a row in
    the fit has probability 0.

    The rows of the fit are labelled and have weights above 0. If there are more than 6,000, that number is drawn.

    Raises FineTuningError if the rows of the fit are of fewer than two classes, or if images have several labels.

    >>> import featx
    >>> from featx.finetuning import layer_probabilities
    >>> backbone = featx.select_outputs(featx.load_backbone("efficientnet-lite0"), ["layers"])
    >>> _ = featx.extract_features(featx.list_images("photos"), backbone, into="layers.h5")
    >>> table = featx.read_features("layers.h5", outputs=["layers"])
    >>> split = featx.make_splits(table)[0]
    >>> layer_probabilities(table, fit=split.development, rows=split.test).shape
    (15, 5)
    """
    if table.multilabel:
        raise FineTuningError("images with several labels cannot be fitted so; choose one class at a time")
    fit = first_rows(table, fit, count=MOST_ROWS) if len(fit) > MOST_ROWS else fit
    labels = table.labels_of(fit)
    present = np.flatnonzero(labels.class_totals > 0)
    if len(present) < 2:
        raise FineTuningError("the images to learn from are of one class; give images of two classes or more")
    blocks = [_Block.of(part, fit) for part in table.parts]
    best = min(_fits(_near(blocks), _of_classes(labels, present)), key=lambda one: one.loss)
    probabilities = np.zeros((len(rows), len(table.classes)))
    for start in range(0, len(rows), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        far = np.mean([block.distances(block.read(rows[some])) for block in blocks], axis=0)
        scores = (1 + np.exp(-best.gamma * far)) @ best.dual
        probabilities[some, present] = to_probabilities(scores, temperature=best.temperature)
    return probabilities


def _of_classes(labels: Labels, present: NDArray[np.int64]) -> Labels:
    """The labels with these classes only, which are all that occur."""
    return replace(
        labels,
        classes=tuple(labels.classes[place] for place in present),
        codes=np.searchsorted(present, labels.codes),
        given_shares=None if labels.given_shares is None else labels.given_shares[:, present],
    )


@dataclass(frozen=True)
class _Block:
    """The columns of one output, standardised on the rows of the fit and divided by the root of their number."""

    part: Part
    varies: NDArray[np.bool_]
    centre: NDArray[np.float32]
    scale: NDArray[np.float32]
    known: NDArray[np.float32]
    """(n, d): the rows of the fit."""

    @classmethod
    def of(cls, part: Part, fit: RowIndices) -> "_Block":
        """The block, with constant columns left out."""
        known = _read(part, fit)
        deviation = known.std(axis=0, dtype=np.float64)
        varies = deviation > LEAST_DEVIATION
        scale = (deviation[varies] * np.sqrt(max(1, varies.sum()))).astype(np.float32)
        centre = known.mean(axis=0, dtype=np.float64)[varies].astype(np.float32)
        return cls(part, varies, centre, scale, (known[:, varies] - centre) / scale)

    def read(self, rows: RowIndices) -> NDArray[np.float32]:
        """(m, d): these rows."""
        return (_read(self.part, rows)[:, self.varies] - self.centre) / self.scale

    def distances(self, rows: NDArray[np.float32]) -> Matrix:
        """(m, n): square distances of standardised rows (m, d) to those of the fit."""
        lengths, others = ((some.astype(np.float64) ** 2).sum(axis=1) for some in (self.known, rows))
        return np.asarray((others[:, None] + lengths - 2.0 * (rows @ self.known.T)).clip(0))


def _near(blocks: Sequence[_Block]) -> Matrix:
    """(n, n): square distances among the rows of the fit, the mean over all outputs."""
    near = np.mean([block.distances(block.known) for block in blocks], axis=0)
    np.fill_diagonal(near, 0)
    return np.asarray(near)


def _read(part: Part, rows: RowIndices) -> NDArray[np.float32]:
    found = np.empty((len(rows), part.width), np.float32)
    part.read(rows, out=found)
    return found


@dataclass(frozen=True)
class _Fit:
    """A kernel ridge regression, and how well it scores its rows, each without itself."""

    gamma: float
    dual: Matrix
    """(n, classes)."""
    temperature: float
    loss: float


def _fits(near: Matrix, labels: Labels) -> Iterator[_Fit]:
    """The fit of every gamma and every penalty."""
    roots = np.sqrt(labels.weights)[:, None]
    targets = 2 * labels.shares - 1
    units = [] if labels.groups is None else [np.flatnonzero(labels.groups == one) for one in np.unique(labels.groups)]
    for gamma in GAMMAS:
        values, vectors = np.linalg.eigh(roots * (1 + np.exp(-gamma * near)) * roots.T)
        turned = vectors.T @ (roots * targets)
        for l2 in PENALTIES:
            inverse = 1 / (values.clip(0) + l2)
            solved = vectors @ (inverse[:, None] * turned)
            errors = _left_out(vectors, inverse, solved, units)
            found = calibrate(targets - errors / roots, labels)
            yield _Fit(gamma, roots * solved, found.temperature, found.loss)


def _left_out(vectors: Matrix, inverse: NDArray[np.float64], solved: Matrix, units: list[NDArray[np.int64]]) -> Matrix:
    """(n, classes): errors of the rows times the roots of their weights, each fitted without its unit."""
    if not units:
        return np.asarray(solved / (vectors**2 @ inverse)[:, None])
    errors = np.empty_like(solved)
    for unit in units:
        within = (vectors[unit] * inverse) @ vectors[unit].T
        errors[unit] = np.linalg.solve(within, solved[unit])
    return errors
