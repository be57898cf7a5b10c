"""Results of a comparison in; where each head stands over its splits, and whether a fusion earned its place, out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from featx.compare import Contest
from featx.measures import Comparison, corrected_t_test, paired_bootstrap
from featx.results import Result
from featx.truth import Truth, truth_of

Entry: TypeAlias = tuple[str, str, tuple[str, ...]]
"""Head, fusion, backbones."""


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
    """Whether it is the best head of a single backbone: what all fusions are held against."""
    comparison: Comparison | None = None
    """Of a head of several backbones: against the reference."""

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
            "mean": float(self.values.mean()),
            "values": self.values.tolist(),
            "validated": self.validated,
            "comparison": asdict(self.comparison) if self.comparison else None,
        }


def stand(contests: Sequence[Contest], results: Sequence[Result]) -> list[Standing]:
    """Where every head stands, kind of split by kind, in the order of the contests.

    The best head of a single backbone is chosen by validation images, not by those it is compared on; Holm's correction
    is over all fusions of one kind of split.
    """
    standings = []
    for kind in dict.fromkeys(contest.split.kind for contest in contests):
        pairs = [pair for pair in zip(contests, results, strict=True) if pair[0].split.kind == kind]
        standings += _stand(kind, pairs)
    return standings


def _stand(kind: str, pairs: Sequence[tuple[Contest, Result]]) -> list[Standing]:
    entries: dict[Entry, list[Result]] = {}
    for _, result in pairs:
        entries.setdefault((result.head, result.fusion, result.backbones), []).append(result)
    standings = [_standing(kind, entry, found) for entry, found in entries.items()]
    single = [standing for standing in standings if len(standing.backbones) == 1]
    best = max(single, key=lambda standing: standing.validated)
    rivals = [standing for standing in standings if len(standing.backbones) > 1]
    splits = {contest.split.key: contest for contest, _ in pairs}
    comparisons = _compare(rivals, best, list(splits.values())) if rivals else {}
    return [
        replace(standing, reference=standing is best, comparison=comparisons.get(standing.name))
        for standing in standings
    ]


def _standing(kind: str, entry: Entry, results: Sequence[Result]) -> Standing:
    head, fusion, backbones = entry
    name = f"{head}{f' ({fusion})' if fusion else ''} on {' + '.join(backbones)}"
    count = f"{kind} x {len(results)}" if len(results) > 1 else kind
    return Standing(name, head, fusion, backbones, count, tuple(results))


def _compare(rivals: Sequence[Standing], best: Standing, contests: Sequence[Contest]) -> Mapping[str, Comparison]:
    """Every rival against the best single backbone: image by image in one split, split by split in several."""
    pairs = [(rival.name, best.name) for rival in rivals]
    if len(contests) == 1 and best.results[0].metrics.labels == "several":
        return {}  # of one split only the guesses are kept, which say nothing of how images were ranked
    if len(contests) == 1:
        truth = truth_of(contests[0].table, contests[0].split.test)
        values = {standing.name: _right(standing.results[0], truth) for standing in (*rivals, best)}
        made = paired_bootstrap(values, pairs, truth=truth, seed=contests[0].seed)
    else:
        scores = {standing.name: standing.values.tolist() for standing in (*rivals, best)}
        sizes = [(len(contest.split.fitted), len(contest.split.test)) for contest in contests]
        made = corrected_t_test(scores, pairs, train=[a for a, _ in sizes], test=[b for _, b in sizes])
    return {comparison.a: comparison for comparison in made}


def _measure(result: Result) -> float:
    metrics = result.metrics
    value = metrics.average_precision if metrics.labels == "several" else metrics.accuracy
    return float("nan") if value is None else value


def _right(result: Result, truth: Truth) -> NDArray[np.float64]:
    """(n,): how true each guess of the result is."""
    column = np.array([truth.classes.index(name) for name in result.classes])
    right: NDArray[np.float64] = truth.shares[np.arange(len(truth)), column[result.unpack()]]
    return right
