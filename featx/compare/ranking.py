"""Results of a comparison in; where each head stands over its splits, and whether a fusion earned its place, out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from featx.compare.comparing import Contest
from featx.heads import (
    Result,
    unpack_drawn,
    unpack_guesses,
)
from featx.labels import Labels
from featx.measures import (
    Comparison,
    corrected_t_test,
    draws_t_test,
    guessed_right,
    mcnemar,
    paired_bootstrap,
    paired_recalls,
    paired_resamples,
)
from featx.tables import Split

Entry: TypeAlias = tuple[str, str, str, tuple[str, ...]]
"""Digest of the table, head, fusion, backbones."""
Tests: TypeAlias = Mapping[str, tuple[Comparison, ...]]
"""By the field of a standing, one a pair."""


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
    mcnemar: Comparison | None = None
    """The same by McNemar's test: of accuracy, in one split of images with one label that all count alike."""

    @property
    def values(self) -> NDArray[np.float64]:
        """(splits,): the measure of the results on their test images; NaN where it is not defined."""
        return np.array([result.value for result in self.results])

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
            "measure": self.results[0].measure,
            "comparison": asdict(self.comparison) if self.comparison else None,
            "mcnemar": asdict(self.mcnemar) if self.mcnemar else None,
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
    contests = list({contest.split.key: contest for contest, _ in pairs}.values())
    families = [one for one in standings if one not in single], [one for one in single if one is not best]
    compared = {one.name: one for family in families for one in _compare(family, best, contests)}
    return [compared.get(one.name, replace(one, reference=one is best)) for one in standings]


def _standing(kind: str, entry: Entry, results: Sequence[Result]) -> Standing:
    _, head, fusion, backbones = entry
    name = f"{head}{f' ({fusion})' if fusion else ''} on {' + '.join(backbones)}"
    count = f"{kind} x {len(results)}" if len(results) > 1 else kind
    return Standing(name, head, fusion, backbones, count, tuple(results))


def _compare(rivals: Sequence[Standing], best: Standing, contests: Sequence[Contest]) -> list[Standing]:
    """Those rivals that can be tested against the best, with their tests: of images in one split, else of splits."""
    rivals = [rival for rival in rivals if np.isfinite(rival.values - best.values).all()]
    if not rivals:
        return []
    pairs = [(rival.name, best.name) for rival in rivals]
    if len(contests) == 1:
        results = {standing.name: standing.results[0] for standing in (*rivals, best)}
        tests = _over_images(results, pairs, contests[0])
    else:
        scores = {standing.name: standing.values.tolist() for standing in (*rivals, best)}
        tests = {"comparison": _over_splits(scores, pairs, [contest.split for contest in contests])}
    made = [dict(zip(tests, of_pair, strict=True)) for of_pair in zip(*tests.values(), strict=True)]
    return [replace(rival, **tested) for rival, tested in zip(rivals, made, strict=True)]


def _over_images(results: Mapping[str, Result], pairs: Sequence[tuple[str, str]], contest: Contest) -> Tests:
    truth = contest.table.labels_of(contest.split.test)
    if truth.multilabel:
        drawn = {name: unpack_drawn(result.drawn or "") for name, result in results.items()}
        return {"comparison": paired_resamples(drawn, pairs, truth=truth)}
    guesses = {name: _guesses(result, truth) for name, result in results.items()}
    if contest.balanced:
        return {"comparison": paired_recalls(guesses, pairs, truth=truth, seed=contest.seed)}
    right = {name: guessed_right(guess, truth) for name, guess in guesses.items()}
    bootstrapped = paired_bootstrap(right, pairs, truth=truth, seed=contest.seed)
    alike = truth.given_shares is None and truth.given_weights is None and truth.groups is None
    return {"comparison": bootstrapped} | ({"mcnemar": mcnemar(right, pairs, truth=truth)} if alike else {})


def _over_splits(
    scores: Mapping[str, Sequence[float]], pairs: Sequence[tuple[str, str]], splits: Sequence[Split]
) -> tuple[Comparison, ...]:
    if splits[0].shots:
        return draws_t_test(scores, pairs, train=[split.fitted for split in splits])
    train, test = [len(split.fitted) for split in splits], [len(split.test) for split in splits]
    return corrected_t_test(scores, pairs, train=train, test=test)


def _json(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _guesses(result: Result, truth: Labels) -> NDArray[np.int64]:
    """(n,): the class that each test image is taken for, as truth has them."""
    column = np.array([truth.classes.index(name) for name in result.classes])
    return column[unpack_guesses(result.guesses or "")]
