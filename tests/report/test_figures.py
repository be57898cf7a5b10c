"""Figures of learning curves: what is in them, that equal curves give equal bytes, and which files they replace."""

import math
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from featx.errors import ReportError
from featx.report.curves import curve_figure
from featx.report.drawings import Bars, Cloud, Dot, Figure, Forest, Line, Lines, Matrix, Point, Span
from featx.report.plots import reserve_figure, save_figure
from featx.transfer import CurvePoint, LabelsNeeded, LearningCurve

pytest.importorskip("matplotlib", reason="figures need matplotlib: pip install 'featx[report]'")
ENDINGS = (".svg", ".pdf", ".png")


def write_curve(curve: LearningCurve, into: Path, *, overwrite: bool = False) -> None:
    """Draw these curves into the file."""
    save_figure(curve_figure(curve), into, overwrite=overwrite)


def make_curve(*names: str, outputs: int = 1) -> LearningCurve:
    """Curves of sources of these names."""
    rows = [
        CurvePoint(name, f"out{output}", "logreg", shots, "accuracy", value, (value - 0.05, value + 0.05), 100, 5)
        for place, name in enumerate(names)
        for output in range(outputs)
        for shots, value in ((1, 0.5), (4, 0.6 + place / 50), (16, 0.7 + place / 50))
    ]
    needed = LabelsNeeded(names[0], "out0", "logreg", 0.65, 8, (2, None), 16)
    return LearningCurve(tuple(rows), (needed,), (), (), ())


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_same_curve_gives_the_same_bytes(ending: str, tmp_path: Path) -> None:
    curve = make_curve("lite0", "pixels")
    one, two = tmp_path / f"one{ending}", tmp_path / f"two{ending}"
    write_curve(curve, one)
    write_curve(curve, two)
    assert one.read_bytes() == two.read_bytes()
    assert len(one.read_bytes()) > 1000


def test_a_style_of_the_user_changes_nothing_and_stays(tmp_path: Path) -> None:
    import matplotlib as mpl

    write_curve(make_curve("lite0"), tmp_path / "one.svg")
    with mpl.rc_context({"axes.facecolor": "red", "font.size": 30}):
        write_curve(make_curve("lite0"), tmp_path / "two.svg")
        assert mpl.rcParams["font.size"] == 30
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert mpl.rcParams["svg.hashsalt"] != "featx"
    assert "matplotlib.pyplot" not in sys.modules


def test_every_line_has_its_own_look_and_its_name(tmp_path: Path) -> None:
    import matplotlib as mpl

    from featx.report.axes import draw

    names = [f"source{number}" for number in range(12)]
    figure = draw([curve_figure(make_curve(*names))])
    (axes,) = figure.axes
    lines = [line for line in axes.get_lines() if np.size(line.get_xdata()) == 3]
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines}
    assert len(looks) == len(lines) == 12
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == names[::-1]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "4", "16"]
    assert mpl.rcParams["svg.hashsalt"] != "featx"


def test_names_of_strangers_are_texts_and_not_formulas(tmp_path: Path) -> None:
    names = ("_hidden", "$\\frac{", "red\x1b[31m", "花")
    write_curve(make_curve(*names), tmp_path / "names.svg")
    comments = re.findall(r"<!-- (.*?) -->", (tmp_path / "names.svg").read_text(encoding="utf-8"))
    assert {"_hidden", "$\\frac{", r"red\x1b[31m", "花"} <= set(comments)


HOSTILE = ("_hidden", "$\\frac{", "red\x1b[31m", "花", "<script>x</script>", "a" * 90)


def every_kind(names: tuple[str, ...]) -> list[Figure]:
    """A figure of every kind with these names, of which the last value has no interval, and one is not a number."""
    spans = (*(Span(name, 0.5, 0.4, 0.7) for name in names), Span("bare", 0.1), Span("nan", math.nan, None, None))
    counts = tuple(tuple(range(len(names))) for _ in names)
    points = (Point(0.1, 0.2, 0.1, 0.3), Point(0.9, 0.8))
    return [
        Forest("$x$", "difference", spans, reference=0.0),
        Bars("$x$", "recall", spans),
        Lines("$x$", "x", "y", tuple(Line(name, points) for name in names), diagonal=True, references=(0.5,)),
        Matrix("$x$", names, counts),
        Cloud("$x$", "x", "y", tuple(Dot(0.1, 0.2, name, (name,)) for name in names), ("class",)),
    ]


@pytest.mark.parametrize("place", range(5))
def test_every_kind_is_drawn_with_its_names_as_texts(place: int, tmp_path: Path) -> None:
    save_figure(every_kind(HOSTILE)[place], tmp_path / "figure.svg")
    comments = re.findall(r"<!-- (.*?) -->", (tmp_path / "figure.svg").read_text(encoding="utf-8"))
    assert {"_hidden", "$\\frac{", r"red\x1b[31m", "花", "&lt;script&gt;x&lt;/script&gt;"} <= set(comments)
    assert f"{'a' * 20}…{'a' * 19}" in comments


def test_several_figures_are_drawn_below_each_other_with_their_titles(tmp_path: Path) -> None:
    figures = every_kind(("cat", "dog"))[:3]
    save_figure(figures, tmp_path / "all.svg")
    assert (tmp_path / "all.svg").read_text(encoding="utf-8").count("<!-- $x$ -->") == len(figures)
    save_figure(figures[0], tmp_path / "one.svg")
    assert "<!-- $x$ -->" not in (tmp_path / "one.svg").read_text(encoding="utf-8")


def test_several_figures_are_pages_of_a_pdf_with_equal_bytes(tmp_path: Path) -> None:
    figures = every_kind(("cat", "dog"))[:2]
    for name in ("one.pdf", "two.pdf"):
        save_figure(figures, tmp_path / name)
    content = (tmp_path / "one.pdf").read_bytes()
    assert len(re.findall(rb"/Type /Page\b", content)) == 2
    assert content == (tmp_path / "two.pdf").read_bytes()
    save_figure(figures, tmp_path / "one.pdf", overwrite=True)


def test_of_thousands_of_values_the_first_are_drawn_and_the_figure_says_so(tmp_path: Path) -> None:
    spans = tuple(Span(str(number), number) for number in range(5000))
    save_figure(Forest("title", "accuracy", spans), tmp_path / "many.svg")
    assert "<!-- accuracy (the first 60 of 5,000) -->" in (tmp_path / "many.svg").read_text(encoding="utf-8")


def test_a_matrix_of_many_classes_is_drawn_without_names(tmp_path: Path) -> None:
    names = tuple(f"class-{number}" for number in range(50))
    counts = tuple(tuple(int(row == column) for column in range(50)) for row in range(50))
    save_figure(Matrix("confusion", names, counts), tmp_path / "matrix.svg")
    assert "class-1" not in (tmp_path / "matrix.svg").read_text(encoding="utf-8")


def test_outputs_of_one_backbone_are_told_apart(tmp_path: Path) -> None:
    write_curve(make_curve("lite0", outputs=2), tmp_path / "outputs.svg")
    assert "<!-- lite0:out1 -->" in (tmp_path / "outputs.svg").read_text(encoding="utf-8")


def test_a_png_is_an_image(tmp_path: Path) -> None:
    write_curve(make_curve("lite0"), tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as image:
        assert image.size == (1200, 675)
        assert len(image.convert("L").getcolors() or ()) > 5


@pytest.mark.parametrize("ending", ENDINGS)
def test_only_an_own_figure_is_replaced_and_only_if_asked(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"curve{ending}"
    write_curve(make_curve("lite0"), path)
    with pytest.raises(ReportError, match="already exists; choose another --figure, or replace it with --overwrite"):
        write_curve(make_curve("lite0"), path)
    write_curve(make_curve("lite1"), path, overwrite=True)
    foreign = tmp_path / f"foreign{ending}"
    foreign.write_bytes(path.read_bytes().replace(b"featx", b"other"))
    before = foreign.read_bytes()
    with pytest.raises(ReportError, match=re.escape(foreign.name)):
        write_curve(make_curve("lite0"), foreign, overwrite=True)
    assert foreign.read_bytes() == before


def test_other_endings_and_empty_curves_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"end it in \.svg, \.pdf or \.png"):
        reserve_figure(tmp_path / "curve.jpg")
    with pytest.raises(ReportError, match="there is nothing to draw"):
        write_curve(replace(make_curve("lite0"), rows=()), tmp_path / "curve.svg")
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_the_step_to_install_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ReportError, match=r"needs matplotlib; pip install 'featx\[report\]'"):
        write_curve(make_curve("lite0"), tmp_path / "curve.svg")
