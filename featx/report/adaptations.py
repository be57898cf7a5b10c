"""What adapting to a target is worth: the gap between the domains, and a table of methods with verdicts."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from featx.report.drawings import Forest, Span
from featx.report.measures import show_number, show_p, show_verdicts, with_interval
from featx.report.section import Section

if TYPE_CHECKING:
    from featx.transfer import Adaptation, AdaptationRow

_COLUMNS = ("method", "labels of the target", "on the target", "in its own domain", "difference", "p", "verdict")
_AGAINST_TARGET = ("against its own labels", "p of that", "verdict on that")


def adaptation_sections(adaptation: "Adaptation") -> "list[Section]":
    """One row for each method; with shots, also how it compares with the few labels alone."""
    few = any(row.versus_target for row in adaptation.rows)
    columns = (*_COLUMNS, *(_AGAINST_TARGET if few else ()))
    rows = tuple((*_row(row), *(_versus(row) if few else ())) for row in adaptation.rows)
    title = f"adaptation, {adaptation.measure.replace('_', ' ')}"
    return [
        Section(
            title=title,
            sentence=_sentence(adaptation),
            columns=columns,
            rows=rows,
            figure=_figure(adaptation),
            notes=tuple(_notes(adaptation)),
            name="adaptation",
        )
    ]


def _sentence(adaptation: "Adaptation") -> str:
    """The gap, and what the kept head is worth; without one, how many methods help and harm."""
    gap = f"The gap is {adaptation.gap.verdict}"
    for row in adaptation.rows:
        if row.chosen and row.stands_for == "none":
            return f"{gap}; the head is kept as it is."
        if row.chosen and row.difference is not None and row.verdict:
            return f"{gap}; {row.stands_for} {row.verdict}: {with_interval(f'{row.difference:+.3f}', row.ci)}."
    return f"{gap}. {show_verdicts(row.verdict for row in adaptation.rows if row.verdict)}".rstrip()


def _figure(adaptation: "Adaptation") -> Forest:
    """The difference of each method from the head as it is; one above 0 helps."""
    spans = tuple(
        Span.within(_name(row), row.difference, row.ci, note=row.verdict or "")
        for row in adaptation.rows
        if row.difference is not None and row.verdict
    )
    measure = adaptation.measure.replace("_", " ")
    x_title = f"difference in {measure} on the target from the head as it is"
    return Forest(f"adaptation, {measure}", x_title, spans, reference=0.0)


def _row(row: "AdaptationRow") -> tuple[str, ...]:
    measured = with_interval(show_number(row.accuracy), row.accuracy_ci)
    return (_name(row), str(row.target_labels), measured, show_number(row.source_accuracy), *_against_none(row))


def _name(row: "AdaptationRow") -> str:
    """The method, with what it stands for, and whether its head is kept."""
    stands_for = "" if row.stands_for == row.method else f" ({row.stands_for})"
    return f"{row.method}{stands_for}{', kept' if row.chosen else ''}"


def _against_none(row: "AdaptationRow") -> tuple[str, str, str]:
    if row.difference is None:
        return ("–", "–", "–")
    return (with_interval(f"{row.difference:+.3f}", row.ci), show_p(row.p_holm), row.verdict or "–")


def _versus(row: "AdaptationRow") -> tuple[str, str, str]:
    found = row.versus_target
    if found is None:
        return ("–", "–", "–")
    return (with_interval(f"{found.difference:+.3f}", found.ci), show_p(found.p_holm), found.verdict)


def _notes(adaptation: "Adaptation") -> Iterator[str]:
    """What is said of all rows; balanced accuracies, tests and missing p-values once each."""
    balanced = [
        f"{row.method} {row.balanced_accuracy:.3f}" for row in adaptation.rows if row.balanced_accuracy is not None
    ]
    if balanced and adaptation.measure != "balanced_accuracy":
        yield f"balanced accuracy on the target: {', '.join(balanced)}"
    yield from adaptation.notes
    tests = dict.fromkeys(row.test for row in adaptation.rows if row.test)
    if tests:
        yield f"tests: {'; '.join(tests)}"
    for row in adaptation.rows:
        if row.why:
            yield f"{row.method}: {row.why}"
