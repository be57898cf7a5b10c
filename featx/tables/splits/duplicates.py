"""A table and a split in; test images that are nearly, or quite, images that a head may learn from, out."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable
from featx.tables.similarity import directions
from featx.tables.splits.sampling import hash_names
from featx.tables.splits.split import Rows, Split

AT_LEAST = 0.95
"""No cosine below it is a duplicate's. Above it, through EfficientNet-Lite0, are 24 of the 10,000 test images of
Fashion-MNIST, each by eye a training picture, and nine of ten cells of ELPV saved as JPEG of quality 90."""
DEVIATIONS = 4
"""How many standard deviations nearer than images of other classes: of a normal distribution, 1 in 30,000 is."""
STRANGERS = 500
"""Test images whose nearest image of another class is looked for."""
PAIRS = 4 * 10**9
"""Pairs of images that are compared; of a larger set, so many test images as that allows."""
CHUNK, TESTED_AT_ONCE = 1024, 16_384
"""Training and test rows that are compared at once: 64 MiB of cosines."""
AXES = 64
"""Directions in which all pairs are compared before those that may be near are compared in full."""
FEW = 2**14
"""Pairs of a chunk that are compared one by one; where there are more, all of them are."""
SLACK = 1e-5
"""More than float32 rounds off a product of two rows of length 1."""
TOLD = 10
"""Pairs that are named."""


@dataclass(frozen=True)
class Twins:
    """A test image and the image nearest to it among those that a head may learn from."""

    test: str
    train: str
    cosine: float


@dataclass(frozen=True)
class Duplicates:
    """How many test images nearly stand among the training and validation images too."""

    count: int
    """Test images with a near-duplicate or an equal image."""
    equal: int
    """Those of them with an image of equal features."""
    compared: int
    """Test images that were compared by cosine with all others; equal features are looked for among all."""
    tested: int
    threshold: float
    """The cosine above which two images are called near-duplicates."""
    nearest: tuple[Twins, ...]
    """The nearest pairs of them, some of them."""

    @property
    def text(self) -> str:
        """What was found, in a line."""
        some = (
            ""
            if self.compared == self.tested
            else f", {self.compared} of which were looked at for more than equal ones,"
        )
        found = (
            f"{self.count} of {self.tested} test images{some} have a near-duplicate among the training images "
            f"(cosine above {self.threshold:.4f})"
        )
        if not self.nearest:
            return found
        first = self.nearest[0]
        return f"{found}, {self.equal} an equal one; such as {first.test} and {first.train} ({first.cosine:.4f})"


def find_duplicates(table: FeatureTable, split: Split) -> Duplicates:
    """The near-duplicates of test images among training and validation images, by the cosine of centred features.

    Images of different classes are no duplicates, so they tell how alike images can be that are not: let d be 1 less
    the cosine of a test image and the nearest image of another class; a pair is a near-duplicate where log d is 4
    robust standard deviations (1.4826 of the median absolute deviation) below the median of log d, and the cosine
    above 0.95. Equal features are duplicates in any case, and are always found. Memory is bounded; the time grows with
    the number of pairs up to four billion, beyond which test rows are chosen by their names.
    """
    development = split.development
    compared = _choose(table, split.test, most=max(1, PAIRS // len(development)))
    view = _look(table, development)
    threshold = _threshold(_find_strangers(view, _choose(table, split.test, most=STRANGERS), development))
    equal = _find_equal(table, split.test, development)
    twins = _find_near(view, compared, development, threshold) | {row: (twin, 1.0) for row, twin in equal.items()}
    ranked = sorted(twins, key=lambda row: (-twins[row][1], table.name(row)))
    told = tuple(Twins(table.name(row), table.name(twins[row][0]), twins[row][1]) for row in ranked[:TOLD])
    return Duplicates(len(twins), len(equal), len(compared), len(split.test), threshold, told)


@dataclass(frozen=True)
class _View:
    """How the table is looked at: from the mean of its training rows, and along a few directions in which they lie."""

    table: FeatureTable
    mean: NDArray[np.float64]
    axes: NDArray[np.float32]
    """(d, AXES or fewer): orthonormal columns, which span most of some rows (Halko, Martinsson and Tropp 2011)."""

    def directions(self, rows: Rows) -> NDArray[np.float32]:
        """(n, d): of length 1."""
        return directions(self.table.take(rows), self.mean)

    def sketch(self, units: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, AXES + 1): products of sketches are never below those of the units (Cauchy and Schwarz)."""
        along = units @ self.axes
        rest = np.sum(units**2, axis=1) - np.sum(along**2, axis=1)
        return np.column_stack([along, np.sqrt(np.maximum(rest, 0) + SLACK)])


def _look(table: FeatureTable, development: Rows) -> _View:
    mean = sum(table.take(rows).sum(axis=0, dtype=np.float64) for rows in _chunks(development)) / len(development)
    some = directions(table.take(_choose(table, development, most=8 * AXES)), mean)
    drawn = np.random.default_rng(0).normal(size=(len(some), AXES)).astype(np.float32)
    return _View(table, mean, np.linalg.qr(some.T @ (some @ (some.T @ drawn)))[0])


def _choose(table: FeatureTable, rows: Rows, *, most: int) -> Rows:
    return rows if len(rows) <= most else np.sort(rows[np.argsort(hash_names(table.names[rows]))[:most]])


def _threshold(strangers: NDArray[np.float32]) -> float:
    """The cosine that hardly any two images of different classes reach."""
    known = strangers[strangers > -np.inf]
    if not len(known):
        return AT_LEAST
    apart = np.log(np.maximum(1 - known.astype(np.float64), np.finfo(np.float32).eps))
    deviation = 1.4826 * np.median(np.abs(apart - np.median(apart)))
    return max(AT_LEAST, float(1 - np.exp(np.median(apart) - DEVIATIONS * deviation)))


def _find_strangers(view: _View, test: Rows, development: Rows) -> NDArray[np.float32]:
    """(n,): the highest cosine of each test row with an image of another class."""
    kinds = _kinds(view.table, np.concatenate([test, development]))
    of_test, of_development = kinds[: len(test)], kinds[len(test) :]
    left, highest = view.directions(test), np.full(len(test), -np.inf, np.float32)
    for start in range(0, len(development), CHUNK):
        cosines = left @ view.directions(development[start : start + CHUNK]).T
        cosines[of_test[:, None] == of_development[start : start + CHUNK]] = -np.inf
        np.maximum(highest, cosines.max(axis=1), out=highest)
    return highest


def _find_near(view: _View, test: Rows, development: Rows, threshold: float) -> dict[int, tuple[int, float]]:
    """Test rows with a cosine above the threshold, the row that it is highest with, and how high."""
    nearest, highest = np.zeros(len(test), np.int64), np.full(len(test), -np.inf, np.float32)
    for begin in range(0, len(test), TESTED_AT_ONCE):
        rows = test[begin : begin + TESTED_AT_ONCE]
        sketches = np.concatenate([view.sketch(view.directions(some)) for some in _chunks(rows)])
        for start in range(0, len(development), CHUNK):
            right = view.directions(development[start : start + CHUNK])
            mine, other = np.nonzero(sketches @ view.sketch(right).T > threshold - SLACK)
            if len(mine) > FEW:
                cosines = view.directions(rows) @ right.T
                mine, other = np.arange(len(rows)), cosines.argmax(axis=1)
                found = cosines[mine, other]
            else:
                found = np.einsum("ij,ij->i", view.directions(rows[mine]), right[other])
            order = np.argsort(found, kind="stable")  # of several pairs of a row, the last to be kept is the highest
            order = order[found[order] > highest[begin + mine[order]]]
            highest[begin + mine[order]] = found[order]
            nearest[begin + mine[order]] = development[start + other[order]]
    near = np.flatnonzero(highest > threshold)
    return {int(test[one]): (int(nearest[one]), float(highest[one])) for one in near}


def _kinds(table: FeatureTable, rows: Rows) -> NDArray[np.int64]:
    """(n,): equal numbers where all labels are equal."""
    truth = table.labels_of(rows)
    return np.unique(truth.shares, axis=0, return_inverse=True)[1].ravel() if truth.multilabel else truth.codes


def _chunks(rows: Rows) -> Iterator[Rows]:
    for start in range(0, len(rows), CHUNK):
        yield rows[start : start + CHUNK]


def _find_equal(table: FeatureTable, test: Rows, development: Rows) -> dict[int, int]:
    """Test rows whose features are those of another row, and the first such row."""
    known, first = np.unique(_hash_features(table, development), return_index=True)
    hashes = _hash_features(table, test)
    place = np.searchsorted(known, hashes).clip(max=len(known) - 1)
    equal = known[place] == hashes
    return dict(zip(test[equal].tolist(), development[first[place[equal]]].tolist(), strict=True))


def _hash_features(table: FeatureTable, rows: Rows) -> NDArray[np.uint64]:
    """(n,): 64 bits of the features of each row; 0 and -0 are equal."""
    hashed = [blake2b(row, digest_size=8).digest() for chunk in _chunks(rows) for row in table.take(chunk) + 0.0]
    return np.frombuffer(b"".join(hashed), np.uint64)
