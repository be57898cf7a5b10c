"""Lines with bands, such as learning curves and reliability diagrams."""

import math
from collections.abc import Iterator
from xml.etree.ElementTree import Element

from featx.report.drawings import Line, Lines, Point
from featx.report.markup import build
from featx.report.svg.axes import Axis, find_decimals, make_axis, make_logarithmic_axis, show_number
from featx.report.svg.marks import (
    DASHES,
    WIDTH,
    axis_line,
    fill,
    frame,
    joined,
    legend,
    shape,
    stroke,
    titled,
    x_axis,
    y_axis,
)

LINES_SHOWN = 12
"""Lines in a drawing; more could not be told apart."""
_TOP, _BOTTOM, _LEFT, _RIGHT = 30, 320, 52, WIDTH - 12


def draw_lines(figure: Lines) -> Element:
    """The first lines, each with its band, colour, dash and mark, and a legend."""
    shown = figure.lines[:LINES_SHOWN]
    across, up = _axes(figure, shown)
    samples = [(_sample(number), line.name) for number, line in enumerate(shown)]
    names, height = legend(samples, _BOTTOM + 48) if len(shown) > 1 else (None, 0)
    return frame(
        figure.title,
        _describe(figure),
        _BOTTOM + 48 + height,
        *x_axis(across, _TOP, _BOTTOM, figure.x_title),
        *y_axis(up, _LEFT, _RIGHT, figure.y_title),
        *_references(figure, across, up),
        *(_band(line, across, up, number) for number, line in enumerate(shown)),
        *(part for number, line in enumerate(shown) for part in _line(figure, line, across, up, number=number)),
        names,
    )


def _axes(figure: Lines, lines: tuple[Line, ...]) -> tuple[Axis, Axis]:
    points = [point for line in lines for point in line.points]
    unit = [0.0, 1.0] if figure.diagonal else []
    xs = [*unit, *(point.x for point in points)]
    make = make_logarithmic_axis if figure.logarithmic else make_axis
    values = [end for point in points for end in (point.y, point.low, point.high)]
    return (
        make(xs, start=_LEFT + 8, end=_RIGHT - 8),
        make_axis([*unit, *values, *figure.references], start=_BOTTOM, end=_TOP),
    )


def _references(figure: Lines, across: Axis, up: Axis) -> Iterator[Element]:
    if figure.diagonal:
        yield axis_line(across.place(0), up.place(0), across.place(1), up.place(1), stroke_dasharray="5 3")
    for value in figure.references:
        yield axis_line(_LEFT, up.place(value), _RIGHT, up.place(value), stroke_dasharray="5 3")


def _band(line: Line, across: Axis, up: Axis, number: int) -> Element | None:
    ends = [(point.x, point.low, point.high) for point in line.points if _drawn(point)]
    low = [(across.place(x), up.place(end)) for x, end, _ in ends if end is not None and math.isfinite(end)]
    high = [(across.place(x), up.place(end)) for x, _, end in ends if end is not None and math.isfinite(end)]
    if not low or not high:
        return None
    return build("polygon", points=joined([*low, *reversed(high)]), fill_opacity="0.13", **fill(number))


def _line(figure: Lines, line: Line, across: Axis, up: Axis, *, number: int) -> Iterator[Element]:
    points = [(point, across.place(point.x), up.place(point.y)) for point in line.points if _drawn(point)]
    path = joined((x, y) for _, x, y in points)
    dash = DASHES[number % len(DASHES)]
    decimals = decimals_on_x(figure)
    yield build("polyline", points=path, stroke_width="1.8", stroke_dasharray=dash, **stroke(number))
    for point, x, y in points:
        yield titled("path", _say(figure, line, point, decimals=decimals), d=shape(number, x, y), **fill(number))


def _drawn(point: Point) -> bool:
    return math.isfinite(point.x) and math.isfinite(point.y)


def _say(figure: Lines, line: Line, point: Point, *, decimals: int | None) -> str:
    ends = "" if point.low is None else f" [{show_number(point.low)}, {show_number(point.high)}]"
    x = show_number(point.x, decimals=decimals)
    return f"{line.name}: {figure.x_title} {x}, {figure.y_title} {show_number(point.y)}{ends}"


def decimals_on_x(figure: Lines) -> int | None:
    """The decimals that fit all numbers on the x axis."""
    return find_decimals(point.x for line in figure.lines for point in line.points)


def _sample(number: int) -> Element:
    dash = DASHES[number % len(DASHES)]
    path = build("path", d="M0 0H24", stroke_width="1.8", stroke_dasharray=dash, **stroke(number))
    return build("g", path, build("path", d=shape(number, 12, 0), **fill(number)))


def _describe(figure: Lines) -> str:
    ends = [
        f"{line.name}: from {show_number(line.points[0].y)} to {show_number(line.points[-1].y)}"
        for line in figure.lines[:LINES_SHOWN]
        if line.points
    ]
    return f"{figure.y_title} against {figure.x_title}. {'; '.join(ends) or 'No points'}."
