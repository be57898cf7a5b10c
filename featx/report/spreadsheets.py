"""Renders sections as one CSV table, which spreadsheets open and programs read; no cell is taken for a formula."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import count

from featx.report.section import Section
from featx.showing import visible

MARK = "featx section"
"""Heading of the first column."""
_FACTS = ("fact", "value")
"""Columns of a section that is a list of facts."""
_FORMULA = re.compile("[=+@\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH COMMERCIAL AT}-]")
"""First characters by which spreadsheets know a formula."""
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?(e[-+]?\d+)?", re.IGNORECASE)


def render_csv(sections: Sequence[Section]) -> str:
    r"""The tables of all sections as one CSV table (RFC 4180), whose first column is the title or name of the section.

    It has a column for every heading, so cells of headings that a section lacks are empty. A text that a spreadsheet
    would take for a formula begins with an apostrophe. Sentences and notes are left out.

    >>> from featx.report import Section, render_csv
    >>> section = Section(title="recall", columns=("class", "recall"), rows=(("=1+1", "0.9"), ("cat, dog", "-0.1")))
    >>> print(render_csv([section]).replace("\r\n", "\n"), end="")
    featx section,class,recall
    recall,'=1+1,0.9
    recall,"cat, dog",-0.1
    """
    tables = [(section, _headings(section)) for section in sections if section.rows]
    columns = list(dict.fromkeys(name for _, headings in tables for name in headings))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([MARK, *map(_defuse, columns)])
    for section, headings in tables:
        for row in section.rows:
            cells = dict(zip(headings, row, strict=True))
            writer.writerow(map(_defuse, [section.title or section.name, *(cells.get(name, "") for name in columns)]))
    return text.getvalue()


def _headings(section: Section) -> list[str]:
    """The columns of the section, of which no two have the same name: `p` and `p 2`."""
    return list(_numbered(section.columns or _FACTS))


def _numbered(names: Sequence[str]) -> Iterator[str]:
    taken = set[str]()
    for name in names:
        tries = (name if number == 1 else f"{name} {number}" for number in count(1))
        taken.add(free := next(one for one in tries if one not in taken))
        yield free


def _defuse(text: str) -> str:
    """The text on one line; with an apostrophe in front if a spreadsheet would compute it."""
    shown = visible(text)
    computed = _FORMULA.match(shown.lstrip()) and not _NUMBER.fullmatch(shown)
    return f"'{shown}" if computed else shown
