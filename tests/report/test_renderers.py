"""Names of strangers in Markdown, LaTeX and CSV: they are read back as they are, and nothing acts on them."""

import csv
import io
import re
from itertools import pairwise

import pytest
from hypothesis import example, given, settings, strategies as st
from markdown_it import MarkdownIt

from featx.report import Picture, Section, render_csv, render_latex, render_markdown
from featx.report.latex import escape_latex
from featx.showing import visible

HOSTILE = (
    "<script>alert(1)</script>",
    "&lt;b&gt; &#60;i>",
    r"\input{/etc/passwd}",
    r"\\[1cm] \end{tabular}\write18{rm}",
    "^^41 $x$ ~ # % & _ { }",
    "[link](javascript:alert(1)) ![x](http://a.b/c.png) <http://a.b>",
    "https://example.com www.example.com @somebody",
    "*bold* _it_ __b__ ~~gone~~ `code` snake_case_name",
    "a|b \\| \\",
    "# heading",
    "1. list",
    "- item",
    "> quotation",
    "{{ site.secret }} {% include x %}",
    "=cmd|' /C calc'!A0",
    "@SUM(1)",
    "+1+1",
    '-"quotes", and\ncommas',
    "\x1b[31mred\r\nfeatx: all is well",
    "\u202eright to left\u202c שלום",
    "花 😀 e\u0301",
    "--- ,, '' ``",
)
READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
texts = st.one_of(
    st.sampled_from(HOSTILE), st.text(max_size=30), st.text("\\{}[]$&#_%^~*`<>|@=+-.:!'\" ab1\n", max_size=20)
)
ROWS = st.lists(st.tuples(texts, texts), min_size=1, max_size=3)


def plain(text: str) -> str:
    """What a reader should see."""
    return visible(text).strip()


def tokens_of(markdown: str) -> list[tuple[str, str]]:
    """Kind and content of everything that a reader of Markdown makes of a text, within lines and outside."""
    found = []
    for token in READER.parse(markdown):
        found.append((token.type, "" if token.children else token.content))
        found += [(child.type, child.content) for child in token.children or ()]
    return found


def cells_of(markdown: str) -> list[str]:
    """The texts of the cells of its tables."""
    cells: list[str] = []
    for before, token in pairwise(READER.parse(markdown)):
        if before.type in ("td_open", "th_open"):
            cells.append("".join(child.content for child in token.children or () if child.type != "html_inline"))
    return cells


@settings(max_examples=25, deadline=None)
@given(rows=ROWS, note=texts)
@example(rows=[(text, text) for text in HOSTILE], note="")
def test_markdown_shows_every_cell_as_it_is(rows: list[tuple[str, str]], note: str) -> None:
    text = render_markdown(Section(title=note, columns=("a|b", "*c*"), rows=tuple(rows), notes=(note,)))
    assert cells_of(text) == ["a|b", "*c*", *(plain(cell) for row in rows for cell in row)]
    kinds = {kind for kind, content in tokens_of(text) if content != "<!-- -->"}
    assert not kinds & {"html_inline", "html_block", "link_open", "image", "code_inline", "fence", "code_block"}
    assert not kinds & {"em_open", "strong_open", "s_open", "ordered_list_open", "blockquote_open", "hr"}


@settings(max_examples=5, deadline=None)
@given(said=texts)
@pytest.mark.parametrize("note", HOSTILE)
def test_a_note_is_one_item_of_a_list_and_nothing_else(note: str, said: str) -> None:
    kinds = [kind for kind, _ in tokens_of(render_markdown(Section(sentence="x", notes=(note, f"x {said}"))))]
    assert kinds.count("bullet_list_open") == 1
    assert kinds.count("list_item_open") == 2
    assert not {"heading_open", "ordered_list_open", "blockquote_open"} & set(kinds)


def test_addresses_names_of_people_and_commands_of_sites_do_not_act() -> None:
    text = render_markdown(Section(notes=("https://a.b www.a.b @somebody {{ x }} {% y %}",)))
    assert not re.search(r"https?://|www\.|@\w|\{\{|\{%", text)


COMMAND = re.compile(
    r"\\(?:(?P<name>textbackslash|textasciicircum|textasciitilde|textless|textgreater|textbar|char34|textasciigrave"
    r"|textendash|textellipsis)\{\}|ensuremath\{(?P<sign>\\pm|\\times|\\leq|\\geq|-)\}|(?P<escaped>[{}$&#_%]))"
    r"|\{(?P<grouped>[][*])\}|(?P<empty>\{\})|(?P<other>[^\\{}$&#_%^~\[\]*<>|\"`])"
)
"""Everything that may stand in an escaped text."""
SHOWN = {
    "textbackslash": "\\", "textasciicircum": "^", "textasciitilde": "~", "textless": "<", "textgreater": ">",
    "textbar": "|", "char34": '"', "textasciigrave": "`", "textendash": "–", "textellipsis": "…",
    "\\pm": "±", "\\times": "×", "\\leq": "≤", "\\geq": "≥", "-": "-",
}  # fmt: skip


def read_latex(text: str) -> str:
    """What LaTeX shows of an escaped text, in which nothing else may stand."""
    place = 0
    shown = ""
    while place < len(text):
        found = COMMAND.match(text, place)
        assert found, text[place:]
        named = found["name"] or found["sign"]
        shown += SHOWN[named] if named else found["escaped"] or found["grouped"] or found["other"] or ""
        place = found.end()
    return shown


@settings(max_examples=200, deadline=None)
@given(text=texts)
@example(text="".join(HOSTILE))
def test_latex_has_no_command_of_a_name_and_joins_no_characters(text: str) -> None:
    escaped = escape_latex(text)
    assert read_latex(escaped).replace("−", "-") == visible(text).replace("−", "-")
    assert not re.search("--|,,|''", escaped)
    assert "\n" not in escaped


@settings(max_examples=40, deadline=None)
@given(rows=ROWS, title=texts)
def test_a_table_in_latex_has_its_rows_and_columns_and_one_caption_and_label(
    rows: list[tuple[str, str]], title: str
) -> None:
    text = render_latex(Section(title=title, columns=("one", "two"), rows=tuple(rows), notes=(title,)))
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")].splitlines()[1:]
    assert [read_row(line) for line in body] == [[visible(cell) for cell in row] for row in rows]
    assert text.count(r"\caption{") == text.count(r"\label{tab:") == text.count(r"\begin{tabular}") == 1
    assert re.search(r"\\label\{tab:[a-z0-9-]+\}", text)


def read_row(line: str) -> list[str]:
    """The cells of a line of a table; a row never begins in a way that the row before it would take for an option."""
    assert line.endswith(r" \\")
    assert not line.startswith(("[", "*"))
    cells = re.split(r"(?<!\\) & ", line.removesuffix(r" \\"))
    return [read_latex(cell).replace("−", "-") if "−" not in cell else read_latex(cell) for cell in cells]


def test_a_long_table_may_be_broken_between_pages_and_numbers_end_at_the_right() -> None:
    rows = tuple((f"class {number}", f"{number / 500:.3f}", "–") for number in range(500))
    text = render_latex(Section(title="recall", columns=("class", "recall", "AUROC"), rows=rows))
    assert r"\begin{longtable}{lrl}" in text
    assert text.count(r"\\") == 500 + 2
    assert r"\begin{table}" not in text


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, title=texts)
@example(rows=[(text, text) for text in HOSTILE], title="=1")
def test_csv_is_read_back_and_no_cell_is_a_formula(rows: list[tuple[str, str]], title: str) -> None:
    sections = [Section(title=title, columns=("p", "p"), rows=tuple(rows)), Section(rows=(("fact", "it"),))]
    header, *lines = csv.reader(io.StringIO(render_csv(sections)), strict=True)
    assert header == ["featx section", "p", "p 2", "fact", "value"]
    assert all(len(line) == len(header) for line in lines)
    for line, row in zip(lines, rows, strict=False):
        assert [cell.removeprefix("'") for cell in line[1:3]] == [visible(cell).removeprefix("'") for cell in row]
    for cell in (cell.strip() for line in lines for cell in line):
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")) or re.fullmatch(
            r"[+-]\d+(\.\d+)?(e[+-]?\d+)?", cell
        )


def test_columns_of_csv_never_share_a_name() -> None:
    section = Section(title="t", columns=("p", "p", "p 2"), rows=(("1", "2", "3"),))
    header, line = csv.reader(io.StringIO(render_csv([section])))
    assert len(set(header)) == 4
    assert line == ["t", "1", "2", "3"]


def test_pictures_that_a_form_cannot_show_are_counted() -> None:
    section = Section(title="wrong", pictures=(Picture("a.png", "cat", None), Picture("b.png", "dog", b"x")))
    assert "pictures: 2, which only an HTML page shows" in render_markdown(section)
    assert "pictures: 2, which only an HTML page shows" in render_latex(section)
