"""Renders sections in the terminal: results on standard output, failures on standard error."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

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
    """Print each section: its answer, a table with its notes as a list below it, or else title, facts and notes.

    On a terminal, lines are broken between words only, and a table that is too wide becomes a block for each row.
    """
    for section in sections:
        if section.sentence:
            _print_lines([_Line(section.sentence)], to=to)
        if section.columns:
            _print_table(section, to=to)
            lines = [_Line(note, "- ") for note in section.plain_notes]
        else:
            facts = [_Line(fact, f"{name:{_NAME_WIDTH}} ") for name, fact in section.rows]
            titles = [_Line(title) for title in [section.title] if title]
            lines = [*titles, *facts, *map(_Line, section.plain_notes)]
        _print_lines(lines, to=to)


@dataclass(frozen=True)
class _Line:
    """A text that is one line, where there is room for it."""

    text: str
    beginning: str = ""
    further: int = 0
    """Columns by which further lines are indented more than the text."""

    def broken(self, width: int) -> Iterator[str]:
        """The text as lines of this width, broken between words, each below the text of the first."""
        beginning = visible(self.beginning)
        shown = visible(self.text)
        if cell_len(beginning + shown) <= width:
            yield beginning + shown
            return
        indent = min(cell_len(beginning) + self.further, width // 3)
        for number, line in enumerate(_wrap(shown, width=width, first=cell_len(beginning), indent=indent)):
            yield " " * indent + line if number else beginning + line


def _print_lines(lines: Iterable[_Line], *, to: Console) -> None:
    """Print each as one line; on a terminal, as many as it needs."""
    if to.is_terminal:
        broken = "\n".join(part for line in lines for part in line.broken(to.width))
        if broken:
            to.print(Text(broken), soft_wrap=True)
    else:
        for line in lines:
            to.print(line.beginning + line.text)


def _wrap(text: str, *, width: int, first: int, indent: int) -> Iterator[str]:
    """Lines that fit beside what begins the first one and beside the indent of the others; a longer word stands alone.

    Spaces at the start of the text stay.
    """
    line = text[: len(text) - len(text.lstrip(" "))]
    taken = first
    empty = True
    for word in text.split():
        if not empty and taken + cell_len(f"{line} {word}") > width:
            yield line
            line, taken, empty = "", indent, True
        line = f"{line}{word}" if empty else f"{line} {word}"
        empty = False
    yield line


def _print_table(section: Section, *, to: Console) -> None:
    """Print the table; on a terminal that is too narrow for its words, a block of lines for each row."""
    cells = [[_cell(text, section, place) for place, text in enumerate(row)] for row in section.rows]
    headings = list(map(visible, section.columns))
    columns = list(zip(headings, *cells, strict=True))
    whole = [section.wrapped not in (None, column) for column in section.columns]
    least = [
        max(_unbroken_width(cell, whole=one) for cell in column) for column, one in zip(columns, whole, strict=True)
    ]
    most = [max(_unbroken_width(cell, whole=True) for cell in column) for column in columns]
    around = _BETWEEN * len(columns) + 1
    if to.is_terminal and sum(least) + around > to.width:
        return _print_blocks(section, to=to)
    console = _wide_enough(to, sum(least) + around)
    table = Table(title=visible(section.title) or None, box=SIMPLE)
    for heading, width, one in zip(headings, _fit(least, most, room=console.width - around), whole, strict=True):
        table.add_column(heading, width=width, no_wrap=one, overflow="fold")
    for row in cells:
        table.add_row(*row)
    return console.print(table)


def _fit(least: Sequence[int], most: Sequence[int], *, room: int) -> list[int]:
    """Widths between the least and the most, whose sum is at most `room`: the widest column gives way first."""
    widths = list(most)
    while sum(widths) > max(room, sum(least)):
        widest = max(range(len(widths)), key=lambda place: (widths[place] > least[place], widths[place]))
        widths[widest] -= 1
    return widths


def _wide_enough(console: Console, width: int) -> Console:
    """The console, or a wider one on the same stream, which is a file or another program."""
    if width <= console.width:
        return console
    return LineConsole(file=console.file, width=width, highlight=False, soft_wrap=True, markup=False, emoji=False)


def _print_blocks(section: Section, *, to: Console) -> None:
    """Print the first cell of each row, and below it the others with their headings."""
    cells = (
        _Line(f"{column}: {cell}" if column else cell, "  " if number else "", further=2)
        for row in section.rows
        for number, (column, cell) in enumerate(zip(section.columns, row, strict=True))
        if cell.strip()
    )
    _print_lines([_Line(section.title), *cells, _Line("")], to=to)


def _unbroken_width(cell: str, *, whole: bool) -> int:
    """Terminal columns of the longest line of a cell, or of its longest word if lines may be broken."""
    return max(map(cell_len, cell.splitlines() if whole else cell.split()), default=0)


def _cell(text: str, section: Section, place: int) -> str:
    """The cell; one line for each value of a list in the column that may be broken into lines."""
    return visible(text).replace(", ", "\n") if section.columns[place] == section.wrapped else visible(text)


def print_failures(summary: "ExtractionSummary", *, most: int | None) -> None:
    """Print the first `most` images that failed, or all if it is None, with their reasons on standard error."""
    for name, reason in summary.failures[:most]:
        err().print(f"  failed: {name}: {reason}")
    if most is not None and len(summary.failures) > most:
        err().print(f"  … and {len(summary.failures) - most} more; --json lists all")
