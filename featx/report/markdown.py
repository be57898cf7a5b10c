"""Renders sections as Markdown."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from featx.report.results import results_sections
from featx.report.section import Section

if TYPE_CHECKING:
    from featx.heads import Result


def render_results(results: "Sequence[Result]") -> str:
    """A Markdown table of the results, with a list of how they were measured below it."""
    return "\n".join(map(render_markdown, results_sections(results)))


def render_markdown(section: Section) -> str:
    """The section as Markdown: a heading, a table or a list of facts, and a list of notes."""
    parts = [
        [f"## {section.title}"] if section.title else [],
        list(_table_lines(section)),
        [f"- {note.strip()}" for note in section.notes],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _table_lines(section: Section) -> Iterator[str]:
    if section.columns:
        yield _table_line(section.columns)
        yield _table_line(("---",) * len(section.columns))
        for row in section.rows:
            yield _table_line(row)
    else:
        for name, fact in section.rows:
            yield f"- {name}: {fact}" if name else f"- {fact}"


def _table_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
