"""The files for papers and spreadsheets: which are written, and which are replaced."""

import csv
from pathlib import Path
from typing import Any

import pytest

from featx.errors import ReportError
from featx.report import Section, reserve_documents, write_tables
from featx.report.drawings import Forest, Span
from featx.showing import Overview, Shown
from tests.report.test_sections import make_gain

SECTIONS = [
    Section(
        title="gain",
        sentence="It helps.",
        columns=("source", "gain"),
        rows=(("lite0", "+0.1"),),
        figure=Forest("gain", "difference", (Span("lite0", 0.1, 0.05, 0.15),), reference=0.0),
        notes=("a note",),
    ),
    Section(title="harm", rows=(("dogs", "-0.2"),)),
]
TEXTS = {"markdown": "report.md", "latex": "report.tex", "csv": "report.csv"}


def write(folder: Path, *names: str, overwrite: bool = False) -> dict[str, Path]:
    """Write these forms into the folder."""
    paths = {name: folder / TEXTS[name] for name in names}
    with reserve_documents(**paths, overwrite=overwrite) as save:
        save(SECTIONS)
    return paths


def test_every_section_is_in_every_file(tmp_path: Path) -> None:
    paths = write(tmp_path, *TEXTS)
    markdown = paths["markdown"].read_text(encoding="utf-8")
    assert markdown.startswith("<!-- written by featx -->\n\n## gain\n\nIt helps.\n\n| source | gain |")
    assert "## harm\n\n- dogs: -0.2" in markdown
    latex = paths["latex"].read_text(encoding="utf-8")
    assert latex.count(r"\begin{table}") == latex.count(r"\end{table}") == 2
    assert r"\caption{gain. It helps.}" in latex
    with paths["csv"].open(encoding="utf-8", newline="") as file:
        assert [row["featx section"] for row in csv.DictReader(file)] == ["gain", "harm"]
    assert paths["csv"].read_bytes().count(b"\r\n") == 3


def test_the_figure_is_drawn_beside_the_texts(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="figures need matplotlib: pip install 'featx[report]'")
    with reserve_documents(figure=tmp_path / "gain.svg") as save:
        save(SECTIONS)
    assert "<!-- lite0 -->" in (tmp_path / "gain.svg").read_text(encoding="utf-8")


def test_sections_without_a_figure_that_is_asked_for_are_an_error(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="figures need matplotlib: pip install 'featx[report]'")
    with (
        pytest.raises(ReportError, match="there is nothing to draw"),
        reserve_documents(figure=tmp_path / "gain.svg") as save,
    ):
        save(SECTIONS[1:])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", TEXTS)
def test_only_an_own_file_is_replaced_and_only_if_asked(name: str, tmp_path: Path) -> None:
    (path,) = write(tmp_path, name).values()
    with pytest.raises(ReportError, match="already exists; choose another"):
        write(tmp_path, name)
    write(tmp_path, name, overwrite=True)
    path.write_text("my own notes", encoding="utf-8")
    with pytest.raises(ReportError, match="already exists and is not"):
        write(tmp_path, name, overwrite=True)
    assert path.read_text(encoding="utf-8") == "my own notes"


@pytest.mark.parametrize("name", TEXTS)
def test_a_file_of_another_kind_is_not_written(name: str, tmp_path: Path) -> None:
    paths: dict[str, Any] = {name: tmp_path / "photos.h5"}
    with (
        pytest.raises(ReportError, match=f"would be .* of featx, but files that end in .*; end --{name} in"),
        reserve_documents(**paths),
    ):
        pass


def test_a_result_is_written_from_python_and_what_has_no_tables_is_named(tmp_path: Path) -> None:
    write_tables(make_gain(), csv=tmp_path / "gain.csv", markdown=str(tmp_path / "gain.md"))
    assert "verdict" in (tmp_path / "gain.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    with pytest.raises(ReportError, match=r"gain\.csv: already exists"):
        write_tables(make_gain(), csv=tmp_path / "gain.csv")
    with pytest.raises(ReportError, match="a Nothing has no tables"):
        write_tables(Nothing(), csv=tmp_path / "nothing.csv")
    assert not (tmp_path / "nothing.csv").exists()


class Nothing(Shown):
    """An object of which a report says nothing."""

    def overview(self) -> Overview:
        """A title."""
        return Overview("Nothing")


@pytest.mark.parametrize(
    ("option", "name"), [("latex", "t.csv"), ("csv", "t.tex"), ("markdown", "t.html"), ("csv", "t.md")]
)
def test_a_file_with_the_ending_of_another_form_is_refused(option: str, name: str, tmp_path: Path) -> None:
    paths: dict[str, Any] = {option: tmp_path / name}
    with pytest.raises(ReportError, match=rf"end --{option} in \."), reserve_documents(**paths):
        pass
    assert not list(tmp_path.iterdir())
