"""Paired tests of two heads by a score that each has on the same splits of one table."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from featx.errors import TableError
from featx.measures.comparison import (
    Comparison,
    Pair,
    correct_all,
    difference_of,
    t_comparison,
)
from featx.measures.per_image import Floats
from featx.measures.resampling import LEAST_FREEDOM
from featx.measures.shared_images import SharedImages


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
    scores: Mapping[str, Sequence[float]],
    pairs: Sequence[Pair],
    *,
    train: Sequence[NDArray[np.int64]],
    tested: SharedImages | None = None,
) -> tuple[Comparison, ...]:
    """A comparison of each pair of heads by a score that each has on the same J few-shot draws, with Holm's correction.

    `train` lists the training rows of each draw; two draws share a part r of them on average. The test is that of
    resampled splits with r as the correlation of scores, which Nadeau & Bengio (2003, section 3.2) take to be the share
    of rows: the variance of the mean is (1/J + r/(1 - r)) s^2. Draws share test images too. What a head gains or loses
    because just these images are tested is equal in all draws, and does not show in s^2: `tested` has the variance of
    the mean over draws that comes from it. Both variances are added, with Satterthwaite's degrees of freedom (1946).
    Without `tested` the result holds for these test images alone. If all of them are in one group there is no p-value.

    If all draws have the same rows there is no p-value, since they say nothing about other draws. Raises TableError for
    fewer than 2 draws, or if a head does not have one score per draw.

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
    shared = share_of_rows(train)
    if shared == 1:
        return _without_p(scores, pairs, draws)
    name = f"corrected t-test over {draws} draws, two of which share {shared:.0%} of their training images"
    if tested is not None:
        name += f", tested on {tested.count} {tested.noun}"
    return _compare(scores, pairs, draws, overlap=shared / (1 - shared), test=name, tested=tested)


def domains_t_test(
    scores: Mapping[str, Sequence[float]], pairs: Sequence[Pair], *, tested: SharedImages, domains: int
) -> tuple[Comparison, ...]:
    """A comparison of each pair of heads by the mean of a score over splits that test J domains, with Holm's method.

    Domains are few and were not drawn at random, so that they are taken as they are: the variance of the mean is the
    one in `tested`, which comes from the sample of test images of these domains. Interval and p hold for more images of
    the same domains, and for the heads as they are trained; they say nothing about another domain. `domains` is J.

    >>> import numpy as np
    >>> from featx.labels import Labels
    >>> from featx.measures import SharedImages, domains_t_test
    >>> labels = Labels(("cat", "dog"), codes=np.arange(100) % 2)
    >>> scores = {"a": [0.9, 0.8], "b": [0.7, 0.5]}
    >>> right = {name: [np.repeat([1.0, 0.0], [round(100 * one), round(100 - 100 * one)]) for one in of_head]
    ...     for name, of_head in scores.items()}
    >>> tested = SharedImages.of_values(right, labels=[labels] * 2, rows=[np.arange(100), np.arange(100, 200)])
    >>> (found,) = domains_t_test(scores, [("a", "b")], tested=tested, domains=2)
    >>> round(found.difference, 2), found.test
    (0.25, 't-test over 200 images of 2 domains, which says nothing about other domains')
    """
    arrays = _as_arrays(scores)
    test = f"t-test over {tested.count} {tested.noun} of {domains} domains, which says nothing about other domains"
    compared = []
    for pair in pairs:
        differences = difference_of(arrays, pair, len(arrays[pair[0]]))
        variance = tested.variance(pair)
        mean = float(differences.mean())
        compared.append(
            t_comparison(pair, mean, variance=variance, freedom=tested.freedom, test=test, n=len(differences))
        )
    return correct_all(compared)


def share_of_rows(train: Sequence[NDArray[np.int64]]) -> float:
    """The part of its training rows that a draw shares with another one, on average; 1 for a single draw.

    >>> import numpy as np
    >>> from featx.measures import share_of_rows
    >>> share_of_rows([np.array([0, 5]), np.array([0, 7])])
    0.5
    """
    if len(train) < 2:
        return 1.0
    return float(np.mean([np.isin(one, other).mean() for one, other in combinations(train, 2)]))


def _without_p(scores: Mapping[str, Sequence[float]], pairs: Sequence[Pair], draws: int) -> tuple[Comparison, ...]:
    test = f"none, for {draws} draws are all of the same training images"
    arrays = _as_arrays(scores)
    means = [float(difference_of(arrays, pair, draws).mean()) for pair in pairs]
    return tuple(
        Comparison(*pair, mean, None, None, None, test, draws) for pair, mean in zip(pairs, means, strict=True)
    )


def _compare(
    scores: Mapping[str, Sequence[float]],
    pairs: Sequence[Pair],
    splits: int,
    *,
    overlap: float,
    test: str,
    tested: SharedImages | None = None,
) -> tuple[Comparison, ...]:
    arrays = _as_arrays(scores)
    compared = []
    for pair in pairs:
        differences = difference_of(arrays, pair, splits)
        variance, freedom = variance_of_mean(differences, overlap)
        if tested is not None:
            variance, freedom = add_variances((variance, freedom), (tested.variance(pair), tested.freedom))
        mean = float(differences.mean())
        compared.append(t_comparison(pair, mean, variance=variance, freedom=freedom, test=test, n=splits))
    return correct_all(compared)


def _as_arrays(scores: Mapping[str, Sequence[float]]) -> dict[str, Floats]:
    return {name: np.asarray(score, np.float64) for name, score in scores.items()}


def variance_of_mean(differences: Floats, overlap: float) -> tuple[float, float]:
    """The variance of the mean over splits that share training rows, and its degrees of freedom."""
    splits = len(differences)
    spread = float(differences.var(ddof=1))
    return spread * (1 / splits + overlap), float(splits - 1)


def add_variances(*parts: tuple[float, float]) -> tuple[float, float]:
    """The sum of independent variances with their degrees of freedom, and its own (Satterthwaite 1946, equation 17).

    It has none if a part has hardly any: test images of a single group say nothing about others.
    """
    total = sum(variance for variance, _ in parts)
    if min(freedom for _, freedom in parts) < LEAST_FREEDOM:
        return total, 0.0
    inverse = sum(variance**2 / freedom for variance, freedom in parts if variance > 0)
    return total, total**2 / inverse if inverse > 0 else 0.0
