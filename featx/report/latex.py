"""Renders sections as LaTeX: a table with the rules of booktabs, its caption and label; no name becomes a command."""

import re
from collections.abc import Iterator, Sequence

from featx.report.section import Section
from featx.showing import visible

MARK = "% written by featx"
"""First line of a file of such tables."""
_LONGEST_TABLE = 40
"""Rows of a table that fits on a page; longer ones may be broken between pages."""
_COMMANDS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\char34{}",
    "`": r"\textasciigrave{}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "±": r"\ensuremath{\pm}",
    "×": r"\ensuremath{\times}",
    "≤": r"\ensuremath{\leq}",
    "≥": r"\ensuremath{\geq}",
    "−": r"\ensuremath{-}",
    "–": r"\textendash{}",
    "…": r"\textellipsis{}",
}
"""Character -> what shows it: those that are commands, or that old fonts lack."""
_SPECIAL = re.compile(f"[{re.escape(''.join(_COMMANDS))}]")
_JOINED = re.compile("([-,'])(?=\\1)")
"""What LaTeX joins with the same character behind it: two hyphens would become a dash."""
_NUMBER = re.compile(r"[-+±−–<>=\s]*[\d.,]+.*|")
"""A cell that begins with a number, or is empty."""


def render_latex(section: Section) -> str:
    r"""The section as a LaTeX table with caption and label, and its notes below; it needs the package booktabs.

    Tables of more than 40 rows need the package longtable too. Letters of other scripts need LuaLaTeX or XeLaTeX, and
    a font that has them.

    >>> from featx.report import Section, render_latex
    >>> section = Section(title="recall", columns=("class", "recall"), rows=(("a_b", "0.9"),), name="recall")
    >>> print(render_latex(section), end="")
    \begin{table}
    \centering
    \caption{recall}
    \label{tab:recall}
    \begin{tabular}{lr}
    \toprule
    class & recall \\
    \midrule
    a\_b & 0.9 \\
    \bottomrule
    \end{tabular}
    \end{table}
    """
    if not section.rows:
        lines = [*_paragraphs(section)]
    elif len(section.rows) > _LONGEST_TABLE:
        lines = [*_long_table(section), *_paragraphs(section)]
    else:
        lines = [*_short_table(section)]
    return "\n".join(lines) + "\n"


def escape_latex(text: str) -> str:
    """The text on one line, in which LaTeX finds no command and joins no characters; a minus is as long as a plus."""
    signed = re.sub(r"(?<![\w.-])-(?=\d)", "−", visible(text))
    return _SPECIAL.sub(lambda found: _COMMANDS[found[0]], _JOINED.sub("\\1\0", signed)).replace("\0", "{}")


def _paragraphs(section: Section) -> Iterator[str]:
    """What is said beside the table, each as a paragraph of its own."""
    without_table = () if section.rows else (section.title, section.sentence)
    for text in filter(None, (*without_table, *section.plain_notes)):
        yield f"\\par {escape_latex(text.strip())}"


def _short_table(section: Section) -> Iterator[str]:
    yield r"\begin{table}"
    yield r"\centering"
    yield from _caption(section)
    yield f"\\begin{{tabular}}{{{_alignment(section)}}}"
    yield r"\toprule"
    yield from _heading(section)
    yield from map(_row, section.rows)
    yield r"\bottomrule"
    yield r"\end{tabular}"
    if section.plain_notes:
        yield r"\par\smallskip\footnotesize"
        yield from _paragraphs(section)
    yield r"\end{table}"


def _long_table(section: Section) -> Iterator[str]:
    yield f"\\begin{{longtable}}{{{_alignment(section)}}}"
    yield " ".join(_caption(section)) + r" \\"
    yield r"\toprule"
    yield from _heading(section)
    yield r"\endhead"
    yield r"\bottomrule"
    yield r"\endfoot"
    yield from map(_row, section.rows)
    yield r"\end{longtable}"


def _caption(section: Section) -> Iterator[str]:
    """Title and answer of the section, and the label by which a text refers to it."""
    said = [escape_latex(text) for text in (section.title, section.sentence) if text] or [escape_latex(section.name)]
    yield f"\\caption{{{'. '.join(said)}}}"
    yield f"\\label{{tab:{label_of(section)}}}"


def label_of(section: Section) -> str:
    """Small letters and digits with hyphens between them, from the name of the section or else its title."""
    return "-".join(re.findall("[a-z0-9]+", (section.name or section.title).lower())) or "featx"


def _heading(section: Section) -> Iterator[str]:
    if section.columns:
        yield _row(section.columns)
        yield r"\midrule"


def _row(cells: Sequence[str]) -> str:
    return " & ".join(map(escape_latex, cells)) + r" \\"


def _alignment(section: Section) -> str:
    """A letter for each column: numbers end at the right."""
    if not section.columns:
        return r"lp{.7\linewidth}"
    columns = zip(*section.rows, strict=True)
    return "".join("r" if all(map(_NUMBER.fullmatch, cells)) and any(cells) else "l" for cells in columns)
