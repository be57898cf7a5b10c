"""What transfer is worth: a table of sources with verdicts, and one of the classes and groups that are harmed."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from featx.report.drawings import Forest, Span
from featx.report.measures import show_number, show_p, show_verdicts, with_interval
from featx.report.section import Section

if TYPE_CHECKING:
    from featx.transfer import Gain, PartGain, SourceGain

_COLUMNS = ("source", "head", "shots", "with it", "best baseline", "without", "difference", "p", "verdict")
_ACROSS = ("in its own domain", "E", "E'")
_HARMED = ("source", "head", "shots", "harmed", "images", "difference", "p")


def gain_sections(gain: "Gain") -> list[Section]:
    """One row for each source and number of shots; then the harmed classes and groups, if there are any."""
    across = any(row.source_accuracy is not None for row in gain.rows)
    columns = (*_COLUMNS, *(_ACROSS if across else ()))
    rows = tuple((*_row(row), *(_losses(row) if across else ())) for row in gain.rows)
    title = f"gain in {gain.measure.replace('_', ' ')}"
    sections = [
        Section(
            title=title,
            sentence=show_verdicts(row.verdict for row in gain.rows),
            columns=columns,
            rows=rows,
            figure=_figure(gain),
            notes=tuple(_notes(gain)),
            name="gain",
        )
    ]
    harmed = tuple(_harmed(row, part, what) for row in gain.rows for what, part in _parts(row))
    if harmed:
        note = "share of right images with the source minus that of the baseline; p: Holm's correction within a row"
        title = "classes and groups that are harmed"
        sections.append(Section(title=title, columns=_HARMED, rows=harmed, notes=(note,), name="harmed"))
    return sections


def _figure(gain: "Gain") -> Forest:
    """The difference of each row from the best baseline; one above 0 helps."""
    heads = {row.head for row in gain.rows}
    spans = tuple(
        Span.within(
            f"{_source(row)}, {f'{row.head}, ' if len(heads) > 1 else ''}shots {_shots(row)}",
            row.difference,
            row.ci,
            note=row.verdict,
        )
        for row in gain.rows
    )
    measure = gain.measure.replace("_", " ")
    return Forest(f"gain in {measure}", f"difference in {measure} from the best baseline", spans, reference=0.0)


def _row(row: "SourceGain") -> tuple[str, ...]:
    baseline = f"{row.baseline_head} on {row.baseline}" if row.baseline_head else row.baseline
    return (
        _source(row),
        row.head,
        _shots(row),
        with_interval(f"{row.accuracy:.3f}", row.accuracy_ci),
        baseline,
        f"{row.baseline_accuracy:.3f}",
        with_interval(f"{row.difference:+.3f}", row.ci),
        show_p(row.p_holm),
        row.verdict,
    )


def _losses(row: "SourceGain") -> tuple[str, ...]:
    return tuple(map(show_number, (row.source_accuracy, row.source_log_loss, row.target_log_loss)))


def _parts(row: "SourceGain") -> "Iterator[tuple[str, PartGain]]":
    """The harmed classes and groups."""
    yield from (("class", part) for part in row.per_class if part.verdict == "harms")
    yield from (("group", part) for part in row.per_group if part.verdict == "harms")


def _harmed(row: "SourceGain", part: "PartGain", what: str) -> tuple[str, ...]:
    return (
        _source(row),
        row.head,
        _shots(row),
        f"{what} {part.name}",
        str(part.n),
        with_interval(f"{part.difference:+.3f}", part.ci),
        show_p(part.p_holm),
    )


def _source(row: "SourceGain") -> str:
    return f"{row.backbone}:{row.output}"


def _shots(row: "SourceGain") -> str:
    return "all" if row.shots is None else str(row.shots)


def _notes(gain: "Gain") -> Iterator[str]:
    """What is said of all rows; tests and missing p-values once each."""
    yield from gain.notes
    yield f"tests: {'; '.join(dict.fromkeys(row.test for row in gain.rows))}"
    yield from dict.fromkeys(row.why for row in gain.rows if row.why)
