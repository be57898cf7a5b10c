"""A ranking as sections: for each kind of split what its candidates reach, and how far they are from the best single.

The terminal, notebooks, documents and the page of a report all show these.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING

from featx.report.drawings import Forest, Span
from featx.report.measures import explain_result, show_interval, show_number, show_p
from featx.report.section import Section
from featx.report.split_rankings import (
    SIGNIFICANT,
    SplitRanking,
    interval_of_mean,
    is_beyond_chance,
    recommend,
    split_rankings,
)

if TYPE_CHECKING:
    from featx.compare import RankedCandidate
    from featx.measures import Comparison
    from featx.tables import Duplicates

_MOST_DOMAINS = 6
"""Most domains that have a column each; of more of them, only the worst is shown."""


def ranking_sections(
    ranking: "Iterable[RankedCandidate]", *, duplicates: "Mapping[str, Duplicates] | None" = None
) -> list[Section]:
    """For each kind of split, what candidates reach, and their differences from the best single backbone.

    `duplicates` has the near-duplicates in the first split of each kind, under the key of that split.
    """
    return sections_of_rankings(split_rankings(ranking), duplicates=duplicates)


def sections_of_rankings(
    rankings: Sequence[SplitRanking], *, duplicates: "Mapping[str, Duplicates] | None" = None
) -> list[Section]:
    """The sections of each kind of split: its candidates and, where they were tested, their differences."""
    sections = []
    for one in rankings:
        sections.append(_values_section(one, duplicates or {}))
        if one.tests:
            sections.append(_differences_section(one))
    return sections


def _values_section(ranking: SplitRanking, duplicates: "Mapping[str, Duplicates]") -> Section:
    notes = [*_measurement_notes(ranking), *_untested_notes(ranking), *_choice_notes(ranking)]
    return Section(
        title=f"Results ({ranking.splits}, {ranking.tested})",
        sentence=recommend(ranking),
        columns=_columns(ranking),
        rows=tuple(map(_row, ranking.candidates)),
        figure=_values_figure(ranking),
        notes=(*notes, *_duplicates_notes(ranking.first, duplicates)),
        wrapped="backbones",
        name=f"ranking-{_word(ranking)}",
    )


def _word(ranking: SplitRanking) -> str:
    """The kind of split as one word."""
    return "-".join(ranking.splits.split())


def _columns(ranking: SplitRanking) -> tuple[str, ...]:
    first = ranking.first
    domains = tuple(f"in {name}" for name in first.domains)
    if len(domains) > _MOST_DOMAINS:
        domains = ("worst domain",)
    spread = "± over splits" if len(first.results) > 1 else "95 % interval"
    measured = (f"{ranking.measure} on test images", spread, *domains, "on validation images")
    return "rank", "head", "fusion", "backbones", *measured


def _row(ranked: "RankedCandidate") -> tuple[str, ...]:
    values = ranked.values
    spread = f"± {values.std(ddof=1):.3f}" if len(values) > 1 else show_interval(interval_of_mean(ranked))
    return (
        str(ranked.rank),
        ranked.head,
        ranked.fusion,
        " + ".join(ranked.backbones),
        show_number(float(values.mean())),
        spread,
        *_of_domains(ranked),
        f"{ranked.validated:.3f}",
    )


def _of_domains(ranked: "RankedCandidate") -> tuple[str, ...]:
    """The measure in each tested domain, or in the worst of many; empty if splits do not test domains."""
    if len(ranked.domains) > _MOST_DOMAINS:
        worst = min(ranked.domains, key=lambda name: ranked.domains[name])
        return (f"{ranked.domains[worst]:.3f} in {worst}",)
    return tuple(f"{value:.3f}" for value in ranked.domains.values())


def _values_figure(ranking: SplitRanking) -> Forest:
    """The measure of each candidate on test images."""
    names = _short_names(ranking)
    spans = tuple(
        Span.within(
            names[one.name],
            float(one.values.mean()),
            interval_of_mean(one),
            note="recommended" if one is ranking.first else "",
        )
        for one in ranking.candidates
        if isfinite(one.values.mean())
    )
    splits = len(ranking.first.results)
    x_title = f"{ranking.measure} on test images, {f'mean of {splits} splits' if splits > 1 else '95 % interval'}"
    return Forest(f"{ranking.measure} of candidates on {ranking.splits} splits", x_title, spans)


def _short_names(ranking: SplitRanking) -> dict[str, str]:
    """Name of each candidate -> what tells it from the others, without the backbones that all of them share."""
    candidates = ranking.candidates
    if len(candidates) == 1 or len({one.backbones for one in candidates}) > 1:
        return {one.name: one.name for one in candidates}
    return {one.name: one.name.replace(f" on {' + '.join(one.backbones)}", "") for one in candidates}


def _measurement_notes(ranking: SplitRanking) -> list[str]:
    """How all candidates of one kind of split were measured."""
    results = ranking.first.results
    first = results[0]
    several = len(results) > 1
    which = f", the first of {len(results)} such splits" if several else ""
    domains = "; the mean is over domains of equal weight" if ranking.first.domains else ""
    return [
        f"split: {first.split}{which}; the same images for every candidate{domains}",
        explain_result(first),
        "±: standard deviation over the splits" if several else f"interval: {first.metrics.interval}",
        f"validation: {first.tuned}",
        "the order is that of validation images, as choosing by test images would make the best one look too good",
        f"accuracy of always predicting the most frequent class: {_show_majority(ranking.first)}",
    ]


def _show_majority(ranked: "RankedCandidate") -> str:
    """The accuracy of the most frequent class on the first split; on splits by domain, its range over domains."""
    found = [result.metrics.majority_accuracy for result in ranked.results]
    return f"{min(found):.3f} to {max(found):.3f} in the domains" if ranked.domains else f"{found[0]:.3f}"


def _untested_notes(ranking: SplitRanking) -> Iterator[str]:
    """Why no candidate was tested against the reference, if none was."""
    if ranking.tests or (len(ranking.candidates) == 1 and ranking.reference):
        return
    if ranking.reference is None:
        yield "no test: no head on a single backbone has a result on every split, so there is no reference"
    elif ranking.could_be_tested:
        yield "no test: the measure is not defined on every split; use more test images"
    else:
        yield (
            "no test: paired differences need the labels of the images; add the caches of these results, or what "
            "`featx compare` prints with --json"
        )


def _choice_notes(ranking: SplitRanking) -> list[str]:
    """How much too good the mean of the reference may be, which validation images of all splits chose."""
    means = [one.chosen_per_split for one in ranking.candidates if one.chosen_per_split is not None]
    return [
        "images that choose on one split are test images of others, so the mean of the best single is too good by "
        f"chance; chosen on each split by its own validation images, the best heads on one backbone reach {mean:.3f}"
        for mean in means
    ]


def _duplicates_notes(ranked: "RankedCandidate", duplicates: "Mapping[str, Duplicates]") -> list[str]:
    """The near-duplicates in the first split of this kind, if they were looked for."""
    first, *others = (result.split_key for result in ranked.results)
    if first not in duplicates:
        return []
    return [f"{duplicates[first].text}{', in the first of these splits' if others else ''}"]


def _differences_section(ranking: SplitRanking) -> Section:
    tests = ranking.tests
    names = _short_names(ranking)
    spans = tuple(
        Span.within(names[one.name], test.difference, test.interval, note=f"p {show_p(test.p_holm)}")
        for one, test in tests
    )
    title = f"difference in {ranking.measure}"
    mcnemar = any(one.mcnemar for one, _ in tests)
    others = ("McNemar's p (Holm)",) if mcnemar else ()
    return Section(
        title=f"Results: paired differences ({ranking.splits}, {ranking.tested})",
        sentence=_count_differences(tests),
        columns=("candidate", title, "95 % interval", "p", "p (Holm)", *others, "beyond chance"),
        rows=tuple((names[one.name], *_difference_cells(one, test, mcnemar=mcnemar)) for one, test in tests),
        figure=Forest(f"paired differences on {ranking.splits} splits", title, spans, reference=0.0),
        notes=tuple(_test_notes(tests)),
        name=f"differences-{_word(ranking)}",
    )


def _count_differences(tests: "Sequence[tuple[RankedCandidate, Comparison]]") -> str:
    """How many candidates differ from the reference by more than chance explains."""
    sure = [test for _, test in tests if is_beyond_chance(test)]
    better = sum(test.difference > 0 for test in sure)
    others = "1 other" if len(tests) == 1 else f"{len(tests)} others"
    return (
        f"{tests[0][1].b} is the best single-backbone candidate by validation images; of {others}, {better} "
        f"{'is' if better == 1 else 'are'} better and {len(sure) - better} worse, beyond chance (p < {SIGNIFICANT})."
    )


def _difference_cells(ranked: "RankedCandidate", test: "Comparison", *, mcnemar: bool) -> tuple[str, ...]:
    other = (show_p(ranked.mcnemar.p_holm) if ranked.mcnemar else "–",) if mcnemar else ()
    difference = f"{test.difference:+.3f}"
    return (
        difference,
        show_interval(test.interval),
        show_p(test.p),
        show_p(test.p_holm),
        *other,
        _verdict(test),
    )


def _verdict(test: "Comparison") -> str:
    """Whether the difference is beyond chance, in a word."""
    if test.p_holm is None:
        return "unknown"
    return ("better" if test.difference > 0 else "worse") if is_beyond_chance(test) else "no"


def _test_notes(tests: "Sequence[tuple[RankedCandidate, Comparison]]") -> Iterator[str]:
    yield "on the same test images; above 0 is better"
    yield f"p: {'; '.join(sorted({test.test for _, test in tests}))}"
    yield "Holm's correction, separately for fusions and for other heads on one backbone"
