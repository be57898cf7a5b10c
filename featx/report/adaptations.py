"""What adapting to a target is worth: the gap between the domains, and a table of methods with verdicts."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from featx.report.measures import show_number, show_p, with_interval
from featx.report.section import Section

if TYPE_CHECKING:
    from featx.transfer import Adaptation, AdaptationRow

_COLUMNS = ("method", "labels of the target", "on the target", "in its own domain", "difference", "p", "verdict")
_AGAINST_TARGET = ("against its own labels", "p", "verdict")


def adaptation_sections(adaptation: "Adaptation") -> "list[Section]":
    """One row for each method; with shots, also how it compares with the few labels alone."""
    few = any(row.versus_target for row in adaptation.rows)
    columns = (*_COLUMNS, *(_AGAINST_TARGET if few else ()))
    rows = tuple((*_row(row), *(_versus(row) if few else ())) for row in adaptation.rows)
    title = f"adaptation, {adaptation.measure.replace('_', ' ')}"
    return [Section(title=title, columns=columns, rows=rows, notes=tuple(_notes(adaptation)))]


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
