"""Finds test images that are nearly or exactly equal to an image that a head may learn from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from featx.cache import FeatureTable
from featx.showing import Overview, Shown
from featx.tables.given import GivenTables
from featx.tables.joining import as_table
from featx.tables.similarity import directions
from featx.tables.splits.sampling import hash_names
from featx.tables.splits.split import RowIndices, Split

LOWEST_THRESHOLD = 0.95
"""Pairs with a lower cosine are never duplicates.

With features of EfficientNet-Lite0, 24 of the 10,000 test images of Fashion-MNIST have a training image above it, and
look like it; so do nine of ten ELPV cells, compared with themselves after JPEG compression with quality 90.
"""
LOWEST_SUSPECT = 0.80
"""Pairs with a lower cosine are not even suspects."""
SUSPECT_RATIO = 0.5
"""An image is a suspect if the nearest image is at most this many times as far away as the second nearest."""
SUSPECT_PAIRS = 2 * 10**8
"""Number of pairs that are compared in full to find suspects; in a larger set fewer test images are."""
DEVIATIONS = 4
"""Standard deviations from the similarity of different classes; a normal distribution exceeds them in 1 of 30,000."""
MOST_REFERENCES = 500
"""Number of test images whose most similar image of another class is searched for."""
MOST_PAIRS = 4 * 10**9
"""Number of pairs that are compared; in a larger set fewer test images are compared."""
TRAIN_ROWS_AT_ONCE = 1024
TEST_ROWS_AT_ONCE = 16_384
"""Together with TRAIN_ROWS_AT_ONCE: 64 MiB of cosines at a time."""
AXES = 64
"""Number of directions in which all pairs are compared before the candidates among them are compared in full."""
FEW_PAIRS = 2**14
"""Up to this number of candidate pairs are compared one by one; if there are more, all pairs are."""
SLACK = 1e-5
"""More than the rounding error of a dot product of two float32 rows of length 1."""
PAIRS_LISTED = 10


@dataclass(frozen=True)
class DuplicatePair:
    """A test image and the most similar image among training and validation images."""

    test: str
    train: str
    cosine: float


@dataclass(frozen=True, repr=False)
class Duplicates(Shown):
    """The number of test images that nearly or exactly equal a training or validation image, and examples of them."""

    count: int
    """Number of test images with a near-duplicate or an equal image."""
    equal: int
    """Number of test images with an image of equal features."""
    compared: int
    """Number of test images that were compared by cosine; equal features are searched for among all test images."""
    tested: int
    """Number of test images."""
    threshold: float
    """The cosine above which two images count as near-duplicates."""
    nearest: tuple[DuplicatePair, ...]
    """The most similar pairs, at most ten."""
    suspects: int = 0
    """Number of further test images that may have a near-duplicate: look at them."""
    searched: int = 0
    """Number of test images among which suspects were searched for."""
    nearest_suspects: tuple[DuplicatePair, ...] = ()
    """The most similar pairs of suspects, at most ten."""

    @property
    def text(self) -> str:
        """The result as one sentence."""
        some = "" if self.compared == self.tested else f" ({self.compared} of them searched for near-duplicates)"
        found = (
            f"{self.count} of {self.tested} test images{some} have a near-duplicate among the training images "
            f"(cosine above {self.threshold:.4f})"
        )
        if self.nearest:
            first = self.nearest[0]
            found += f", {self.equal} an equal one; such as {first.test} and {first.train} ({first.cosine:.4f})"
        if self.nearest_suspects:
            first = self.nearest_suspects[0]
            some = "" if self.searched == self.tested else f" of {self.searched} searched"
            pair = f"{first.test} and {first.train} ({first.cosine:.4f})"
            found += f"; {self.suspects} more{some} may have one, such as {pair}"
        return found

    def overview(self) -> Overview:
        """The counts, and the most similar pair."""
        first = next((f"{pair.test} and {pair.train} ({pair.cosine:.4f})" for pair in self.nearest), "")
        return Overview(
            f"Duplicates: {self.count} of {self.tested} test images, {self.equal} of them equal",
            (
                ("cosine above", f"{self.threshold:.4f}"),
                ("most similar", first),
                ("suspects", str(self.suspects) if self.suspects else ""),
            ),
        )


def find_duplicates(table: GivenTables, split: Split) -> Duplicates:
    """The near-duplicates of test images among training and validation images, by the cosine of centred features.

    The threshold adapts to the data. Images of different classes are not duplicates, so their similarity shows what is
    normal: let d be 1 minus the cosine of a test image and the most similar image of another class. A pair is a
    near-duplicate if log d is 4 robust standard deviations (1.4826 times the median absolute deviation) below the
    median of log d and the cosine is above 0.95. Equal features are always duplicates and are always found. An image
    is a suspect, to be looked at, if it is at most half as far from the nearest image (1 minus the cosine, which is
    above 0.8) as from the second nearest, as Lowe (2004, section 7.1) matches features: a copy is closer than anything
    else. Copies of copies, which have two near images, are not suspects.

    Memory is bounded. The time grows with the number of pairs up to four billion; beyond that a sample of the test
    rows, chosen by the hashes of their names, is compared. Suspects are searched for among 200 million pairs.

    >>> import featx
    >>> table = featx.read_features("photos.h5")
    >>> split = featx.make_splits(table)[0]
    >>> found = featx.find_duplicates(table, split)
    >>> found.tested, found.equal
    (15, 0)
    """
    table = as_table(table)
    development = split.development
    compared = _sample(table, split.test, most=max(1, MOST_PAIRS // len(development)))
    centred = _CentredTable.of(table, development)
    references = _sample(table, split.test, most=MOST_REFERENCES)
    of_others = _find_other_class(centred, references, development)
    threshold = _threshold(of_others)
    equal = {row: (other, 1.0) for row, other in _find_equal(table, split.test, development).items()}
    found = _find_near(centred, compared, development, threshold) | equal
    searched = _sample(table, split.test, most=max(1, SUSPECT_PAIRS // len(development)))
    suspects = _find_suspects(centred, searched, development)
    suspects = {row: pair for row, pair in suspects.items() if row not in found}
    return Duplicates(
        count=len(found),
        equal=len(equal),
        compared=len(compared),
        tested=len(split.test),
        threshold=threshold,
        nearest=_most_similar(table, found),
        suspects=len(suspects),
        searched=len(searched),
        nearest_suspects=_most_similar(table, suspects),
    )


def _most_similar(table: FeatureTable, found: Mapping[int, tuple[int, float]]) -> tuple[DuplicatePair, ...]:
    """The pairs of the highest cosine, at most PAIRS_LISTED, by test row -> other row and cosine."""
    ranked = sorted(found, key=lambda row: (-found[row][1], table.name(row)))
    return tuple(
        DuplicatePair(table.name(row), table.name(found[row][0]), found[row][1]) for row in ranked[:PAIRS_LISTED]
    )


@dataclass(frozen=True)
class _CentredTable:
    """The table centred at the mean of its development rows, and a few axes along which these rows vary most."""

    table: FeatureTable
    mean: NDArray[np.float64]
    axes: NDArray[np.float32]
    """(d, AXES or fewer): orthonormal columns, found by a randomised range finder (Halko, Martinsson, Tropp 2011)."""

    @classmethod
    def of(cls, table: FeatureTable, development: RowIndices) -> "_CentredTable":
        """The table with the mean and the axes of these rows."""
        total = sum(table.take(rows).sum(axis=0, dtype=np.float64) for rows in _chunks(development))
        mean = total / len(development)
        sample = directions(table.take(_sample(table, development, most=8 * AXES)), mean)
        drawn = np.random.default_rng(0).normal(size=(len(sample), AXES)).astype(np.float32)
        return cls(table, mean, np.linalg.qr(sample.T @ (sample @ (sample.T @ drawn)))[0])

    def directions(self, rows: RowIndices) -> NDArray[np.float32]:
        """(n, d): directions of these rows from the mean, of length 1."""
        return directions(self.table.take(rows), self.mean)

    def sketch(self, units: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, AXES + 1): sketches whose dot products are upper bounds of those of the units (Cauchy-Schwarz)."""
        along = units @ self.axes
        rest = np.sum(units**2, axis=1) - np.sum(along**2, axis=1)
        return np.column_stack([along, np.sqrt(np.maximum(rest, 0) + SLACK)])


def _sample(table: FeatureTable, rows: RowIndices, *, most: int) -> RowIndices:
    """All rows, or if there are more than `most`, that many of them, chosen by the hashes of their names."""
    if len(rows) <= most:
        return rows
    return np.sort(rows[np.argsort(hash_names(table.names[rows]))[:most]])


def _threshold(cosines: NDArray[np.float32]) -> float:
    """The cosine that hardly any two images of different classes reach."""
    known = cosines[cosines > -np.inf]
    if not len(known):
        return LOWEST_THRESHOLD
    distances = np.log(np.maximum(1 - known.astype(np.float64), np.finfo(np.float32).eps))
    deviation = 1.4826 * np.median(np.abs(distances - np.median(distances)))
    return max(LOWEST_THRESHOLD, float(1 - np.exp(np.median(distances) - DEVIATIONS * deviation)))


def _find_other_class(centred: _CentredTable, test: RowIndices, development: RowIndices) -> NDArray[np.float32]:
    """(n,): the highest cosine of each test row with a row of another class; -inf if there is none."""
    classes = _class_numbers(centred.table, np.concatenate([test, development]))
    of_test = classes[: len(test)]
    of_development = classes[len(test) :]
    left = centred.directions(test)
    highest = np.full(len(test), -np.inf, np.float32)
    for start in range(0, len(development), TRAIN_ROWS_AT_ONCE):
        chunk = slice(start, start + TRAIN_ROWS_AT_ONCE)
        cosines = left @ centred.directions(development[chunk]).T
        cosines[of_test[:, None] == of_development[chunk]] = -np.inf
        np.maximum(highest, cosines.max(axis=1), out=highest)
    return highest


def _find_near(
    centred: _CentredTable, test: RowIndices, development: RowIndices, threshold: float
) -> dict[int, tuple[int, float]]:
    """Test rows with a cosine above the threshold -> the most similar development row, and their cosine."""
    found: dict[int, tuple[int, float]] = {}
    for begin in range(0, len(test), TEST_ROWS_AT_ONCE):
        rows = test[begin : begin + TEST_ROWS_AT_ONCE]
        nearest, highest = _find_nearest(centred, rows, development, threshold)
        for place in np.flatnonzero(highest > threshold):
            found[int(rows[place])] = (int(nearest[place]), float(highest[place]))
    return found


def _find_nearest(
    centred: _CentredTable, rows: RowIndices, development: RowIndices, threshold: float
) -> tuple[RowIndices, NDArray[np.float32]]:
    """The most similar development row (n,) of each row, and their cosine (n,); exact only above the threshold."""
    nearest = np.zeros(len(rows), np.int64)
    highest = np.full(len(rows), -np.inf, np.float32)
    sketches = np.concatenate([centred.sketch(centred.directions(some)) for some in _chunks(rows)])
    for start in range(0, len(development), TRAIN_ROWS_AT_ONCE):
        right = centred.directions(development[start : start + TRAIN_ROWS_AT_ONCE])
        mine, other = np.nonzero(sketches @ centred.sketch(right).T > threshold - SLACK)
        if len(mine) > FEW_PAIRS:
            cosines = centred.directions(rows) @ right.T
            mine = np.arange(len(rows))
            other = cosines.argmax(axis=1)
            values = cosines[mine, other]
        else:
            values = np.einsum("ij,ij->i", centred.directions(rows[mine]), right[other])
        # a row can be in several pairs: the last assignment below, that of its highest value, counts
        order = np.argsort(values, kind="stable")
        order = order[values[order] > highest[mine[order]]]
        highest[mine[order]] = values[order]
        nearest[mine[order]] = development[start + other[order]]
    return nearest, highest


def _find_suspects(centred: _CentredTable, test: RowIndices, development: RowIndices) -> dict[int, tuple[int, float]]:
    """Test rows that are much nearer to one development row than to all others -> that row, and their cosine."""
    found: dict[int, tuple[int, float]] = {}
    for begin in range(0, len(test), TEST_ROWS_AT_ONCE):
        rows = test[begin : begin + TEST_ROWS_AT_ONCE]
        nearest, highest, second = _find_two_nearest(centred, rows, development)
        suspect = (highest > LOWEST_SUSPECT) & (1 - highest <= SUSPECT_RATIO * (1 - second))
        found |= {int(rows[place]): (int(nearest[place]), float(highest[place])) for place in np.flatnonzero(suspect)}
    return found


def _find_two_nearest(
    centred: _CentredTable, rows: RowIndices, development: RowIndices
) -> tuple[RowIndices, NDArray[np.float32], NDArray[np.float32]]:
    """The most similar development row of each row (n,), their cosine, and that of the second most similar row."""
    left = centred.directions(rows)
    nearest = np.zeros(len(rows), np.int64)
    highest, second = np.full((2, len(rows)), -1, np.float32)
    each = np.arange(len(rows))
    for start in range(0, len(development), TRAIN_ROWS_AT_ONCE):
        cosines = left @ centred.directions(development[start : start + TRAIN_ROWS_AT_ONCE]).T
        best = cosines.argmax(axis=1)
        value = cosines[each, best]
        cosines[each, best] = -1
        second = np.maximum(np.minimum(value, highest), np.maximum(second, cosines.max(axis=1)))
        nearest = np.where(value > highest, development[start + best], nearest)
        highest = np.maximum(value, highest)
    return nearest, highest, second


def _class_numbers(table: FeatureTable, rows: RowIndices) -> NDArray[np.int64]:
    """(n,): equal numbers for rows with equal sets of classes."""
    labels = table.labels_of(rows)
    if not labels.multilabel:
        return labels.codes
    return np.unique(labels.shares, axis=0, return_inverse=True)[1].ravel()


def _chunks(rows: RowIndices) -> Iterator[RowIndices]:
    for start in range(0, len(rows), TRAIN_ROWS_AT_ONCE):
        yield rows[start : start + TRAIN_ROWS_AT_ONCE]


def _find_equal(table: FeatureTable, test: RowIndices, development: RowIndices) -> dict[int, int]:
    """Test rows with the same features as a development row -> the first such row."""
    known, first = np.unique(_hash_features(table, development), return_index=True)
    hashes = _hash_features(table, test)
    place = np.searchsorted(known, hashes).clip(max=len(known) - 1)
    equal = known[place] == hashes
    return dict(zip(test[equal].tolist(), development[first[place[equal]]].tolist(), strict=True))


def _hash_features(table: FeatureTable, rows: RowIndices) -> NDArray[np.uint64]:
    """(n,): a 64-bit hash of the features of each row; 0 and -0 are equal."""
    hashed = [blake2b(row, digest_size=8).digest() for chunk in _chunks(rows) for row in table.take(chunk) + 0.0]
    return np.frombuffer(b"".join(hashed), np.uint64)
