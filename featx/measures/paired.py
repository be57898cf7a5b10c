"""Tests of one head against another on the same images, or on the same splits of one table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.sparse import csr_array

from featx.errors import TableError
from featx.labels import Labels
from featx.measures import draws as drawing
from featx.measures.draws import (
    MEASURES,
    check_probabilities,
    draw_measures,
)
from featx.measures.images import (
    Floats,
    brier_scores,
    log_losses,
    right_share,
)
from featx.measures.resampling import (
    FEW,
    NORMAL,
    affordable,
    find_interval,
    units_of,
)
from featx.measures.sums import mean_over_classes

PAIRED_RESAMPLES = 10_000
"""More than of a measure alone: the least p there is, 2 in 10,001, is to outlive Holm's correction."""
FEW_DISCORDANT = 25
"""Below it McNemar's test is exact."""
NAMES = ("accuracy", *MEASURES)
"""Of the measures of all classes together, which two heads can be compared by."""
ROUNDING = 1e-12
"""Differences no further from 0 are 0."""

RowMeasure: TypeAlias = Literal["accuracy", "log_loss", "brier"]
"""A measure that is the weighted mean of one number an image."""
Pair: TypeAlias = tuple[str, str]


@dataclass(frozen=True)
class Comparison:
    """How far head a is above head b, and whether that could be chance."""

    a: str
    b: str
    difference: float
    """a minus b."""
    interval: tuple[float, float] | None
    """95 %; None where the images, or splits, tell nothing of it."""
    p: float | None
    """Two-sided; None where the images, or splits, tell nothing of it."""
    p_holm: float | None
    """Corrected for all comparisons made together (Holm 1979)."""
    test: str
    """Its name, and what it counts and ignores."""
    n: int
    """Images, or splits."""


def row_values(probabilities: Floats, truth: Labels, *, measure: RowMeasure = "accuracy") -> Floats:
    """(n,): what each image adds to the measure: right or wrong, nats, or squared error.

    Their mean, weighted by the truth's weights, is the measure of `HeadMetrics`. Raises TableError as `measure` does.
    """
    probabilities = check_probabilities(probabilities, truth)
    if measure not in get_args(RowMeasure):
        raise TableError(f"{measure!r} is no mean over images; choose from {', '.join(get_args(RowMeasure))}")
    how = {"accuracy": right_share, "log_loss": log_losses, "brier": brier_scores}
    return how[measure](probabilities, truth)


def paired_bootstrap(
    values: Mapping[str, Floats], pairs: Sequence[Pair], *, truth: Labels, seed: int = 0
) -> tuple[Comparison, ...]:
    """Each pair of heads compared by the weighted mean of their `row_values` (n,), Holm's correction over all pairs.

    Images, or whole groups where there are some, are drawn 10,000 times, the same for all heads; p is twice the share
    of resamples in which the difference is not on its side of 0 (Davison & Hinkley 1997, 4.2 and 5.4), so that p < 0.05
    where the percentile interval does not hold 0. Of more than 40,000 images 100 times: interval and p are then normal.
    """
    units = units_of(truth)
    apart = np.array([units.sum(truth.weights * _difference(values, pair, len(truth))) for pair in pairs])
    terms = np.vstack([apart.reshape(len(pairs), units.count), units.sum(truth.weights)])
    resamples = affordable(len(truth), PAIRED_RESAMPLES)
    drawn = np.hstack([terms @ counts.astype(np.float64) for counts in units.draw(resamples, seed=seed)])
    with np.errstate(divide="ignore", invalid="ignore"):
        differences = drawn[:-1] / drawn[-1]
    test = f"paired bootstrap of {units.count} {units.noun}, {resamples} resamples"
    return _correct(
        _bootstrapped(pair, draws, test, len(truth)) for pair, draws in zip(pairs, differences, strict=True)
    )


def paired_measures(
    probabilities: Mapping[str, Floats], pairs: Sequence[Pair], *, truth: Labels, measure: str, seed: int = 0
) -> tuple[Comparison, ...]:
    """Each pair of heads compared by any measure of `HeadMetrics`, also by one that is no mean over images, as mAP.

    `probabilities`: (n, classes) of each head. Both are measured on the resamples of `resample_measure`; where these
    are few, p is that of a normal distribution. Holm's correction over all pairs. Raises TableError where the measure
    is not defined, and as `measure` does.
    """
    drawn = {}
    for name in dict.fromkeys(name for pair in pairs for name in pair):
        if name not in probabilities:
            raise TableError(f"no probabilities of head {name!r} are given; there are {', '.join(probabilities)}")
        drawn[name] = resample_measure(probabilities[name], truth, measure=measure, seed=seed)
    return paired_resamples(drawn, pairs, truth=truth)


def resample_measure(probabilities: Floats, truth: Labels, *, measure: str, seed: int = 0) -> Floats:
    """(1 + b,): any measure of `HeadMetrics` on the images themselves, and on the resamples of them that this seed has.

    There are 10,000, or as many as `measure` has where that costs too much. Raises TableError where the measure is not
    defined, and as `measure` does.
    """
    choices = PAIRED_RESAMPLES, drawing.RESAMPLES
    resamples = affordable(len(truth), *choices), affordable(probabilities.size, *choices)
    draws = draw_measures(probabilities, truth, seed=seed, resamples=resamples)
    if measure not in NAMES or draws.value(measure) is None:
        raise TableError(f"{measure!r} is not defined for these images; choose another measure to compare by")
    return draws.values[measure]


def paired_resamples(drawn: Mapping[str, Floats], pairs: Sequence[Pair], *, truth: Labels) -> tuple[Comparison, ...]:
    """Each pair of heads compared by a measure that each has on the same resamples, as `resample_measure` gives it.

    p and Holm's correction are those of `paired_bootstrap`. Raises TableError where the numbers of resamples differ.
    """
    units, resamples = units_of(truth), min(map(len, drawn.values()), default=1)
    test = f"paired bootstrap of {units.count} {units.noun}, {resamples - 1} resamples"
    _check_all(drawn, pairs, resamples)
    return _correct(_bootstrapped(pair, drawn[pair[0]] - drawn[pair[1]], test, len(truth)) for pair in pairs)


def paired_recalls(
    guesses: Mapping[str, NDArray[np.int64]], pairs: Sequence[Pair], *, truth: Labels, seed: int = 0
) -> tuple[Comparison, ...]:
    """Each pair of heads compared by balanced accuracy, the mean recall over classes, else as `paired_bootstrap` does.

    `guesses` (n,): the class that each head takes each image for. Raises TableError where there is not one an image.
    """
    _check_all(guesses, pairs, len(truth))
    units, (image, column, share) = units_of(truth), truth.entries
    value, shape = truth.weights[image] * share, (len(truth.classes), units.count)
    of_class = csr_array((value, (column, units.of_image[image])), shape=shape)
    named = {}
    for name, guess in guesses.items():
        right = guess[image] == column
        named[name] = csr_array((value[right], (column[right], units.of_image[image[right]])), shape=shape)
    drawn: dict[str, list[Floats]] = {name: [] for name in guesses}
    for counts in units.draw(affordable(len(truth), PAIRED_RESAMPLES), seed=seed):
        times = counts.astype(np.float64)
        total = of_class @ times
        for name, right in named.items():
            with np.errstate(divide="ignore", invalid="ignore"):
                drawn[name].append(mean_over_classes((right @ times) / total))
    return paired_resamples({name: np.concatenate(rounds) for name, rounds in drawn.items()}, pairs, truth=truth)


def mcnemar(values: Mapping[str, Floats], pairs: Sequence[Pair], *, truth: Labels) -> tuple[Comparison, ...]:
    """Each pair of heads compared by the images that one names rightly and the other wrongly (McNemar 1947).

    `values`: `row_values` of accuracy. Exact (binomial) where fewer than 25 images are so, else chi-squared with
    continuity correction (Edwards 1948); the interval is Agresti & Min's (2005). Every image counts once and on its
    own: weights and groups take no part, and `test` says so where there are some. Holm's correction over all pairs.
    Raises TableError for soft labels, which are neither right nor wrong.
    """
    if truth.given_shares is not None and not truth.multilabel:
        raise TableError("McNemar's test counts right and wrong, which soft labels are not; use the paired bootstrap")
    ignored = [
        name for name, given in (("weights", truth.given_weights), ("groups", truth.groups)) if given is not None
    ]
    note = f", {' and '.join(ignored)} ignored" if ignored else ""
    return _correct(_mcnemar(pair, _difference(values, pair, len(truth)), note) for pair in pairs)


def corrected_t_test(
    scores: Mapping[str, Sequence[float]], pairs: Sequence[Pair], *, train: Sequence[int], test: Sequence[int]
) -> tuple[Comparison, ...]:
    """Each pair of heads compared by a score that each has on the same splits of one table, Holm's correction over all.

    The corrected resampled t-test (Nadeau & Bengio 2003, section 3.2): training rows overlap from split to split, so
    the variance of the mean is (1/J + n_test/n_train) s^2, not s^2/J. `train`, `test`: how many rows each of the J
    splits has. Raises TableError for fewer than 2 splits, or scores that are not one a split.
    """
    splits = len(train)
    if splits < 2 or len(test) != splits:
        raise TableError(f"{splits} training and {len(test)} test sizes; give both of the same two or more splits")
    overlap = float(np.mean(np.asarray(test) / np.asarray(train)))
    said = f"corrected resampled t-test over {splits} splits (Nadeau & Bengio 2003)"
    arrays = {name: np.asarray(score, np.float64) for name, score in scores.items()}
    return _correct(_t_test(pair, _difference(arrays, pair, splits), overlap, said) for pair in pairs)


def draws_t_test(
    scores: Mapping[str, Sequence[float]], pairs: Sequence[Pair], *, train: Sequence[NDArray[np.int64]]
) -> tuple[Comparison, ...]:
    """Each pair of heads compared by a score that each has on the same draws, Holm's correction over all.

    Of few-shot draws, of whose training rows `train` two draws share r on average: the same test as of resampled
    splits, with r for the correlation of scores, which Nadeau & Bengio (2003, section 3.2) take to be the share of
    rows; the variance of the mean is (1/J + r/(1 - r)) s^2. Draws that are all of the same rows have no p, for they
    tell nothing of others. Raises TableError for fewer than 2 draws, or scores that are not one a draw.
    """
    draws = len(train)
    if draws < 2:
        raise TableError(f"{draws} draw was given; a t-test takes two or more")
    shared = float(np.mean([np.isin(one, other).mean() for one, other in combinations(train, 2)]))
    arrays = {name: np.asarray(score, np.float64) for name, score in scores.items()}
    if shared == 1:
        said = f"none, for {draws} draws are all of the same training images"
        differences = [(pair, float(_difference(arrays, pair, draws).mean())) for pair in pairs]
        return tuple(Comparison(*pair, mean, None, None, None, said, draws) for pair, mean in differences)
    said = f"corrected t-test over {draws} draws, two of which share {shared:.0%} of their training images"
    overlap = shared / (1 - shared)
    return _correct(_t_test(pair, _difference(arrays, pair, draws), overlap, said) for pair in pairs)


def holm(p: Sequence[float]) -> list[float]:
    """Each p, corrected for all of them being looked at (Holm 1979): the k-th smallest of m times m + 1 - k, rising."""
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate(np.asarray(p)[order] * np.arange(len(p), 0, -1))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(raised, 1)
    return [float(value) for value in corrected]


def _difference(values: Mapping[str, Floats], pair: Pair, size: int) -> Floats:
    _check_all(values, [pair], size)
    for name in pair:
        if not np.isfinite(values[name]).all():
            raise TableError(f"head {name!r} has values that are no numbers; leave it out")
    difference: Floats = values[pair[0]] - values[pair[1]]
    return difference


def _check_all(values: Mapping[str, NDArray[Any]], pairs: Iterable[Pair], size: int) -> None:
    for name in dict.fromkeys(name for pair in pairs for name in pair):
        if name not in values:
            raise TableError(f"no values of head {name!r} are given; there are {', '.join(values)}")
        if values[name].shape != (size,):
            raise TableError(f"the values of head {name!r} are {values[name].shape}, not {(size,)}; give one of each")


def _bootstrapped(pair: Pair, draws: Floats, test: str, n: int) -> Comparison:
    difference, drawn = float(draws[0]), draws[1:][np.isfinite(draws[1:])]
    interval = find_interval(draws, bounds=(-np.inf, np.inf))
    if interval is None:
        return Comparison(*pair, difference, None, None if abs(difference) > ROUNDING else 1.0, None, test, n)
    return Comparison(*pair, difference, interval, _beyond_zero(difference, drawn), None, test, n)


def _beyond_zero(difference: float, drawn: Floats) -> float:
    """Two-sided p: how often resamples are on the other side of 0, of few how far 0 is in standard errors."""
    if len(drawn) <= FEW:
        return float(2 * stats.norm.sf(abs(difference) / drawn.std(ddof=1)))
    beyond = min(int((drawn <= ROUNDING).sum()), int((drawn >= -ROUNDING).sum()))
    return min(1.0, 2 * (beyond + 1) / (len(drawn) + 1))


def _mcnemar(pair: Pair, apart: Floats, note: str) -> Comparison:
    n, better, worse = len(apart), int((apart > 0).sum()), int((apart < 0).sum())
    discordant = better + worse
    if discordant < FEW_DISCORDANT:
        test, p = "exact McNemar", float(min(1.0, 2 * stats.binom.cdf(min(better, worse), discordant, 0.5)))
    else:
        test = "McNemar, chi-squared with continuity correction"
        p = float(stats.chi2.sf(max(0, abs(better - worse) - 1) ** 2 / discordant, 1))
    centre, size, both = (better - worse) / (n + 2), n + 2, discordant + 1
    half = NORMAL * np.sqrt(both / size - centre**2) / np.sqrt(size)
    interval = max(-1.0, float(centre - half)), min(1.0, float(centre + half))
    said = f"{test}, {better} and {worse} of {n} images{note}"
    return Comparison(*pair, (better - worse) / n, interval, p, None, said, n)


def _t_test(pair: Pair, differences: Floats, overlap: float, test: str) -> Comparison:
    splits, mean, spread = len(differences), float(differences.mean()), float(differences.std(ddof=1))
    if spread <= 1e-12 * abs(mean):
        return Comparison(*pair, mean, None, None if mean else 1.0, None, test, splits)
    error = spread * float(np.sqrt(1 / splits + overlap))
    half = float(stats.t.ppf(0.975, splits - 1)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, splits - 1))
    return Comparison(*pair, mean, (mean - half, mean + half), p, None, test, splits)


def _correct(comparisons: Iterable[Comparison]) -> tuple[Comparison, ...]:
    """The comparisons with Holm's correction over those that have a p."""
    made = list(comparisons)
    corrected = iter(holm([one.p for one in made if one.p is not None]))
    return tuple(one if one.p is None else replace(one, p_holm=next(corrected)) for one in made)
