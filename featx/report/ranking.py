"""A ranking as one table for each kind of split, with notes on how candidates were measured and tested."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from math import isfinite
from typing import TYPE_CHECKING

from featx.measures import MEASURE_TITLES
from featx.report.drawings import Forest, Span
from featx.report.measures import explain_result, show_interval, show_p
from featx.report.section import Section

if TYPE_CHECKING:
    from featx.compare import RankedCandidate
    from featx.measures import Comparison
    from featx.tables import Duplicates

_SURE = 0.05
"""Holm-corrected p below which a difference is said to be no chance."""
_MOST_DOMAINS = 6
"""Most domains that have a column each; of more of them, only the worst is shown."""


def ranking_sections(
    ranking: "Iterable[RankedCandidate]", *, duplicates: "Mapping[str, Duplicates] | None" = None
) -> list[Section]:
    """One section for each kind of split.

    `duplicates` has the near-duplicates in the first split of each kind, under the key of that split.
    """
    return [
        _kind_section(splits, list(kind), duplicates or {})
        for splits, kind in groupby(ranking, key=lambda ranked: ranked.splits)
    ]


def _kind_section(splits: str, ranking: "Sequence[RankedCandidate]", duplicates: "Mapping[str, Duplicates]") -> Section:
    notes = [*_measurement_notes(ranking), *_test_notes(ranking), *_duplicates_notes(ranking[0], duplicates)]
    return Section(
        title=splits,
        sentence=_sentence(ranking),
        columns=_columns(ranking[0]),
        rows=tuple(_row(ranked) for ranked in ranking),
        figure=_values_figure(ranking),
        notes=tuple(notes),
        wrapped="backbones",
        name=f"ranking-{'-'.join(splits.split())}",
    )


def _measure(ranked: "RankedCandidate") -> str:
    return MEASURE_TITLES[ranked.results[0].measure]


def _sentence(ranking: "Sequence[RankedCandidate]") -> str:
    """What the first candidate by validation reaches on test images, and what is surely better or worse than it."""
    reference = next((ranked for ranked in ranking if ranked.reference), None)
    if reference is None:
        return ""
    known = [ranked.comparison for ranked in ranking if ranked.comparison and ranked.comparison.p_holm is not None]
    sure = [one for one in known if one.p_holm is not None and one.p_holm < _SURE]
    better = sum(one.difference > 0 for one in sure)
    against = (
        f"; beside it, {better} of {len(known)} are better and {len(sure) - better} worse (p < {_SURE} after Holm)"
    )
    reached = f"{_measure(reference)} {reference.values.mean():.3f}{_test_interval(reference)}"
    return f"Best on one backbone, by validation: {reference.name}, {reached}{against if known else ''}."


def _test_interval(ranked: "RankedCandidate") -> str:
    ends = _interval(ranked)
    return f" ({show_interval(ends)})" if ends else ""


def _interval(ranked: "RankedCandidate") -> "tuple[float, float] | None":
    """The interval of the measure on the one split; None on several, of which each has its own."""
    first, *others = ranked.results
    return None if others else getattr(first.metrics, f"{first.measure}_ci")


def _values_figure(ranking: "Sequence[RankedCandidate]") -> Forest:
    """The measure of each candidate on test images."""
    splits = len(ranking[0].results)
    spans = tuple(
        Span.within(ranked.name, float(ranked.values.mean()), _interval(ranked))
        for ranked in ranking
        if isfinite(ranked.values.mean())
    )
    x_title = f"{_measure(ranking[0])} on test images, {f'mean of {splits} splits' if splits > 1 else '95 % interval'}"
    return Forest(f"{ranking[0].splits}: {_measure(ranking[0])}", x_title, spans)


def difference_sections(ranking: "Iterable[RankedCandidate]") -> list[Section]:
    """One section for each kind of split: how far each candidate is from the best single backbone."""
    kinds = [list(kind) for _, kind in groupby(ranking, key=lambda ranked: ranked.splits)]
    return [
        _differences_section([(ranked, ranked.comparison) for ranked in kind if ranked.comparison])
        for kind in kinds
        if any(ranked.comparison for ranked in kind)
    ]


def _differences_section(compared: "Sequence[tuple[RankedCandidate, Comparison]]") -> Section:
    first, comparison = compared[0]
    rows = tuple(
        (ranked.name, f"{one.difference:+.3f}", show_interval(one.interval), show_p(one.p), show_p(one.p_holm))
        for ranked, one in compared
    )
    spans = tuple(
        Span.within(ranked.name, one.difference, one.interval, note=f"p {show_p(one.p_holm)}")
        for ranked, one in compared
    )
    title = f"{first.splits}: differences from {comparison.b}"
    return Section(
        title=title,
        columns=("candidate", f"difference in {_measure(first)}", "95 % interval", "p", "p, Holm"),
        rows=rows,
        figure=Forest(title, f"difference in {_measure(first)}", spans, reference=0.0),
        notes=(f"on the same test images; above 0 is better; test: {comparison.test}",),
        name=f"differences-{'-'.join(first.splits.split())}",
    )


def _columns(ranked: "RankedCandidate") -> tuple[str, ...]:
    domains = tuple(f"in {name}" for name in ranked.domains)
    if len(domains) > _MOST_DOMAINS:
        domains = ("worst domain",)
    return "head", "fusion", "backbones", "test", *domains, "spread", "validation", "against the best single"


def _of_domains(ranked: "RankedCandidate") -> tuple[str, ...]:
    """The measure in each tested domain, or in the worst of many; empty if splits do not test domains."""
    if len(ranked.domains) > _MOST_DOMAINS:
        worst = min(ranked.domains, key=lambda name: ranked.domains[name])
        return (f"{ranked.domains[worst]:.3f} in {worst}",)
    return tuple(f"{value:.3f}" for value in ranked.domains.values())


def _row(ranked: "RankedCandidate") -> tuple[str, ...]:
    values = ranked.values
    result = ranked.results[0]
    if len(values) > 1:
        spread = f"± {values.std(ddof=1):.3f}"
    else:
        spread = show_interval(getattr(result.metrics, f"{result.measure}_ci"))
    return (
        ranked.head,
        ranked.fusion,
        " + ".join(ranked.backbones),
        f"{values.mean():.3f}",
        *_of_domains(ranked),
        spread,
        f"{ranked.validated:.3f}",
        _against_reference(ranked),
    )


def _against_reference(ranked: "RankedCandidate") -> str:
    if ranked.reference:
        return "is the best single"
    if ranked.comparison is None:
        return ""
    text = f"{ranked.comparison.difference:+.3f}, {_show_p(ranked.comparison)}"
    return f"{text} (McNemar {_show_p(ranked.mcnemar)})" if ranked.mcnemar else text


def _show_p(comparison: "Comparison") -> str:
    return "p unknown" if comparison.p_holm is None else f"p {comparison.p_holm:.3f}"


def _measurement_notes(ranking: "Sequence[RankedCandidate]") -> list[str]:
    """How all candidates of one kind of split were measured."""
    results = ranking[0].results
    first = results[0]
    several = len(results) > 1
    spread = "standard deviation over the splits" if several else first.metrics.interval
    which = f", the first of {len(results)} such splits" if several else ""
    domains = "; the mean is over domains of equal weight" if ranking[0].domains else ""
    return [
        f"split: {first.split}{which}; the same images for every head{domains}",
        f"test: {explain_result(first)}; spread: {spread}",
        f"validation: {first.tuned}",
        f"accuracy of always predicting the most frequent class: {_show_majority(ranking[0])}",
    ]


def _show_majority(ranked: "RankedCandidate") -> str:
    """The accuracy of the most frequent class on the first split; on splits by domain, its range over domains."""
    found = [result.metrics.majority_accuracy for result in ranked.results]
    return f"{min(found):.3f} to {max(found):.3f} in the domains" if ranked.domains else f"{found[0]:.3f}"


def _test_notes(ranking: "Sequence[RankedCandidate]") -> list[str]:
    """How candidates were tested against the reference, or why they were not."""
    if not any(ranked.reference for ranked in ranking):
        return ["no test: no head on a single backbone has a result on every split, so there is no reference"]
    tests = sorted({ranked.comparison.test for ranked in ranking if ranked.comparison})
    if tests:
        mcnemar = "; in brackets McNemar's test" if any(ranked.mcnemar for ranked in ranking) else ""
        return [
            f"the best single backbone is chosen by validation; p: {'; '.join(tests)}"
            f"{mcnemar}; Holm's correction, separately for fusions and for other heads on one backbone",
            *_choice_notes(ranking),
        ]
    if len(ranking) > 1:
        return ["no test: the measure is not defined on every split; use more test images"]
    return []


def _choice_notes(ranking: "Sequence[RankedCandidate]") -> list[str]:
    """How much too good the mean of the reference may be, which validation images of all splits chose."""
    means = [ranked.chosen_per_split for ranked in ranking if ranked.chosen_per_split is not None]
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
