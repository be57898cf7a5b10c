"""Paired tests of two heads by a score that each has on the same splits of one table."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from featx.errors import TableError
from featx.measures.comparison import (
    Comparison,
    Pair,
    correct_all,
    difference_of,
)
from featx.measures.per_image import Floats


def corrected_t_test(
    scores: Mapping[str, Sequence[float]], pairs: Sequence[Pair], *, train: Sequence[int], test: Sequence[int]
) -> tuple[Comparison, ...]:
    """A comparison of each pair of heads by a score that each has on the same J splits, with Holm's correction.

    The corrected resampled t-test (Nadeau & Bengio 2003, section 3.2): training rows overlap from split to split, so
    the variance of the mean is (1/J + n_test/n_train) s^2, not s^2/J. `train`, `test`: number of rows in each split.
    Raises TableError for fewer than 2 splits, or if a head does not have one score per split.

    >>> from featx.measures import corrected_t_test
    >>> scores = {"logreg": [0.90, 0.92, 0.91], "knn": [0.85, 0.88, 0.84]}
    >>> (found,) = corrected_t_test(scores, [("logreg", "knn")], train=[80, 80, 80], test=[20, 20, 20])
    >>> round(found.difference, 3), round(found.p, 3)
    (0.053, 0.045)
    """
    splits = len(train)
    if splits < 2 or len(test) != splits:
        raise TableError(
            f"there are {splits} training sizes and {len(test)} test sizes; give both for the same two or more splits"
        )
    overlap = float(np.mean(np.asarray(test) / np.asarray(train)))
    name = f"corrected resampled t-test over {splits} splits (Nadeau & Bengio 2003)"
    return _compare(scores, pairs, splits, overlap=overlap, test=name)


def draws_t_test(
    scores: Mapping[str, Sequence[float]], pairs: Sequence[Pair], *, train: Sequence[NDArray[np.int64]]
) -> tuple[Comparison, ...]:
    """A comparison of each pair of heads by a score that each has on the same J few-shot draws, with Holm's correction.

    `train` lists the training rows of each draw; two draws share a part r of them on average. The test is that of
    resampled splits with r as the correlation of scores, which Nadeau & Bengio (2003, section 3.2) take to be the share
    of rows: the variance of the mean is (1/J + r/(1 - r)) s^2. If all draws have the same rows there is no p-value,
    since they say nothing about other draws. Raises TableError for fewer than 2 draws, or if a head does not have one
    score per draw.

    >>> import numpy as np
    >>> from featx.measures import draws_t_test
    >>> scores = {"logreg": [0.61, 0.66, 0.58], "knn": [0.55, 0.61, 0.56]}
    >>> rows = [np.array([0, 5]), np.array([1, 7]), np.array([2, 5])]
    >>> draws_t_test(scores, [("logreg", "knn")], train=rows)[0].test
    'corrected t-test over 3 draws, two of which share 17% of their training images'
    """
    draws = len(train)
    if draws < 2:
        raise TableError(f"a t-test needs two or more draws, but {draws} was given; draw more")
    shared = float(np.mean([np.isin(one, other).mean() for one, other in combinations(train, 2)]))
    if shared == 1:
        return _without_p(scores, pairs, draws)
    name = f"corrected t-test over {draws} draws, two of which share {shared:.0%} of their training images"
    return _compare(scores, pairs, draws, overlap=shared / (1 - shared), test=name)


def _without_p(scores: Mapping[str, Sequence[float]], pairs: Sequence[Pair], draws: int) -> tuple[Comparison, ...]:
    test = f"none, for {draws} draws are all of the same training images"
    arrays = _as_arrays(scores)
    means = [float(difference_of(arrays, pair, draws).mean()) for pair in pairs]
    return tuple(
        Comparison(*pair, mean, None, None, None, test, draws) for pair, mean in zip(pairs, means, strict=True)
    )


def _compare(
    scores: Mapping[str, Sequence[float]], pairs: Sequence[Pair], splits: int, *, overlap: float, test: str
) -> tuple[Comparison, ...]:
    arrays = _as_arrays(scores)
    return correct_all(_t_test(pair, difference_of(arrays, pair, splits), overlap, test) for pair in pairs)


def _as_arrays(scores: Mapping[str, Sequence[float]]) -> dict[str, Floats]:
    return {name: np.asarray(score, np.float64) for name, score in scores.items()}


def _t_test(pair: Pair, differences: Floats, overlap: float, test: str) -> Comparison:
    splits = len(differences)
    mean = float(differences.mean())
    spread = float(differences.std(ddof=1))
    if spread <= 1e-12 * abs(mean):
        return Comparison(*pair, mean, None, None if mean else 1.0, None, test, splits)
    error = spread * float(np.sqrt(1 / splits + overlap))
    half = float(stats.t.ppf(0.975, splits - 1)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, splits - 1))
    return Comparison(*pair, mean, (mean - half, mean + half), p, None, test, splits)
