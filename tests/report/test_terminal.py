"""Tables in terminals of any width, and what is shown of a run that goes on."""

import io
import re
from collections import Counter

import pytest
from hypothesis import given, settings, strategies as st
from rich.cells import cell_len

from featx.extract.summary import Progress
from featx.report import progress
from featx.report.section import Section
from featx.report.terminal import LineConsole, print_sections

TABLE = Section(
    title="a title",
    columns=("head", "accuracy", "backbones", "tuned"),
    rows=(("logreg", "0.912", "efficientnet-lite0-of-some-length", "l2=0.1, how=standardise"),),
    notes=("a note",),
    wrapped="tuned",
)


def printed(width: int, section: Section = TABLE) -> str:
    """The section as a console of this width prints it."""
    file = io.StringIO()
    print_sections([section], to=LineConsole(file=file, width=width, soft_wrap=True, markup=False, emoji=False))
    return file.getvalue()


@pytest.mark.parametrize("width", [20, 40, 80, 120])
@pytest.mark.parametrize("wrapped", ["tuned", None])
def test_no_word_of_a_table_is_broken_in_a_terminal_of_any_width(width: int, wrapped: str | None) -> None:
    section = Section(columns=TABLE.columns, rows=TABLE.rows, wrapped=wrapped)
    words = printed(width, section).split()
    assert {"logreg", "0.912", "efficientnet-lite0-of-some-length", "how=standardise"} <= set(words)


def shown_on_a_terminal(section: Section, *, width: int) -> list[str]:
    """The lines of the section on a terminal of this width."""
    file = io.StringIO()
    to = LineConsole(
        file=file, width=width, force_terminal=True, color_system=None, soft_wrap=True, markup=False, emoji=False
    )
    print_sections([section], to=to)
    return re.sub("\x1b\\[[0-9]+m", "", file.getvalue()).splitlines()


WORDS = st.text("aé花😀ש0.9-=,:", min_size=1, max_size=30)
SAID = st.lists(WORDS, max_size=8).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(st.integers(20, 200), st.tuples(SAID, SAID), st.lists(st.tuples(SAID, SAID), min_size=1, max_size=3), SAID, SAID)
def test_a_terminal_of_any_width_breaks_no_word_and_overflows_only_by_one(
    width: int, columns: tuple[str, str], rows: list[tuple[str, str]], note: str, sentence: str
) -> None:
    section = Section(sentence=sentence, columns=columns, rows=tuple(rows), notes=(note,))
    lines = shown_on_a_terminal(section, width=width)
    words = Counter(word for line in lines for word in line.split())
    given_words = [word for text in (note, sentence, *(cell for row in rows for cell in row)) for word in text.split()]
    assert not Counter(given_words) - words
    for line in lines:
        assert cell_len(line.rstrip()) <= width or len(line.split()) <= 2, line


@pytest.mark.parametrize("width", [20, 40])
def test_a_table_that_is_too_wide_becomes_a_block_for_each_row(width: int) -> None:
    columns = ("class", "recall", "of recall 95 %", "empty", "F1")
    rows = tuple((f"class-{number}", f"0.{number:03}", "0.100 – 0.900", "", "0.5") for number in range(500))
    lines = shown_on_a_terminal(Section(title="classes", columns=columns, rows=rows), width=width)
    assert lines[:2] == ["classes", "class: class-0"]
    assert "  recall: 0.499" in lines
    assert not any("empty" in line for line in lines)
    assert max(map(len, lines)) <= width


def test_what_is_piped_stays_one_line_for_each_row_and_note() -> None:
    section = Section(columns=TABLE.columns, rows=TABLE.rows, notes=("word " * 60,), wrapped="head")
    shown = printed(30, section)
    assert "logreg   0.912" in shown
    assert f"- {'word ' * 60}".rstrip() in shown


def test_facts_are_broken_below_each_other() -> None:
    section = Section(title="photos.h5", rows=(("file", "3 kB, and many more words that go on"), ("", "and more")))
    assert shown_on_a_terminal(section, width=40) == [
        "photos.h5",
        "file      3 kB, and many more words that",
        "          go on",
        "          and more",
    ]


def test_a_cell_cannot_begin_a_line_or_colour_one() -> None:
    shown = printed(80, Section(columns=("name",), rows=(("a\nfeatx: all is well\x1b[31m",),), notes=("b\nc",)))
    assert r"a\nfeatx: all is well\x1b[31m" in shown
    assert "\x1b" not in shown
    assert r"- b\nc" in shown


def test_lines_of_a_resumed_run_count_what_was_finished_before(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    with progress.extraction_progress(quiet=False) as report:
        report(Progress(1200, 2624, 0, "bound by infer", 1198))
    assert "1200 of 2624 images" in capsys.readouterr().err
    with progress.extraction_progress(quiet=False) as report:
        report(Progress(1200, 2624, 0, "bound by infer", 1198))
    assert ", 1198 finished before" in capsys.readouterr().err


@pytest.mark.parametrize("description", ["bound by infer", "bound by read, 12 failed, 1198 finished before, and more"])
def test_a_bar_leaves_room_for_what_an_interrupt_prints_behind_it(description: str) -> None:
    bar = progress._bar()
    bar.add_task(description, total=100)
    file = io.StringIO()
    LineConsole(file=file, width=40, force_terminal=True, color_system=None).print(bar.get_renderable())
    lines = file.getvalue().splitlines()
    assert lines
    assert max(map(len, lines)) <= 38
