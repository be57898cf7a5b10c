"""Figures as SVG: marks lie where their numbers are, what is left out is said, and odd numbers are no error."""

import math
from xml.etree.ElementTree import Element, fromstring

import pytest
from hypothesis import given, settings, strategies as st

from featx.report.drawings import Bars, Cloud, Dot, Figure, Forest, Line, Lines, Matrix, Point, Span
from featx.report.svg import draw, draw_svg
from featx.report.svg.axes import find_decimals, make_axis, make_logarithmic_axis, show_number
from featx.report.svg.matrices import most_confused
from featx.report.svg.texts import fit, measure
from tests.support.pages import CLASSES, HOSTILE, figures

SVG = "{http://www.w3.org/2000/svg}"
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


def read(figure: Figure) -> Element:
    return fromstring(draw_svg(figure))


def marks(drawn: Element) -> list[Element]:
    return [one for one in drawn.iter() if "mark" in one.get("class", "").split()]


def said(drawn: Element) -> list[str]:
    return [one[0].text or "" for one in marks(drawn)]


@pytest.mark.parametrize("kind", figures())
def test_every_mark_says_its_values(kind: str) -> None:
    found = said(read(figures()[kind]))
    assert len(found) == {"forest": 3, "lines": 9, "bars": 3, "matrix": 6, "cloud": 12}[kind]
    assert all(any(name in one for name in CLASSES) for one in found)


def test_bars_are_as_long_as_their_values() -> None:
    bars = Bars("x", "count", (Span("a", 1), Span("b", 2), Span("c", -1), Span("d", 4)))
    rows = [one for mark in marks(read(bars)) for one in mark.iter(f"{SVG}rect") if one.get("class")]
    a, b, c, d = (float(one.get("width", "")) for one in rows)
    assert [b / a, c / a, d / a] == pytest.approx([2, 1, 4], rel=0.01)
    assert float(rows[2].get("x", "")) + c == pytest.approx(float(rows[0].get("x", "")), abs=0.2)


def test_a_mark_is_hollow_only_if_its_interval_has_the_reference_in_it() -> None:
    spans = (Span("in", 0.1, -0.1, 0.3), Span("out", 0.2, 0.1, 0.3), Span("without", 0.0))
    hollow = [
        any("hollow" in one.get("class", "") for one in mark) for mark in marks(read(Forest("x", "x", spans, 0.0)))
    ]
    assert hollow == [True, False, False]


def test_equal_ratios_are_equal_distances_on_a_logarithmic_axis() -> None:
    axis = make_logarithmic_axis([1, 2, 4, 8, 16], start=0, end=400)
    assert [axis.place(one) for one in (1, 2, 4, 8, 16)] == [0, 100, 200, 300, 400]
    assert not make_logarithmic_axis([0, 1, 2], start=0, end=400).logarithmic


@given(st.lists(st.floats(-1e9, 1e9), min_size=1), st.integers(2, 8))
@settings(max_examples=50, deadline=None)
def test_axes_hold_their_values_and_have_ticks_between_their_ends(values: list[float], ticks: int) -> None:
    axis = make_axis(values, start=10, end=110, ticks=ticks)
    assert axis.low <= min(values)
    assert axis.high >= max(values)
    assert 1 <= len(axis.ticks) <= 2 * ticks + 1
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)
    assert 10 <= axis.place(min(values)) <= axis.place(max(values)) <= 110


def test_ticks_are_written_with_equal_decimals() -> None:
    assert [text for _, text in make_axis([0, 1], start=0, end=1, ticks=4).shown()] == [
        "0.00",
        "0.25",
        "0.50",
        "0.75",
        "1.00",
    ]


def test_numbers_have_the_decimals_that_fit_their_figure_and_missing_ones_are_named() -> None:
    assert [show_number(one) for one in (0.5, 1.0, 0.0, -1e-9, math.nan, None)] == [
        "0.500",
        "1.000",
        "0.000",
        "0.000",
        "n/a",
        "n/a",
    ]
    assert (show_number(12345.0, decimals=0), show_number(1.2345e-5, decimals=None)) == ("12,345", "1.234e-05")
    assert [find_decimals(values) for values in ([1, 3.0, None], [0.5, 1e-9, math.nan], [1e-4, 0])] == [0, 3, None]


@given(st.lists(st.tuples(st.text(), NUMBERS, st.none() | NUMBERS), max_size=4))
@settings(max_examples=40, deadline=None)
def test_no_number_and_no_name_is_an_error_and_all_are_said(values: list[tuple[str, float, float | None]]) -> None:
    spans = tuple(Span(name, value, end, end, name) for name, value, end in values)
    points = tuple(Point(value, 1 if end is None else end, end, end) for _, value, end in values)
    dots = tuple(Dot(value, 1 if end is None else end, name, (name,)) for name, value, end in values)
    for figure in (Forest("t", "x", spans, 0.5), Bars("t", "x", spans)):
        assert len(marks(read(figure))) == len(values)
    for logarithmic in (True, False):
        assert read(Lines("t", "x", "y", (Line("a", points),), logarithmic, diagonal=True)).get("role") == "img"
    drawn = draw(Cloud("t", "x", "y", dots, ("class",)))
    left_out = sum(not (math.isfinite(dot.x) and math.isfinite(dot.y)) for dot in dots)
    assert bool(drawn.notes) == bool(left_out)


@pytest.mark.parametrize(
    "figure", [Forest("t", "x", ()), Lines("t", "x", "y", ()), Matrix("t", (), ()), Cloud("t", "", "", (), ())]
)
def test_a_figure_of_nothing_says_so(figure: Figure) -> None:
    assert "nothing to draw" in draw_svg(figure)


def test_lines_beyond_the_twelfth_and_dots_beyond_a_thousand_are_counted() -> None:
    lines = tuple(Line(f"line {place}", (Point(0, place),)) for place in range(20))
    assert draw(Lines("t", "x", "y", lines)).notes == ("Drawn: the first 12 of 20 lines",)
    dots = tuple(Dot(place, place, str(place), ("a",)) for place in range(2500))
    drawn = draw(Cloud("t", "x", "y", dots, ("class",)))
    assert drawn.notes == ("Drawn: 1,000 of 2,500 points, at even distances in their order",)
    assert len(marks(drawn.first)) == 1000


def test_of_many_categories_the_frequent_have_their_own_style_and_no_two_the_same() -> None:
    dots = tuple(Dot(place, 0, "", (f"c{min(place, 90 + place % 20):03}",)) for place in range(500))
    drawn = read(Cloud("t", "x", "y", dots, ("class",)))
    (legend,) = [one for one in drawn.iter() if one.get("class") == "legend"]
    styles = [(one.get("class"), one.get("href")) for one in legend.iter(f"{SVG}use")]
    assert len(set(styles)) == len(styles) == 13
    assert "98 more" in [one.text for one in legend.iter(f"{SVG}text")]


def test_the_most_confused_of_many_classes_are_those_with_the_most_mistakes_in_their_order() -> None:
    counts = [[3 if row == column else 0 for column in range(40)] for row in range(40)]
    for row in range(5, 35):
        counts[row][row - 1 if row % 2 == 0 else row + 1 if row < 34 else 5] += 1
    assert most_confused(Matrix("t", tuple(map(str, range(40))), tuple(map(tuple, counts)))) == list(range(5, 35))


@given(st.text() | st.sampled_from(HOSTILE), st.floats(30, 300))
@settings(max_examples=50, deadline=None)
def test_a_fitted_text_keeps_its_ends_and_is_not_wider(text: str, width: float) -> None:
    shown = fit(text, width)
    assert "…" not in shown or measure(shown.replace("…", "")) < measure(text)
    assert len(shown) <= 3 or measure(shown) <= max(width, 4 * 13) * 2
