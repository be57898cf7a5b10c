"""Agreement: how well each score, known before any head is trained, predicts the accuracies that sources reach."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featx.measures import (
    Interval,
    mean_over_sets,
    pairs_in_order,
    pearson,
    regret_of_first,
    weighted_tau,
    width_bias,
)
from featx.suites.scoring import RANK, ScoreRow
from featx.suites.standing import Field, Standing

Floats = NDArray[np.float64]

ALL, PRETRAINED = "all", "pretrained"
"""Which sources are compared: all, or those that are no baselines."""
LEAST_SOURCES = 3
"""With fewer sources there is no order to speak of."""
NEAR = 0.01
"""A source within this of the best one is as good a choice."""
CORRELATION: Interval = (-1, 1)
SHARE: Interval = (0, 1)
POINTS: Interval = (0, 100)
RANKING = "default ranking"
VALIDATED = "validation accuracy"
PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")


@dataclass(frozen=True)
class Prediction:
    """What is known of one source before training, and what it reached, on one split of one target.

    >>> from featx.suites import Prediction
    >>> Prediction("shapes", "stratified/0", "lite0:features", 1280, False, 0.91, {"ridge": 0.9}).tied is None
    True
    """

    target: str
    split: str
    source: str
    columns: int
    baseline: bool
    """Whether it transfers nothing."""
    truth: float
    """The measure on test images of the head that was trained on it."""
    scores: Mapping[str, float | None]
    """What predicts the truth, larger is better; None where it is not defined."""
    tied: bool | None = None
    """Whether the default ranking names it as one of those to train."""


@dataclass(frozen=True)
class Estimate:
    """A mean over targets, with its interval."""

    mean: float
    ci: Interval | None
    """95 % interval, by Student's t over targets; None for one target, or if all have the same value."""
    lowest: float
    """The lowest value on any split."""
    highest: float
    targets: int
    """Number of targets on which it is defined."""


@dataclass(frozen=True)
class Agreement:
    """How well one score predicts what sources reach.

    >>> from featx.suites import Prediction, measure_agreement
    >>> truths = {"a": 0.9, "b": 0.8, "c": 0.7}
    >>> known = [Prediction("shapes", "s", name, 9, False, truth, {"ridge": truth}) for name, truth in truths.items()]
    >>> row = measure_agreement(known)[0]
    >>> row.score, row.among, row.tau.mean, row.regret.mean
    ('ridge', 'all', 1.0, 0.0)
    """

    score: str
    among: str
    """`all` sources, or the `pretrained` ones, which are no baselines."""
    sources: int
    """Largest number of sources that were compared on one target."""
    tau: Estimate | None
    """Weighted Kendall tau, from -1 to 1; None if it is undefined on every target."""
    pearson: Estimate | None
    regret: Estimate | None
    """How many points less the first by score reaches than the best source."""
    pairs: Estimate | None
    """Share of the pairs of sources that differ by two points or more which the score orders right."""
    bias: Estimate | None
    """Spearman's correlation of the number of columns with how much too high the score ranks a source."""
    tied: Estimate | None
    """Of the default ranking: share of splits on which those it names to train hold one within a point of the best."""


def measure_agreement(predictions: Sequence[Prediction]) -> tuple[Agreement, ...]:
    """How well every score predicts the truths, among all sources and among pretrained ones alone.

    Each quantity is computed for each split, averaged over the splits of a target, and then over targets. A source
    without a value of a score is left out for this score; targets with fewer than three sources are left out.

    >>> from featx.suites import Prediction, measure_agreement
    >>> truths = {"a": 0.9, "b": 0.8, "c": 0.7}
    >>> known = [Prediction("shapes", "s", name, 9, False, truth, {"ridge": -truth}) for name, truth in truths.items()]
    >>> round(measure_agreement(known)[0].regret.mean, 1)
    20.0
    """
    names = list(dict.fromkeys(name for one in predictions for name in one.scores))
    found = []
    for among in (ALL, PRETRAINED):
        chosen = [one for one in predictions if among == ALL or not one.baseline]
        if among == PRETRAINED and len(chosen) == len(predictions):
            continue
        found += [row for name in names if (row := _measure(name, among, chosen)) is not None]
    return tuple(found)


def _measure(name: str, among: str, predictions: Sequence[Prediction]) -> Agreement | None:
    """The agreement of one score; None if no target has enough sources."""
    splits = [found for found in _by_split(predictions, name) if len(found) >= LEAST_SOURCES]
    if not splits:
        return None

    def estimate(of_split: Callable[[Floats, Floats], float | None], within: Interval = CORRELATION) -> Estimate | None:
        """The mean over targets of a function of scores and truths."""
        return _estimate([(found[0].target, of_split(*_arrays(found, name))) for found in splits], within)

    biases = [(found[0].target, width_bias(*_arrays(found, name), _columns(found))) for found in splits]
    tied = [(found[0].target, _holds_a_good_one(found)) for found in splits if name == RANKING]
    return Agreement(
        score=name,
        among=among,
        sources=max(map(len, splits)),
        tau=estimate(weighted_tau),
        pearson=estimate(pearson),
        regret=estimate(_regret_in_points, POINTS),
        pairs=estimate(pairs_in_order, SHARE),
        bias=_estimate(biases, CORRELATION),
        tied=_estimate(tied, SHARE),
    )


def _by_split(predictions: Sequence[Prediction], name: str) -> Iterable[list[Prediction]]:
    """The predictions of each split that have a value of this score."""
    splits = dict[tuple[str, str], list[Prediction]]()
    for one in predictions:
        value = one.scores.get(name)
        if value is not None and np.isfinite(value):
            splits.setdefault((one.target, one.split), []).append(one)
    return splits.values()


def _arrays(found: Sequence[Prediction], name: str) -> tuple[Floats, Floats]:
    """The scores and truths (n,) of these sources."""
    return np.array([one.scores[name] for one in found], np.float64), np.array([one.truth for one in found])


def _columns(found: Sequence[Prediction]) -> Floats:
    return np.array([one.columns for one in found], np.float64)


def _regret_in_points(scores: Floats, truths: Floats) -> float:
    return 100 * regret_of_first(scores, truths)


def _holds_a_good_one(found: Sequence[Prediction]) -> float | None:
    """1 if a source to train is within a point of the best, else 0; None if there is no ranking."""
    tied = [one.truth for one in found if one.tied]
    if not tied:
        return None
    return float(max(one.truth for one in found) - max(tied) <= NEAR + 1e-12)


def _estimate(values: Sequence[tuple[str, float | None]], within: Interval) -> Estimate | None:
    """The mean over targets of the mean over their splits; None if it is defined on none of them."""
    targets = dict[str, list[float]]()
    for target, value in values:
        if value is not None:
            targets.setdefault(target, []).append(value)
    if not targets:
        return None
    every = [value for found in targets.values() for value in found]
    mean, ci = mean_over_sets(np.array([np.mean(found) for found in targets.values()]), within=within)
    return Estimate(mean, ci, min(every), max(every), len(targets))


def predict_fields(
    fields: Iterable[Field], scores: Iterable[ScoreRow], about: Mapping[tuple[str, str], Mapping[str, float]]
) -> list[Prediction]:
    """What is known of every source of these fields before training, and what it reached, on every split.

    Besides the scores these are simple rivals: the number of columns, the head's own validation accuracy, the
    published accuracy on the source task where the card has one, and what else `about` says of a source.
    """
    rows = dict[tuple[str, str, str, str], list[ScoreRow]]()
    for row in scores:
        rows.setdefault((row.target, row.split, row.backbone, row.output), []).append(row)
    return [one for field in fields for one in _predict(field, rows, about)]


def _predict(
    field: Field,
    rows: Mapping[tuple[str, str, str, str], Sequence[ScoreRow]],
    about: Mapping[tuple[str, str], Mapping[str, float]],
) -> Iterator[Prediction]:
    for standing in field.standings:
        for split, truth, validated in zip(field.splits, standing.predictor.values, standing.validated, strict=True):
            found = {row.score: row for row in rows.get((field.target.target, split.key, *standing.source), ())}
            rank = found.pop(RANK, None)
            yield Prediction(
                target=field.target.target,
                split=split.key,
                source=":".join(standing.source),
                columns=standing.columns,
                baseline=bool(standing.baseline),
                truth=float(truth),
                scores={
                    RANKING: None if rank is None or rank.value is None else -rank.value,
                    **{name: row.value for name, row in found.items()},
                    VALIDATED: float(validated),
                    "columns": float(standing.columns),
                    "published accuracy": published_accuracy(standing),
                    **about.get(standing.source, {}),
                },
                tied=None if rank is None else rank.tied,
            )


def published_accuracy(standing: Standing) -> float | None:
    """The first percentage in what the card says of the source task; None for baselines, or if there is none."""
    found = PERCENT.search(standing.reference)
    return float(found.group(1)) / 100 if found and not standing.baseline else None
