"""What several layers of the frozen backbone give on the same images: the rival of every fine-tuning."""

from collections.abc import Iterator
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
    near, far = _distances(table, fit, rows)
    best = min(_fits(near, _of_classes(labels, present)), key=lambda one: one.loss)
    scores = (1 + np.exp(-best.gamma * far)) @ best.dual
    probabilities = np.zeros((len(rows), len(table.classes)))
    probabilities[:, present] = to_probabilities(scores, temperature=best.temperature)
    return probabilities


def _of_classes(labels: Labels, present: NDArray[np.int64]) -> Labels:
    """The labels with these classes only, which are all that occur."""
    return replace(
        labels,
        classes=tuple(labels.classes[place] for place in present),
        codes=np.searchsorted(present, labels.codes),
        given_shares=None if labels.given_shares is None else labels.given_shares[:, present],
    )


def _distances(table: FeatureTable, fit: RowIndices, rows: RowIndices) -> tuple[Matrix, Matrix]:
    """Square distances (n, n) among the rows of the fit, and (m, n) of others to them, the mean over all outputs."""
    near = np.zeros((len(fit), len(fit)))
    far = np.zeros((len(rows), len(fit)))
    for part in table.parts:
        known, others = _standardised(part, fit, rows)
        lengths = (known.astype(np.float64) ** 2).sum(axis=1)
        near += lengths[:, None] + lengths - 2.0 * (known @ known.T)
        far += (others.astype(np.float64) ** 2).sum(axis=1)[:, None] + lengths - 2.0 * (others @ known.T)
    near = near.clip(0) / len(table.parts)
    np.fill_diagonal(near, 0)
    return near, far.clip(0) / len(table.parts)


def _standardised(part: Part, fit: RowIndices, rows: RowIndices) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The columns of one output, standardised on the rows of the fit and divided by the root of their number."""
    known, others = (np.empty((len(some), part.width), np.float32) for some in (fit, rows))
    part.read(fit, out=known)
    part.read(rows, out=others)
    mean = known.mean(axis=0, dtype=np.float64)
    deviation = known.std(axis=0, dtype=np.float64)
    varies = deviation > LEAST_DEVIATION
    scale = (deviation[varies] * np.sqrt(max(1, varies.sum()))).astype(np.float32)
    centre = mean[varies].astype(np.float32)
    return (known[:, varies] - centre) / scale, (others[:, varies] - centre) / scale


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
