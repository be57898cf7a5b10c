"""A table and a split in; test images that are nearly, or quite, images that a head may learn from, out."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable
from featx.cosines import directions
from featx.splits.dealing import hash_names
from featx.splits.split import Rows, Split
from featx.truth import truth_of

AT_LEAST = 0.95
"""No cosine below it is a duplicate's: of 250 cells of ELPV through EfficientNet-Lite0, a JPEG of quality 90 and the
original reach 0.975 in nine of ten."""
DEVIATIONS = 4
"""How many standard deviations nearer than images of other classes: of a normal distribution, 1 in 30,000 is."""
PAIRS = 10**9
"""Pairs of images that are compared; of a larger set, so many test images as that allows."""
CHUNK = 4096
"""Rows on each side that are compared at once: 64 MiB of cosines."""
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
        of = f"{self.tested} test images" if self.compared == self.tested else f"{self.compared} test images looked at"
        found = (
            f"{self.count} of {of} have a near-duplicate among the training images (cosine above {self.threshold:.4f})"
        )
        if not self.nearest:
            return found
        first = self.nearest[0]
        return f"{found}, {self.equal} an equal one; such as {first.test} and {first.train} ({first.cosine:.4f})"


@dataclass(frozen=True)
class _Nearest:
    """Of every compared row."""

    rows: Rows
    cosines: NDArray[np.float32]
    strangers: NDArray[np.float32]
    """The highest cosine with an image of another class."""


def find_duplicates(table: FeatureTable, split: Split) -> Duplicates:
    """The near-duplicates of test images among training and validation images, by the cosine of centred features.

    Images of different classes are no duplicates, so they tell how alike images can be that are not: let d be 1 less
    the cosine of a test image and the nearest image of another class; a pair is a near-duplicate where log d is 4
    robust standard deviations (1.4826 of the median absolute deviation) below the median of log d, and the cosine
    above 0.95. Equal features are duplicates in any case, and are always found. Memory is bounded; the time grows with
    the number of pairs up to a billion of them, beyond which test rows are chosen by their names.
    """
    development = split.development
    compared = _choose(table, split.test, most=max(1, PAIRS // len(development)))
    nearest = _find_nearest(table, compared, development)
    threshold = _threshold(nearest.strangers)
    close = np.flatnonzero(nearest.cosines > threshold)
    twins = {int(compared[one]): (int(nearest.rows[one]), float(nearest.cosines[one])) for one in close}
    equal = _find_equal(table, split.test, development)
    twins |= {row: (twin, 1.0) for row, twin in equal.items()}
    ranked = sorted(twins, key=lambda row: (-twins[row][1], table.name(row)))
    told = tuple(Twins(table.name(row), table.name(twins[row][0]), twins[row][1]) for row in ranked[:TOLD])
    return Duplicates(len(twins), len(equal), len(compared), len(split.test), threshold, told)


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


def _find_nearest(table: FeatureTable, test: Rows, development: Rows) -> _Nearest:
    mean = sum(table.take(rows).sum(axis=0, dtype=np.float64) for rows in _chunks(development)) / len(development)
    kinds = _kinds(table, np.concatenate([test, development]))
    of_test, of_development = kinds[: len(test)], kinds[len(test) :]
    found = _Nearest(np.zeros(len(test), np.int64), *(np.full(len(test), -np.inf, np.float32) for _ in range(2)))
    for start in range(0, len(test), CHUNK):
        mine = slice(start, start + CHUNK)
        left = directions(table.take(test[mine]), mean)
        for begin in range(0, len(development), CHUNK):
            other = slice(begin, begin + CHUNK)
            cosines = left @ directions(table.take(development[other]), mean).T
            best = cosines.argmax(axis=1)
            highest = np.take_along_axis(cosines, best[:, None], axis=1)[:, 0]
            found.rows[mine] = np.where(highest > found.cosines[mine], development[other][best], found.rows[mine])
            np.maximum(found.cosines[mine], highest, out=found.cosines[mine])
            cosines[of_test[mine, None] == of_development[None, other]] = -np.inf
            np.maximum(found.strangers[mine], cosines.max(axis=1), out=found.strangers[mine])
    return found


def _kinds(table: FeatureTable, rows: Rows) -> NDArray[np.int64]:
    """(n,): equal numbers where all labels are equal."""
    truth = truth_of(table, rows)
    return np.unique(truth.shares, axis=0, return_inverse=True)[1].ravel() if truth.multilabel else truth.labels


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
