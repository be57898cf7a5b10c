"""Tables in terminals of any width, and what is shown of a run that goes on."""

import io

import pytest

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
