"""What ridge regression predicts for each image without having seen it, exactly and for many penalties at once."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from featx.transfer.scores.rows import Floats, Indices, LabelledRows
from featx.transfer.scores.spectrum import Spectrum

PENALTIES = 10.0 ** np.arange(-5, 3.5, 0.5)
"""Penalties that are tried, as multiples of the number of rows times the mean variance of the columns."""
COLUMNS_AT_ONCE = 256
"""Number of classes times penalties that are fitted by one product, which reads the rows once."""


@dataclass(frozen=True)
class LeftOut:
    """How ridge regression predicts the images of each group, or each image, by a fit without them."""

    accuracy: float
    """With the best penalty, by weight."""
    press: float
    """Share of the variance of the classes that is predicted (Allen 1974), with its own best penalty; at most 1."""
    correct: Floats
    """(n,): the share of the predicted class in each image, with the penalty of the best accuracy."""
    penalty: float
    """That of the best `press`, as a multiple like PENALTIES."""


class LeaveOut:
    """Collects left-out predictions of a ridge regression of class shares, block by block.

    A row's left-out residual is its residual divided by 1 - leverage; those of a group are (1 - H)^-1 times its
    residuals, where H is the group's part of the hat matrix (Allen 1974; Cook & Weisberg 1982). The intercept has no
    penalty and is left out too.
    """

    def __init__(self, rows: LabelledRows, spectrum: Spectrum, *, penalties: Floats = PENALTIES) -> None:
        self._rows = rows
        self._spectrum = spectrum
        self._penalties = penalties
        self._bias = rows.totals / len(rows)
        unit = len(rows) * max(float(spectrum.variances.mean()), np.finfo(np.float64).tiny)
        self._inverses = 1 / (spectrum.values + unit * penalties[:, None])
        self._errors = np.zeros(len(penalties))
        self._correct = np.zeros((len(penalties), len(rows)), np.float32)

    def add(self, places: Indices, *, centred: Floats, turned: Floats) -> None:
        """Predict these rows, whose coordinates along the axes are `turned` (b, k)."""
        shares = self._rows.shares(places)
        for index, residuals in enumerate(self._left_out(places, turned)):
            top = (shares - residuals).argmax(axis=1)
            self._errors[index] += self._rows.weights[places] @ np.square(residuals).sum(axis=1)
            self._correct[index, places] = shares[np.arange(len(places)), top]

    def scores(self, places: Indices, turned: Floats) -> Floats:
        """The left-out class scores (b, K) of these rows, with the first penalty."""
        return np.asarray(self._rows.shares(places) - next(self._left_out(places, turned)))

    def result(self) -> LeftOut:
        """What all rows together show."""
        accuracies = self._correct @ self._rows.weights / len(self._rows)
        spread = float((self._rows.squares - self._rows.totals**2 / len(self._rows)).sum())
        predicted = 1 - self._errors / spread
        best = max(range(len(accuracies)), key=lambda index: (round(float(accuracies[index]), 12), predicted[index]))
        return LeftOut(
            accuracy=float(accuracies[best]),
            press=float(predicted.max()),
            correct=self._correct[best].astype(np.float64),
            penalty=float(self._penalties[predicted.argmax()]),
        )

    def _left_out(self, places: Indices, turned: Floats) -> Iterator[Floats]:
        """For each penalty the residuals (b, K) of these rows by fits without them, or without their groups."""
        if self._rows.labels.groups is not None:
            yield from self._without_groups(places, turned)
            return
        lengths = np.square(turned) @ self._inverses.T.astype(turned.dtype)
        leverages = self._rows.weights[places, None] * (1 / len(self._rows) + lengths)
        left = np.maximum(1 - leverages, np.finfo(np.float64).eps)
        yield from (one / part[:, None] for one, part in zip(self._residuals(places, turned), left.T, strict=True))

    def _residuals(self, places: Indices, turned: Floats) -> Iterator[Floats]:
        """For each penalty the residuals (b, K) of these rows by the fit to all rows, some penalties at a time."""
        expected = self._rows.shares(places) - self._bias
        step = max(1, COLUMNS_AT_ONCE // len(self._bias))
        for start in range(0, len(self._inverses), step):
            inverses = self._inverses[start : start + step]
            coefficients = inverses.T[:, :, None] * self._spectrum.moments[:, None]
            columns = len(inverses) * len(self._bias)
            fitted = turned @ coefficients.reshape(turned.shape[1], columns).astype(turned.dtype)
            yield from (expected - one for one in np.split(fitted, len(inverses), axis=1))

    def _without_groups(self, places: Indices, turned: Floats) -> Iterator[Floats]:
        """For each penalty the residuals (b, K) of these rows by fits without the group of each."""
        groups = self._rows.groups_in(places)
        roots = np.sqrt(self._rows.weights[places])[:, None]
        bias = np.full((len(turned), 1), np.sqrt(1 / len(self._rows)))
        for residuals, inverse in zip(self._residuals(places, turned), self._inverses, strict=True):
            halves = np.hstack([turned * np.sqrt(inverse), bias]) * roots
            left = np.empty_like(residuals)
            for group in groups:
                left[group] = _without_group(halves[group], roots[group] * residuals[group]) / roots[group]
            yield left


def _without_group(halves: Floats, residuals: Floats) -> Floats:
    """(I - S S')^-1 times the residuals (g, K) of a group, for S (g, q): by the smaller of the two systems."""
    if len(halves) <= halves.shape[1]:
        return np.asarray(np.linalg.solve(np.eye(len(halves)) - halves @ halves.T, residuals))
    inner = np.eye(halves.shape[1]) - halves.T @ halves
    return np.asarray(residuals + halves @ np.linalg.solve(inner, halves.T @ residuals))
