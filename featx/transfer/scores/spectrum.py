"""The principal axes of a source's features, and where the classes lie along them: what most scores follow from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from featx.transfer.scores.coding_rate import coding_rate
from featx.transfer.scores.rows import Floats, Indices, LabelledRows


@dataclass(frozen=True)
class Spectrum:
    """The eigendecomposition of the weighted Gram matrix of n rows (n, D) minus their mean.

    Weights are 1 on average. Of axes along which rows do not vary there are none, so that k <= min(n, D).
    """

    mean: Floats
    """(D,)"""
    variances: Floats
    """(D,): the variance of each column."""
    values: Floats
    """(k,): eigenvalues, all above 0: n times the variance along each axis."""
    axes: Floats
    """(D, k): one eigenvector a column."""
    moments: Floats
    """(k, K): along each axis, the sum over rows of weight x share of the class x coordinate."""
    class_rates: Floats | None = None
    """(K,): the coding rate of each class, in nats, if asked for; the mean squared length of all rows is 1 there."""


class Collector(Protocol):
    """Collects what a score depends on, block by block."""

    def add(self, places: Indices, *, centred: Floats, turned: Floats) -> None:
        """Count these rows: minus the mean of all (b, D), and along the axes (b, k)."""


Collected = TypeVar("Collected", bound=Collector)


def collect(rows: LabelledRows, spectrum: Spectrum, collectors: Sequence[Collector]) -> None:
    """Give all rows to each collector, by one pass over them, in `rows.precision`."""
    mean = spectrum.mean.astype(rows.precision)
    axes = spectrum.axes.astype(rows.precision)
    for places, block in rows.blocks(rows.precision):
        centred = np.subtract(block, mean, out=block)
        turned = centred @ axes
        for collector in collectors:
            collector.add(places, centred=centred, turned=turned)


def gather(rows: LabelledRows, make: Callable[[LabelledRows, Spectrum], Collected]) -> Collected:
    """The collector that `make` returns, with all rows."""
    spectrum = decompose(rows)
    collector = make(rows, spectrum)
    collect(rows, spectrum, [collector])
    return collector


def decompose(rows: LabelledRows, *, centred: bool = True, class_rates: bool = False) -> Spectrum:
    """The spectrum of these rows, in float64, by one pass over them; of their smaller Gram matrix.

    With `centred=False` nothing is subtracted from the rows. `class_rates` is for rows of one class each and equal
    weights: the Gram matrix is then the sum of those of the classes, which costs a further pass for the mean.
    """
    if len(rows) <= rows.columns:
        return _decompose_rows(rows, centred=centred, class_rates=class_rates)
    return _decompose_columns(_Sums.by_class(rows) if class_rates else _Sums.of(rows, centred=centred), rows)


def _decompose_rows(rows: LabelledRows, *, centred: bool, class_rates: bool) -> Spectrum:
    """By the inner products (n, n): no more rows than columns, all of which are held."""
    features = rows.read_all()
    mean = np.average(features, axis=0, weights=rows.weights) if centred else np.zeros(rows.columns)
    features -= mean
    class_sums = rows.mass(np.arange(len(rows))).T @ features
    variances = rows.weights @ np.square(features) / len(rows)
    features *= np.sqrt(rows.weights)[:, None]
    products = features @ features.T
    values, vectors = np.linalg.eigh(products)
    kept = _is_kept(values, rows)
    axes = features.T @ (vectors[:, kept] / np.sqrt(values[kept]))
    rates = _rates_of_blocks(products, rows) if class_rates else None
    return Spectrum(mean, variances, values[kept], axes, axes.T @ class_sums.T, rates)


def _rates_of_blocks(products: Floats, rows: LabelledRows) -> Floats:
    """(K,): the coding rate of each class, from the inner products of all rows (n, n)."""
    scale = _scale_of(products.trace(), rows)
    own = [rows.rows_of(number) for number in range(len(rows.totals))]
    return np.array([coding_rate(products[np.ix_(some, some)] * scale, len(some)) for some in own])


def _scale_of(squares: float, rows: LabelledRows) -> float:
    """What squared lengths are multiplied by, so that they are 1 on average; `squares` is their sum."""
    return len(rows) / squares if squares > 0 else 1.0


def _decompose_columns(sums: "_Sums", rows: LabelledRows) -> Spectrum:
    """By the products of columns (D, D)."""
    values, axes = np.linalg.eigh(sums.gram)
    kept = _is_kept(values, rows)
    axes = axes[:, kept]
    return Spectrum(
        mean=sums.mean,
        variances=sums.gram.diagonal().clip(0) / len(rows),
        values=values[kept],
        axes=axes,
        moments=axes.T @ sums.of_classes.T,
        class_rates=sums.class_rates,
    )


@dataclass(frozen=True)
class _Sums:
    """Weighted sums over rows minus their mean."""

    mean: Floats
    """(D,)"""
    gram: Floats
    """(D, D): of products of columns."""
    of_classes: Floats
    """(K, D): over the rows of each class."""
    class_rates: Floats | None = None
    """(K,): the coding rate of each class."""

    @classmethod
    def of(cls, rows: LabelledRows, *, centred: bool) -> "_Sums":
        """The sums by one pass, about the mean of the first block, which is near that of all, and then moved."""
        centre = next(rows.blocks())[1].mean(axis=0) if centred else np.zeros(rows.columns)
        gram = np.zeros((rows.columns, rows.columns))
        of_classes = np.zeros((len(rows.totals), rows.columns))
        total = np.zeros(rows.columns)
        for places, block in rows.blocks():
            near = np.subtract(block, centre, out=block)
            total += rows.weights[places] @ near
            of_classes += rows.mass(places).T @ near
            near *= np.sqrt(rows.weights[places])[:, None]
            gram += near.T @ near
        shift = total / len(rows) if centred else np.zeros(rows.columns)
        return cls(
            mean=centre + shift,
            gram=gram - len(rows) * np.outer(shift, shift),
            of_classes=of_classes - np.outer(rows.totals, shift),
        )

    @classmethod
    def by_class(cls, rows: LabelledRows) -> "_Sums":
        """The sums of rows of one class each and equal weights, class by class, with the coding rates."""
        mean, scale = _mean_and_scale(rows)
        gram = np.zeros((rows.columns, rows.columns))
        of_classes = np.zeros((len(rows.totals), rows.columns))
        rates = np.zeros(len(rows.totals))
        for number in range(len(rates)):
            own = np.zeros_like(gram)
            for block in rows.blocks_of(number):
                near = np.subtract(block, mean, out=block)
                of_classes[number] += near.sum(axis=0)
                own += near.T @ near
            rates[number] = coding_rate(own * scale, len(rows.rows_of(number)))
            gram += own
        return cls(mean, gram, of_classes, rates)


def _mean_and_scale(rows: LabelledRows) -> tuple[Floats, float]:
    """The mean (D,) of rows of equal weights, and what makes their squared distances from it 1 on average."""
    centre = next(rows.blocks())[1].mean(axis=0)
    total = np.zeros(rows.columns)
    squares = 0.0
    for _, block in rows.blocks():
        near = np.subtract(block, centre, out=block)
        total += near.sum(axis=0)
        squares += float(np.vdot(near, near))
    shift = total / len(rows)
    return centre + shift, _scale_of(squares - len(rows) * float(shift @ shift), rows)


def _is_kept(values: Floats, rows: LabelledRows) -> NDArray[np.bool_]:
    """Which eigenvalues are more than rounding errors."""
    return np.asarray(values > values.max() * max(len(rows), rows.columns) * np.finfo(np.float64).eps)
