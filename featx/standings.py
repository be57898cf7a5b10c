"""Results of a comparison in; where each head stands over its splits, and whether a fusion earned its place, out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from featx.compare import Contest
from featx.measures import Comparison, corrected_t_test, draws_t_test, paired_bootstrap
from featx.results import Result
from featx.splits import Split
from featx.truth import Truth, truth_of

Entry: TypeAlias = tuple[str, str, str, tuple[str, ...]]
"""Digest of the table, head, fusion, backbones."""


@dataclass(frozen=True)
class Standing:
    """One head, on one backbone or several, over the splits of one kind."""

    name: str
    head: str
    fusion: str
    backbones: tuple[str, ...]
    splits: str
    """Their kind, as in `stratified` or `few-shot-4`, and how many."""
    results: tuple[Result, ...]
    """One a split, in their order."""
    reference: bool = False
    """Whether it is the best head of a single backbone: what all others are held against."""
    comparison: Comparison | None = None
    """Against the reference."""

    @property
    def values(self) -> NDArray[np.float64]:
        """(splits,): accuracy on their test images, or mean average precision where an image has several labels."""
        return np.array([_measure(result) for result in self.results])

    @property
    def validated(self) -> float:
        """Mean over the splits of what it reached on validation images, by which the reference is chosen."""
        return float(np.mean([result.validated for result in self.results]))

    def to_dict(self) -> dict[str, Any]:
        """The standing as plain JSON values, without its results."""
        own = {key: getattr(self, key) for key in ("name", "head", "fusion", "backbones", "splits", "reference")}
        return own | {
            "mean": _json(self.values.mean()),
            "values": [_json(value) for value in self.values],
            "validated": self.validated,
            "comparison": asdict(self.comparison) if self.comparison else None,
        }


def stand(contests: Sequence[Contest], results: Sequence[Result]) -> list[Standing]:
    """Where every head stands, kind of split by kind, in the order of the contests; those with a result on every split.

    The best head of a single backbone is chosen by validation images, not by those it is compared on. Holm's correction
    is over all fusions of one kind of split, and over all other heads of a single backbone.
    """
    made = {result.key: result for result in results}
    standings = []
    for kind in dict.fromkeys(contest.split.kind for contest in contests):
        pairs = [(contest, made.get(contest.key)) for contest in contests if contest.split.kind == kind]
        standings += _stand(kind, pairs)
    return standings


def _stand(kind: str, pairs: Sequence[tuple[Contest, Result | None]]) -> list[Standing]:
    entries: dict[Entry, list[Result | None]] = {}
    for contest, result in pairs:
        entry = (contest.table.digest, contest.head, contest.fusion, contest.backbones)
        entries.setdefault(entry, []).append(result)
    whole = {entry: [result for result in found if result] for entry, found in entries.items() if all(found)}
    standings = [_standing(kind, entry, found) for entry, found in whole.items()]
    single = [standing for standing in standings if len(standing.backbones) == 1]
    if not single:
        return standings
    best = max(single, key=lambda standing: standing.validated)
    splits = {contest.split.key: contest for contest, _ in pairs}
    comparisons: dict[str, Comparison] = {}
    for family in ([one for one in standings if one not in single], [one for one in single if one is not best]):
        comparisons |= _compare(family, best, list(splits.values())) if family else {}
    return [
        replace(standing, reference=standing is best, comparison=comparisons.get(standing.name))
        for standing in standings
    ]


def _standing(kind: str, entry: Entry, results: Sequence[Result]) -> Standing:
    _, head, fusion, backbones = entry
    name = f"{head}{f' ({fusion})' if fusion else ''} on {' + '.join(backbones)}"
    count = f"{kind} x {len(results)}" if len(results) > 1 else kind
    return Standing(name, head, fusion, backbones, count, tuple(results))


def _compare(rivals: Sequence[Standing], best: Standing, contests: Sequence[Contest]) -> Mapping[str, Comparison]:
    """Every rival against the best single backbone: image by image in one split, split by split in several."""
    rivals = [rival for rival in rivals if np.isfinite(rival.values - best.values).all()]
    pairs = [(rival.name, best.name) for rival in rivals]
    if not rivals:
        return {}
    if len(contests) == 1 and best.results[0].metrics.labels == "several":
        return {}  # of one split only the guesses are kept, which say nothing of how images were ranked
    if len(contests) == 1:
        truth = truth_of(contests[0].table, contests[0].split.test)
        values = {standing.name: _right(standing.results[0], truth) for standing in (*rivals, best)}
        made = paired_bootstrap(values, pairs, truth=truth, seed=contests[0].seed)
    else:
        scores = {standing.name: standing.values.tolist() for standing in (*rivals, best)}
        made = _over_splits(scores, pairs, [contest.split for contest in contests])
    return {comparison.a: comparison for comparison in made}


def _over_splits(
    scores: Mapping[str, Sequence[float]], pairs: Sequence[tuple[str, str]], splits: Sequence[Split]
) -> tuple[Comparison, ...]:
    if splits[0].shots:
        return draws_t_test(scores, pairs, train=[split.fitted for split in splits])
    train, test = [len(split.fitted) for split in splits], [len(split.test) for split in splits]
    return corrected_t_test(scores, pairs, train=train, test=test)


def _json(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _measure(result: Result) -> float:
    metrics = result.metrics
    value = metrics.average_precision if metrics.labels == "several" else metrics.accuracy
    return float("nan") if value is None else value


def _right(result: Result, truth: Truth) -> NDArray[np.float64]:
    """(n,): how true each guess of the result is."""
    column = np.array([truth.classes.index(name) for name in result.classes])
    named = column[result.unpack()]
    if truth.given is None:
        return np.asarray(named == truth.labels, np.float64)
    right: NDArray[np.float64] = truth.given[np.arange(len(truth)), named]
    return right
