"""Paired tests of two heads on the same images: by a bootstrap of images, by t over whole groups, and McNemar's."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.sparse import csr_array

from featx.errors import TableError
from featx.labels import Labels
from featx.measures import resampled
from featx.measures.comparison import (
    ZERO,
    Comparison,
    Pair,
    check_values,
    correct_all,
    difference_of,
    t_comparison,
)
from featx.measures.intervals import percentile_interval
from featx.measures.per_image import (
    Floats,
    brier_scores,
    correctness,
    log_losses,
)
from featx.measures.resampling import (
    FEW_RESAMPLES,
    NORMAL,
    Units,
    affordable,
    units_of,
)
from featx.measures.sums import mean_over_classes

PAIRED_RESAMPLES = 10_000
"""More than for a single measure: the smallest possible p, 2 in 10,001, should survive Holm's correction."""
FEW_DISCORDANT = 25
"""McNemar's test is exact if fewer images than this are correct for only one of the two heads."""

RowMeasure: TypeAlias = Literal["accuracy", "log_loss", "brier"]
"""A measure that is the weighted mean of one number per image."""
ROW_MEASURES: Mapping[str, Callable[[Floats, Labels], Floats]] = {
    "accuracy": correctness,
    "log_loss": log_losses,
    "brier": brier_scores,
}


def row_values(probabilities: Floats, labels: Labels, *, measure: RowMeasure = "accuracy") -> Floats:
    """What each image contributes to the measure, (n,): correct or not, nats, or squared error.

    Their mean, weighted by the weights of the labels, is the measure in `HeadMetrics`. Raises TableError as `measure`
    does.

    >>> import numpy as np
    >>> from featx.labels import Labels
    >>> from featx.measures import row_values
    >>> row_values(np.array([[0.9, 0.1], [0.6, 0.4]]), Labels(("cat", "dog"), codes=np.array([0, 1])))
    array([1., 0.])
    """
    probabilities = resampled.check_probabilities(probabilities, labels)
    if measure not in get_args(RowMeasure):
        raise TableError(f"{measure!r} is not a mean over images; choose from {', '.join(get_args(RowMeasure))}")
    return ROW_MEASURES[measure](probabilities, labels)


def paired_bootstrap(
    values: Mapping[str, Floats], pairs: Sequence[Pair], *, labels: Labels, seed: int = 0
) -> tuple[Comparison, ...]:
    """A comparison of each pair of heads by the weighted mean of their `row_values` (n,), with Holm's correction.

    Images are drawn 10,000 times, equally for all heads. p is twice the share of resamples whose difference is not on
    the same side of 0 (Davison & Hinkley 1997, 4.2 and 5.4), so that p < 0.05 if the percentile interval excludes 0.
    For more than 40,000 images there are 100 resamples, and interval and p are those of a normal distribution.

    If there are groups, interval and p are those of a t-test over the K groups instead: a bootstrap of a few groups
    finds differences where there are none. The variance of the mean is that of a ratio of sums over groups (Cochran
    1977, section 6.3), with K - 1 degrees of freedom, or fewer if the weights of the groups differ (Kish's effective
    number of groups, minus 1). Raises TableError if the values do not fit the labels, or if all weights are 0.

    >>> import numpy as np
    >>> from featx.labels import Labels
    >>> from featx.measures import paired_bootstrap
    >>> labels = Labels(("cat", "dog"), codes=np.arange(100) % 2)
    >>> correct = {"logreg": np.repeat([1.0, 0.0], [90, 10]), "knn": np.repeat([1.0, 0.0], [70, 30])}
    >>> (found,) = paired_bootstrap(correct, [("logreg", "knn")], labels=labels)
    >>> round(found.difference, 2), found.p < 0.001, found.test
    (0.2, True, 'paired bootstrap of 100 images, 10000 resamples')
    """
    resampled.check_labels(labels)
    units = units_of(labels)
    if units.grouped:
        of_pairs = [(pair, difference_of(values, pair, len(labels))) for pair in pairs]
        return correct_all(_t_over_groups(pair, difference, labels, units) for pair, difference in of_pairs)
    sums = np.array([units.sum(labels.weights * difference_of(values, pair, len(labels))) for pair in pairs])
    terms = np.vstack([sums.reshape(len(pairs), units.count), units.weights])
    resamples = affordable(len(labels), PAIRED_RESAMPLES)
    drawn = np.hstack([terms @ counts.astype(np.float64) for counts in units.draw(resamples, seed=seed)])
    with np.errstate(divide="ignore", invalid="ignore"):
        differences = drawn[:-1] / drawn[-1]
    return _correct_bootstrapped(pairs, differences, units, len(labels))


def paired_measures(
    probabilities: Mapping[str, Floats], pairs: Sequence[Pair], *, labels: Labels, measure: str, seed: int = 0
) -> tuple[Comparison, ...]:
    """A comparison of each pair of heads by any measure of `HeadMetrics`, such as mAP, with Holm's correction.

    `probabilities` maps each head to its probabilities (n, classes). All heads are measured on the resamples of
    `resample_measure`; if these are few, p is that of a normal distribution. Raises TableError if the measure is not
    defined, and as `measure` does.

    >>> import numpy as np
    >>> from featx.labels import Labels
    >>> from featx.measures import paired_measures
    >>> labels = Labels(("cat", "dog"), codes=np.arange(100) % 2)
    >>> sure, unsure = np.eye(2)[np.arange(100) % 2], np.full((100, 2), 0.5)
    >>> (found,) = paired_measures({"a": sure, "b": unsure}, [("a", "b")], labels=labels, measure="auroc")
    >>> found.difference
    0.5
    """
    values = {}
    for name in dict.fromkeys(name for pair in pairs for name in pair):
        if name not in probabilities:
            raise TableError(
                f"no probabilities are given for head {name!r}, only for {', '.join(probabilities)}; add them"
            )
        values[name] = resample_measure(probabilities[name], labels, measure=measure, seed=seed)
    return paired_resamples(values, pairs, labels=labels)


def resample_measure(probabilities: Floats, labels: Labels, *, measure: str, seed: int = 0) -> Floats:
    """Any measure of `HeadMetrics` on the test images and on b resamples of them, (1 + b,).

    b is 10,000, or the number that `measure` uses if that costs too much; equal seeds draw equal resamples. Raises
    TableError if the measure is not defined, and as `measure` does.
    """
    choices = (PAIRED_RESAMPLES, resampled.RESAMPLES)
    resamples = (affordable(len(labels), *choices), affordable(probabilities.size, *choices))
    found = resampled.resample_all(probabilities, labels, seed=seed, resamples=resamples)
    if measure not in ("accuracy", *resampled.MEASURES) or found.value(measure) is None:
        raise TableError(f"{measure!r} is not defined for these images; choose another measure to compare by")
    return found.values[measure]


def paired_resamples(values: Mapping[str, Floats], pairs: Sequence[Pair], *, labels: Labels) -> tuple[Comparison, ...]:
    """A comparison of each pair of heads by a measure on the same resamples, as `resample_measure` gives it.

    p and Holm's correction are those of `paired_bootstrap`; with groups, the t-test takes its standard error from the
    resamples. Raises TableError if the numbers of resamples differ.
    """
    check_values(values, pairs, min(map(len, values.values()), default=1))
    differences = [values[a] - values[b] for a, b in pairs]
    return _correct_bootstrapped(pairs, differences, units_of(labels), len(labels))


def paired_recalls(
    predicted: Mapping[str, NDArray[np.int64]], pairs: Sequence[Pair], *, labels: Labels, seed: int = 0
) -> tuple[Comparison, ...]:
    """A comparison of each pair of heads by balanced accuracy (mean recall over classes), as `paired_bootstrap` does.

    `predicted` maps each head to the predicted class of each image (n,). Raises TableError if an image has none.
    """
    check_values(predicted, pairs, len(labels))
    units = units_of(labels)
    image, column, share = labels.entries
    value = labels.weights[image] * share
    unit = units.of_image[image]
    shape = (len(labels.classes), units.count)
    actual = csr_array((value, (column, unit)), shape=shape)
    true_positive = {}
    for name, classes in predicted.items():
        correct = classes[image] == column
        true_positive[name] = csr_array((value[correct], (column[correct], unit[correct])), shape=shape)
    recalls: dict[str, list[Floats]] = {name: [] for name in predicted}
    for counts in units.draw(affordable(len(labels), PAIRED_RESAMPLES), seed=seed):
        times = counts.astype(np.float64)
        total = actual @ times
        for name, matrix in true_positive.items():
            with np.errstate(divide="ignore", invalid="ignore"):
                recalls[name].append(mean_over_classes((matrix @ times) / total))
    return paired_resamples({name: np.concatenate(parts) for name, parts in recalls.items()}, pairs, labels=labels)


def mcnemar(values: Mapping[str, Floats], pairs: Sequence[Pair], *, labels: Labels) -> tuple[Comparison, ...]:
    """A comparison of each pair of heads by the images that only one of them classifies correctly (McNemar 1947).

    `values` are the `row_values` of accuracy. The test is exact (binomial) if there are fewer than 25 such images,
    else chi-squared with continuity correction (Edwards 1948); the interval is that of Agresti & Min (2005). Every
    image counts once and independently: weights and groups are ignored, and `test` says so. Holm's correction over all
    pairs. Raises TableError for soft labels, for which no image is just correct or wrong.

    >>> import numpy as np
    >>> from featx.labels import Labels
    >>> from featx.measures import mcnemar
    >>> labels = Labels(("cat", "dog"), codes=np.arange(100) % 2)
    >>> correct = {"logreg": np.repeat([1.0, 0.0], [90, 10]), "knn": np.repeat([1.0, 0.0], [70, 30])}
    >>> mcnemar(correct, [("logreg", "knn")], labels=labels)[0].test
    'exact McNemar, 20 and 0 of 100 images'
    """
    if labels.given_shares is not None and not labels.multilabel:
        raise TableError("McNemar's test needs images that are correct or wrong, not soft labels; use paired_bootstrap")
    given = {"weights": labels.given_weights, "groups": labels.groups}
    ignored = [name for name, column in given.items() if column is not None]
    note = f", {' and '.join(ignored)} ignored" if ignored else ""
    return correct_all(_mcnemar(pair, difference_of(values, pair, len(labels)), note) for pair in pairs)


def _correct_bootstrapped(
    pairs: Sequence[Pair], differences: Iterable[Floats], units: Units, n: int
) -> tuple[Comparison, ...]:
    return correct_all(_bootstrapped(pair, drawn, units, n) for pair, drawn in zip(pairs, differences, strict=True))


def _t_over_groups(pair: Pair, differences: Floats, labels: Labels, units: Units) -> Comparison:
    """The comparison from the difference of each image (n,), by a t-test over the groups."""
    mean = float(np.average(differences, weights=labels.weights))
    deviations = units.sum(labels.weights * (differences - mean))
    variance = float(deviations @ deviations / units.weights.sum() ** 2) * units.spread
    test = f"t-test over {units.count} {units.noun}"
    return t_comparison(pair, mean, variance=variance, freedom=units.freedom, test=test, n=len(labels))


def _bootstrapped(pair: Pair, differences: Floats, units: Units, n: int) -> Comparison:
    """The comparison from the difference on the test images and on b resamples, (1 + b,)."""
    difference = float(differences[0])
    drawn = differences[1:][np.isfinite(differences[1:])]
    if units.grouped:
        variance = float(drawn.var(ddof=1)) * units.spread if len(drawn) > 1 else 0.0
        test = f"t-test over {units.count} {units.noun}, standard error from {len(differences) - 1} resamples"
        return t_comparison(pair, difference, variance=variance, freedom=units.freedom, test=test, n=n)
    test = f"paired bootstrap of {units.count} {units.noun}, {len(differences) - 1} resamples"
    interval = percentile_interval(differences, bounds=(-np.inf, np.inf))
    if interval is None:
        return Comparison(*pair, difference, None, None if abs(difference) > ZERO else 1.0, None, test, n)
    return Comparison(*pair, difference, interval, _p_value(difference, drawn), None, test, n)


def _p_value(difference: float, drawn: Floats) -> float:
    """The two-sided p-value: from the resamples on the other side of 0, or from standard errors if there are few."""
    if len(drawn) <= FEW_RESAMPLES:
        return float(2 * stats.norm.sf(abs(difference) / drawn.std(ddof=1)))
    beyond = min(int((drawn <= ZERO).sum()), int((drawn >= -ZERO).sum()))
    return min(1.0, 2 * (beyond + 1) / (len(drawn) + 1))


def _mcnemar(pair: Pair, differences: Floats, note: str) -> Comparison:
    n = len(differences)
    better = int((differences > 0).sum())
    worse = int((differences < 0).sum())
    discordant = better + worse
    if discordant < FEW_DISCORDANT:
        name = "exact McNemar"
        p = float(min(1.0, 2 * stats.binom.cdf(min(better, worse), discordant, 0.5)))
    else:
        name = "McNemar, chi-squared with continuity correction"
        p = float(stats.chi2.sf(max(0, abs(better - worse) - 1) ** 2 / discordant, 1))
    centre = (better - worse) / (n + 2)
    half = NORMAL * np.sqrt((discordant + 1) / (n + 2) - centre**2) / np.sqrt(n + 2)
    interval = (max(-1.0, float(centre - half)), min(1.0, float(centre + half)))
    test = f"{name}, {better} and {worse} of {n} images{note}"
    return Comparison(*pair, (better - worse) / n, interval, p, None, test, n)
