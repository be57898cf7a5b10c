"""Renders sections as Markdown; no text in them is taken for a mark, a tag or a link."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from featx.report.results import results_sections
from featx.report.section import Section
from featx.showing import visible

if TYPE_CHECKING:
    from featx.heads import Result

_INLINE = re.compile(
    r"""
    [\\`*\[\]|~$]  # code, emphasis, links, cells, strikethrough and formulas
    |(?<![^\W_])_|_(?![^\W_])  # emphasis, unless within a word
    |:(?=//)|(?<=www)\.  # addresses that become links by themselves
    |(?<=\{)[{%]  # variables and commands of pages that GitHub builds
    """,
    re.VERBOSE | re.IGNORECASE,
)
_AT_START = re.compile(r"^(\d*)([#>+-]|(?<=\d)[.)])")
"""What would begin a heading, a quotation or a list."""


def render_results(results: "Sequence[Result]") -> str:
    """A Markdown table of the results, with a list of how they were measured below it."""
    return render_markdown(results_sections(results)[0])


def render_markdown(section: Section) -> str:
    r"""The section as Markdown: a heading, the answer, a table or a list of facts, and a list of notes.

    >>> from featx.report import Section, render_markdown
    >>> rows = (("<b>cat</b>", "0.9"), ("a|b", "0.8"))
    >>> print(render_markdown(Section(title="recall", columns=("class", "recall"), rows=rows)), end="")
    ## recall
    <BLANKLINE>
    | class | recall |
    | --- | --- |
    | &lt;b>cat&lt;/b> | 0.9 |
    | a\|b | 0.8 |
    """
    parts = [
        [f"## {_escape(section.title)}"] if section.title else [],
        [_escape_line(section.sentence)] if section.sentence else [],
        list(_table_lines(section)),
        [f"- {_escape_line(note)}" for note in section.plain_notes],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _table_lines(section: Section) -> Iterator[str]:
    if section.columns:
        yield _table_line(map(_escape, section.columns))
        yield _table_line(["---"] * len(section.columns))
        for row in section.rows:
            yield _table_line(map(_escape, row))
    else:
        for name, fact in section.rows:
            yield f"- {_escape_line(f'{name}: {fact}' if name else fact)}"


def _table_line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escape(text: str) -> str:
    """The text with everything escaped that acts anywhere in a line."""
    shown = visible(text)
    plain = re.sub(r"&(?=#?\w+;)", "&amp;", shown)
    plain = re.sub("<(?! )", "&lt;", plain)
    marked = _INLINE.sub(lambda found: f"\\{found[0]}", plain)
    return re.sub(r"@(?=\w)", "@<!-- -->", marked)  # GitHub would tell the person of this name


def _escape_line(text: str) -> str:
    """The text with everything escaped that acts in a line or at its beginning."""
    return _AT_START.sub(lambda found: f"{found[1]}\\{found[2]}", _escape(text.lstrip()))
