"""Renders sections in the terminal: results on standard output, failures on standard error."""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from featx.report.section import Section
from featx.showing import visible

if TYPE_CHECKING:
    from featx.extract import ExtractionSummary

_PIPED_WIDTH = 120
"""Columns of standard output if it is not a terminal."""
_BETWEEN = 3
"""Columns between two columns of a table."""
_NAME_WIDTH = 9
"""Columns for the name of a fact."""


class LineConsole(Console):
    """A console in which every text that is printed is one line, without control characters of its own."""

    def print(self, *texts: Any, **how: Any) -> None:
        """Print the texts, or tables made by this module, whose cells are escaped already."""
        super().print(*(visible(text) if isinstance(text, str) else text for text in texts), **how)


def out() -> LineConsole:
    """Standard output, without colours that featx chooses, so that it can be piped on."""
    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    return LineConsole(highlight=False, soft_wrap=True, markup=False, emoji=False, width=width)


def err() -> LineConsole:
    """Standard error."""
    return LineConsole(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


def print_sections(sections: Iterable[Section], *, to: Console) -> None:
    """Print each section: a table with its notes as a list below it, or else the title, facts and notes as lines."""
    for section in sections:
        if section.columns:
            table, width = _as_table(section)
            _wide_enough(to, width).print(table)
            lines = [f"- {note}" for note in section.notes]
        else:
            facts = [f"{name:{_NAME_WIDTH}} {fact}" for name, fact in section.rows]
            lines = [*filter(None, [section.title]), *facts, *section.notes]
        for line in lines:
            to.print(line)


def _wide_enough(console: Console, width: int) -> Console:
    """The console, or a wider one on the same stream: a terminal wraps long lines, where a table would break words."""
    if width <= console.width:
        return console
    return LineConsole(file=console.file, width=width, highlight=False, soft_wrap=True, markup=False, emoji=False)


def _as_table(section: Section) -> tuple[Table, int]:
    """The section as a table, and the number of terminal columns without which it would break words."""
    table = Table(title=visible(section.title) or None, box=SIMPLE)
    rows = [
        [_cell(text, column, section) for text, column in zip(row, section.columns, strict=True)]
        for row in section.rows
    ]
    widths = []
    for place, column in enumerate(section.columns):
        whole = section.wrapped not in (None, column)
        cells = [visible(column), *(row[place] for row in rows)]
        widths.append(max(_unbroken_width(cell, whole=whole) for cell in cells))
        table.add_column(cells[0], no_wrap=whole, overflow="fold", min_width=widths[-1])
    for row in rows:
        table.add_row(*row)
    return table, sum(widths) + _BETWEEN * len(widths) + 1


def _unbroken_width(cell: str, *, whole: bool) -> int:
    """Terminal columns of the longest line of a cell, or of its longest word if lines may be broken."""
    return max(map(cell_len, cell.splitlines() if whole else cell.split()), default=0)


def _cell(text: str, column: str, section: Section) -> str:
    """The cell; one line for each value of a list in the column that may be broken into lines."""
    return visible(text).replace(", ", "\n") if column == section.wrapped else visible(text)


def print_failures(summary: "ExtractionSummary", *, most: int | None) -> None:
    """Print the first `most` images that failed, or all if it is None, with their reasons on standard error."""
    for name, reason in summary.failures[:most]:
        err().print(f"  failed: {name}: {reason}")
    if most is not None and len(summary.failures) > most:
        err().print(f"  … and {len(summary.failures) - most} more; --json lists all")
