"""Results: every candidate with its interval, and how it differs from the best single backbone."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from featx.compare import RankedCandidate
from featx.measures import MEASURE_TITLES, Comparison, Interval
from featx.report.drawings import Forest, Span
from featx.report.measures import explain_result, show_interval, show_number, show_p, with_interval
from featx.report.pages.material import Material
from featx.report.section import Section

MOST_DRAWN = 40
"""Most candidates in a figure; the table has all."""
_COLUMNS = ("rank", "head", "fusion", "backbones", "{measure} on test images", "95 % interval", "on validation images")
_DIFFERENCES = ("candidate", "against the best single one", "95 % interval", "p (Holm)", "beyond chance")
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Contest:
    """The candidates that were measured on the same splits of the same images, the best by validation images first."""

    splits: str
    entries: tuple[RankedCandidate, ...]
    comparisons: tuple[Comparison | None, ...]
    """Of each entry its test against the reference."""

    @property
    def first(self) -> RankedCandidate:
        """The candidate to recommend: that of the highest rank, of equal ones the reference."""
        return self.entries[0]

    @property
    def measure(self) -> str:
        """What the measure is called."""
        return MEASURE_TITLES[self.first.results[0].measure]

    @property
    def tested(self) -> int:
        """Number of test images of the first split."""
        return self.first.results[0].metrics.n


def list_contests(material: Material) -> list[Contest]:
    """The contests of all results, those with the most candidates first."""
    found = []
    for ranking in material.ranked.rankings:
        for splits, kind in groupby(ranking, key=lambda one: one.splits):
            entries = sorted(kind, key=lambda one: (one.rank, not one.reference))
            tests = [one.comparison or material.comparisons.get((one.name, splits)) for one in entries]
            found.append(
                Contest(
                    splits,
                    tuple(entries),
                    tuple(None if one.reference else test for one, test in zip(entries, tests, strict=True)),
                )
            )
    return sorted(found, key=lambda one: -len(one.entries))


def interval_of_mean(ranked: RankedCandidate) -> Interval | None:
    """The 95 % interval of the measure on one split; None over several, whose mean has none of its own."""
    if len(ranked.results) > 1:
        return None
    result = ranked.results[0]
    found: Interval | None = getattr(result.metrics, f"{result.measure}_ci")
    return found


def contest_sections(contests: Sequence[Contest]) -> Iterator[Section]:
    """For each contest, the candidates and, where they were tested, their differences from the reference."""
    several = len(contests) > 1
    for number, contest in enumerate(contests, 1):
        where = f" ({contest.splits}, {contest.tested:,} test images)" if several else ""
        yield _candidates(contest, f"Results{where}", name=f"results-{number}")
        if any(contest.comparisons):
            yield _differences(contest, f"Results: paired differences{where}", name=f"differences-{number}")


def _candidates(contest: Contest, title: str, *, name: str) -> Section:
    columns = tuple(column.format(measure=contest.measure) for column in _COLUMNS)
    spread = len(contest.first.results) > 1
    columns = (*columns[:5], "± over splits", columns[6]) if spread else columns
    by_domain = bool(contest.first.domains)
    return Section(
        title=title,
        sentence=recommend(contest),
        columns=(*columns, "worst domain") if by_domain else columns,
        rows=tuple((*_row(one), *((_worst(one),) if by_domain else ())) for one in contest.entries),
        figure=_forest(contest),
        notes=tuple(_notes(contest)),
        wrapped="backbones",
        name=name,
    )


def _row(one: RankedCandidate) -> tuple[str, ...]:
    values = one.values
    spread = f"± {values.std(ddof=1):.3f}" if len(values) > 1 else show_interval(interval_of_mean(one))
    measured = show_number(float(values.mean()))
    return (str(one.rank), one.head, one.fusion, " + ".join(one.backbones), measured, spread, f"{one.validated:.3f}")


def _worst(one: RankedCandidate) -> str:
    """The domain in which the candidate reaches least, and what it reaches there."""
    domains = one.domains
    if not domains:
        return ""
    name = min(domains, key=lambda domain: domains[domain])
    return f"{domains[name]:.3f} in {name}"


def _forest(contest: Contest) -> Forest:
    names = _short_names(contest.entries)
    spans = tuple(
        _span(one, names[one.name]) for one in contest.entries[:MOST_DRAWN] if math.isfinite(one.values.mean())
    )
    title = f"{contest.measure} of candidates on {contest.splits} splits"
    return Forest(title, f"{contest.measure} on test images", spans)


def _span(one: RankedCandidate, name: str) -> Span:
    low, high = interval_of_mean(one) or (None, None)
    return Span(name, float(one.values.mean()), low, high, "recommended" if one.rank == 1 else "")


def _short_names(entries: Sequence[RankedCandidate]) -> dict[str, str]:
    """Name of each candidate -> what tells it from the others, without the backbones that all of them share."""
    if len(entries) == 1 or len({one.backbones for one in entries}) > 1:
        return {one.name: one.name for one in entries}
    return {one.name: one.name.replace(f" on {' + '.join(one.backbones)}", "") for one in entries}


def _notes(contest: Contest) -> Iterator[str]:
    first = contest.first.results[0]
    several = len(contest.first.results)
    yield f"split: {first.split}{f', the first of {several}' if several > 1 else ''}"
    yield explain_result(first)
    yield f"interval: {first.metrics.interval}" if several == 1 else "±: standard deviation over the splits"
    yield "the order is that of validation images, as choosing by test images would make the best one look too good"
    yield f"always naming the most frequent class is right for {first.metrics.majority_accuracy:.3f} of the test images"
    if len(contest.entries) > MOST_DRAWN:
        yield f"the figure has the first {MOST_DRAWN} of {len(contest.entries)} candidates, the table all"
    if len(contest.entries) > 1 and not any(contest.comparisons):
        yield (
            "no paired differences: they need the images' labels; add the caches of these results, or what "
            "`featx compare` prints with --json"
        )


def _differences(contest: Contest, title: str, *, name: str) -> Section:
    pairs = [(one, test) for one, test in zip(contest.entries, contest.comparisons, strict=True) if test is not None]
    reference = next((one.name for one in contest.entries if one.reference), pairs[0][1].b)
    beyond = sum(_is_beyond(test) for _, test in pairs)
    return Section(
        title=title,
        sentence=f"{beyond} of {len(pairs)} candidates differ from {reference} by more than chance explains.",
        columns=_DIFFERENCES,
        rows=tuple(_difference_row(one, test) for one, test in pairs),
        figure=_difference_forest(pairs, contest),
        notes=tuple(_test_notes(pairs, reference)),
        name=name,
    )


def _difference_row(one: RankedCandidate, test: Comparison) -> tuple[str, ...]:
    difference = f"{test.difference:+.3f}"
    return (one.name, difference, show_interval(test.interval), show_p(test.p_holm), say_beyond(test))


def say_beyond(test: Comparison) -> str:
    """Whether the difference is beyond chance, in a word or two."""
    if test.p_holm is None:
        return "unknown"
    return ("better" if test.difference > 0 else "worse") if _is_beyond(test) else "no"


def _is_beyond(test: Comparison) -> bool:
    return test.p_holm is not None and test.p_holm < SIGNIFICANT


def _difference_forest(pairs: Sequence[tuple[RankedCandidate, Comparison]], contest: Contest) -> Forest:
    names = _short_names(contest.entries)
    spans = []
    for one, test in pairs[:MOST_DRAWN]:
        low, high = test.interval or (None, None)
        spans.append(Span(names[one.name], test.difference, low, high, f"p {show_p(test.p_holm)}"))
    return Forest("paired differences", f"difference in {contest.measure}", tuple(spans), reference=0.0)


def _test_notes(pairs: Sequence[tuple[RankedCandidate, Comparison]], reference: str) -> Iterator[str]:
    yield f"reference: {reference}, the best head on a single backbone by validation images"
    yield f"p: {'; '.join(sorted({test.test for _, test in pairs}))}"
    yield "Holm's correction, separately for fusions and for other heads on one backbone"
    if len(pairs) > MOST_DRAWN:
        yield f"the figure has the first {MOST_DRAWN} of {len(pairs)} candidates, the table all"


def recommend_in_facts(contest: Contest) -> Iterator[tuple[str, str]]:
    """What `recommend` says, as the names of facts and the facts."""
    first = contest.first
    measured = with_interval(show_number(float(first.values.mean())), interval_of_mean(first))
    splits = f"mean over {len(first.results)} splits" if len(first.results) > 1 else f"{contest.tested:,} test images"
    several = f"the best of {len(contest.entries)} by validation images"
    yield "recommended", f"{first.name}, {several if len(contest.entries) > 1 else 'the only candidate'}"
    yield contest.measure, f"{measured}, {splits}"
    yield "most frequent class alone", show_number(first.results[0].metrics.majority_accuracy)
    if len(contest.entries) > 1:
        second = contest.entries[1]
        yield "next", f"{second.name}: {show_number(float(second.values.mean()))}"
        yield "difference", _difference_in_words(contest) or "not tested: add the caches of these results"


def recommend(contest: Contest) -> str:
    """The recommended candidate with its interval, and whether it differs from the next by more than chance."""
    first = contest.first
    measured = with_interval(show_number(float(first.values.mean())), interval_of_mean(first))
    splits = f"{len(first.results)} splits" if len(first.results) > 1 else f"{contest.tested:,} test images"
    text = f"{first.name} is the best candidate by validation images: {contest.measure} {measured} on {splits}"
    return f"{text}{_against_next(contest)}."


def _against_next(contest: Contest) -> str:
    """How it compares with the next candidate, as far as that was tested."""
    if len(contest.entries) == 1:
        return "; it is the only candidate"
    found = _difference_in_words(contest)
    if not found:
        return f"; whether it differs from the next, {contest.entries[1].name}, by more than chance was not tested"
    return f"; its difference {found}"


def _difference_in_words(contest: Contest) -> str:
    """The first candidate minus the next, or minus the reference, and whether chance explains it; empty if untested."""
    first, second = contest.entries[:2]
    test = _test_between(contest)
    if test is None:
        return ""
    difference = 0.0 + (test.difference if test is contest.comparisons[0] else -test.difference)  # never -0.000
    chance = f"p {show_p(test.p_holm)} after Holm's correction"
    other = second.name if first.reference or second.reference else _reference(contest)
    verdict = "beyond chance" if _is_beyond(test) else "within chance"
    return f"from {other}, {difference:+.3f}, is {verdict} ({chance})"


def _test_between(contest: Contest) -> Comparison | None:
    """The test of the first candidate and the reference; of the next one, if the first is the reference."""
    return contest.comparisons[1] if contest.first.reference else contest.comparisons[0]


def _reference(contest: Contest) -> str:
    return next((one.name for one in contest.entries if one.reference), "the best single backbone")
