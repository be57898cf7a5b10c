"""The candidates of one kind of split, and which of them to take: what all reports of a ranking are made from."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from featx.measures import MEASURE_TITLES
from featx.report.measures import show_number, show_p, with_interval

if TYPE_CHECKING:
    from featx.compare import RankedCandidate
    from featx.measures import Comparison, Interval

SIGNIFICANT = 0.05
"""Holm-corrected p below which a difference is beyond chance."""


@dataclass(frozen=True)
class KnownTests:
    """What is known of a candidate from elsewhere, as it does not follow from results without the images' labels."""

    comparison: "Comparison | None"
    """Its test against the reference."""
    mcnemar: "Comparison | None"
    chosen_per_split: float | None
    """Of the reference, as RankedCandidate has it."""


@dataclass(frozen=True)
class SplitRanking:
    """The candidates that were measured on the same splits of the same images, the best by validation images first."""

    splits: str
    """Kind and number of the splits, such as `few-shot-4 x 5`."""
    candidates: "tuple[RankedCandidate, ...]"
    could_be_tested: bool = True
    """Whether the images were at hand, without which no candidate can be tested against another."""

    @property
    def first(self) -> "RankedCandidate":
        """The candidate to recommend: that of the highest rank, of equal ones the reference."""
        return self.candidates[0]

    @property
    def reference(self) -> "RankedCandidate | None":
        """The best head on a single backbone, which all others are tested against; None if there is none."""
        return next((one for one in self.candidates if one.reference), None)

    @property
    def tests(self) -> "tuple[tuple[RankedCandidate, Comparison], ...]":
        """The candidates that were tested against the reference, with their tests."""
        return tuple((one, one.comparison) for one in self.candidates if one.comparison is not None)

    @property
    def measure(self) -> str:
        """What the measure is called."""
        return MEASURE_TITLES[self.first.results[0].measure]

    @property
    def tested(self) -> str:
        """How many test images there are, in words."""
        counts = sorted({result.metrics.n for result in self.first.results})
        several = " each" if len(self.first.results) > 1 else ""
        return f"{' to '.join(f'{count:,}' for count in {counts[0]: 0, counts[-1]: 0})} test images{several}"


def split_rankings(
    ranking: "Iterable[RankedCandidate]",
    *,
    tests: Mapping[tuple[str, str], KnownTests] | None = None,
    could_be_tested: bool = True,
) -> list[SplitRanking]:
    """One for each kind of split.

    `tests` has those that are known from elsewhere, by the name of the candidate and its kind of splits; they stand in
    for missing ones, if they are against the same reference.
    """
    return [
        SplitRanking(splits, _best_first(kind, tests or {}), could_be_tested)
        for splits, kind in groupby(ranking, key=lambda one: one.splits)
    ]


def _best_first(
    kind: "Iterable[RankedCandidate]", tests: Mapping[tuple[str, str], KnownTests]
) -> "tuple[RankedCandidate, ...]":
    ordered = sorted(kind, key=lambda one: (one.rank, not one.reference))
    reference = next((one.name for one in ordered if one.reference), "")
    return tuple(_with_known(one, tests.get((one.name, one.splits)), reference) for one in ordered)


def _with_known(one: "RankedCandidate", known: KnownTests | None, reference: str) -> "RankedCandidate":
    """The candidate with what it lacks of its tests against this reference."""
    if known is None or one.comparison is not None:
        return one
    if one.reference:
        return one if one.chosen_per_split is not None else replace(one, chosen_per_split=known.chosen_per_split)
    if known.comparison is None or known.comparison.b != reference:
        return one
    return replace(one, comparison=known.comparison, mcnemar=known.mcnemar)


def interval_of_mean(ranked: "RankedCandidate") -> "Interval | None":
    """The 95 % interval of the measure on one split; None over several, whose mean has none of its own."""
    if len(ranked.results) > 1:
        return None
    result = ranked.results[0]
    found: Interval | None = getattr(result.metrics, f"{result.measure}_ci")
    return found


def is_beyond_chance(test: "Comparison") -> bool:
    """Whether chance hardly explains the difference."""
    return test.p_holm is not None and test.p_holm < SIGNIFICANT


def recommend(ranking: SplitRanking) -> str:
    """The recommended candidate with its interval, and whether it differs from the next by more than chance."""
    first = ranking.first
    splits = f"{len(first.results)} splits" if len(first.results) > 1 else ranking.tested
    text = f"{first.name} is the best candidate by validation images: {ranking.measure} {_measured(first)} on {splits}"
    return f"{text}{_against_next(ranking)}."


def recommend_in_facts(ranking: SplitRanking) -> Iterator[tuple[str, str]]:
    """What `recommend` says, as the names of facts and the facts."""
    first = ranking.first
    splits = f"mean over {len(first.results)} splits" if len(first.results) > 1 else ranking.tested
    several = f"the best of {len(ranking.candidates)} by validation images"
    yield "recommended", f"{first.name}, {several if len(ranking.candidates) > 1 else 'the only candidate'}"
    yield ranking.measure, f"{_measured(first)}, {splits}"
    yield "most frequent class alone", show_number(first.results[0].metrics.majority_accuracy)
    if len(ranking.candidates) > 1:
        second = ranking.candidates[1]
        yield "next", f"{second.name}: {show_number(float(second.values.mean()))}"
        yield "difference", _difference_in_words(ranking) or "not tested"


def _measured(ranked: "RankedCandidate") -> str:
    return with_interval(show_number(float(ranked.values.mean())), interval_of_mean(ranked))


def _against_next(ranking: SplitRanking) -> str:
    """How it compares with the next candidate, as far as that was tested."""
    if len(ranking.candidates) == 1:
        return "; it is the only candidate"
    found = _difference_in_words(ranking)
    if not found:
        return f"; whether it differs from the next, {ranking.candidates[1].name}, by more than chance was not tested"
    return f"; its difference {found}"


def _difference_in_words(ranking: SplitRanking) -> str:
    """The first candidate minus the next, or minus the reference, and whether chance explains it; empty if untested."""
    first, second = ranking.candidates[:2]
    test = second.comparison if first.reference else first.comparison
    if test is None:
        return ""
    difference = 0.0 + (-test.difference if first.reference else test.difference)  # never -0.000
    other = second.name if first.reference else test.b
    verdict = "beyond chance" if is_beyond_chance(test) else "within chance"
    return f"from {other}, {difference:+.3f}, is {verdict} (p {show_p(test.p_holm)} after Holm's correction)"
