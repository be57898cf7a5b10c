"""Forest plots and bars: a row for each value, with its name at the left and its numbers at the right."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from featx.report.drawings import Bars, Forest, Span
from featx.report.markup import build
from featx.report.svg.axes import Axis, find_decimals, make_axis, show_number
from featx.report.svg.marks import WIDTH, axis_line, fill, frame, shape, stroke, text, titled, x_axis
from featx.report.svg.texts import fit, measure

SPANS_SHOWN = 50
"""Values in one drawing; the next ones are in further drawings."""
SPANS_DRAWN = 500
"""Values in all drawings; those after them are in the table only."""
_ROW = 24
_NAME_WIDTH = 180
_SMALL = 12
_TICK = 50
"""Pixels between two ticks, about."""
_TOP = 8


@dataclass(frozen=True)
class _Part:
    """Values that are drawn together, on an axis of their own."""

    figure: Forest | Bars
    spans: Sequence[Span]
    numbers: Sequence[str]
    """What is written at the right of each."""
    axis: Axis
    reference: float | None
    """Where a line is drawn across all."""


def draw_spans(figure: Forest | Bars) -> list[Element]:
    """One drawing for every 50 values, up to 500 of them."""
    drawn = figure.spans[:SPANS_DRAWN]
    parts = [drawn[first : first + SPANS_SHOWN] for first in range(0, len(drawn), SPANS_SHOWN)] or [()]
    return [_draw_part(_arrange(figure, part), number * SPANS_SHOWN) for number, part in enumerate(parts)]


def span_ends(spans: Sequence[Span]) -> list[float | None]:
    """The values and the ends of their intervals."""
    return [end for span in spans for end in (span.value, span.low, span.high)]


def _arrange(figure: Forest | Bars, spans: Sequence[Span]) -> _Part:
    """Names and numbers take what they need, and the axis is between them."""
    decimals = find_decimals(span_ends(figure.spans))
    numbers = [_show(span, decimals) for span in spans]
    left = 16 + min(_NAME_WIDTH, max((measure(span.name) for span in spans), default=0))
    right = WIDTH - 18 - max((measure(one, size=_SMALL) for one in numbers), default=0)
    reference = 0.0 if isinstance(figure, Bars) else figure.reference
    ticks = max(2, int((right - left) / _TICK))
    axis = make_axis([*span_ends(spans), reference], start=left, end=right, ticks=ticks)
    return _Part(figure, spans, numbers, axis, reference)


def _draw_part(part: _Part, before: int) -> Element:
    bottom = _TOP + max(1, len(part.spans)) * _ROW
    rows = [_draw_row(part, line) for line in range(len(part.spans))]
    several = len(part.figure.spans) > SPANS_SHOWN
    title = f"{part.figure.title}, {before + 1} to {before + len(part.spans)}" if several else part.figure.title
    grid = x_axis(part.axis, _TOP, bottom, part.figure.x_title)
    return frame(title, _describe(part), bottom + 44, *grid, _draw_reference(part, bottom), *rows)


def _draw_reference(part: _Part, bottom: float) -> Element | None:
    if part.reference is None:
        return None
    x = part.axis.place(part.reference)
    return axis_line(x, _TOP, x, bottom, stroke_dasharray="5 3")


def _draw_row(part: _Part, line: int) -> Element:
    """The row, which is a mark as a whole, so that a pointer anywhere in it finds its values."""
    span, shown, y = part.spans[line], part.numbers[line], _TOP + (line + 0.5) * _ROW
    note = f"; {span.note}" if span.note else ""
    drawn = _draw_bar(span, part.axis, y) if isinstance(part.figure, Bars) else _draw_interval(part, span, y)
    return titled(
        "g",
        f"{span.name}: {shown}{note}",
        build("rect", y=f"{y - _ROW / 2:g}", width=WIDTH, height=_ROW, fill_opacity="0"),
        text(fit(span.name, _NAME_WIDTH), 0, y + 4.5),
        *drawn,
        text(shown, WIDTH, y + 4.5, anchor="end", soft=True, font_size=_SMALL),
    )


def _draw_interval(part: _Part, span: Span, y: float) -> list[Element]:
    """The interval and a disc at the value, which is hollow if the interval has the reference in it."""
    whisker = _whisker(span, part.axis, y, 0)
    if not math.isfinite(span.value):
        return whisker
    at = shape(0, part.axis.place(span.value), y)
    own = {**stroke(0), "class_": "s0 hollow", "fill": "#fff"} if _undecided(span, part.reference) else fill(0)
    return [*whisker, build("path", d=at, stroke_width="2", **own)]


def _undecided(span: Span, reference: float | None) -> bool:
    if span.low is None or span.high is None or reference is None:
        return False
    return span.low <= reference <= span.high


def _draw_bar(span: Span, axis: Axis, y: float) -> list[Element]:
    if not math.isfinite(span.value):
        return []
    left, right = sorted((axis.place(0), axis.place(span.value)))
    size = {"x": f"{left:g}", "y": f"{y - 7:g}", "width": f"{right - left:.1f}", "height": "14"}
    return [build("rect", fill_opacity="0.75", **size, **fill(0)), *_whisker(span, axis, y, 6)]


def _whisker(span: Span, axis: Axis, y: float, colour: int) -> list[Element]:
    if span.low is None or span.high is None or not (math.isfinite(span.low) and math.isfinite(span.high)):
        return []
    left, right = axis.place(span.low), axis.place(span.high)
    path = f"M{left:g} {y:g}H{right:g}M{left:g} {y - 4:g}v8M{right:g} {y - 4:g}v8"
    return [build("path", d=path, stroke_width="1.6", **stroke(colour))]


def _show(span: Span, decimals: int | None) -> str:
    value, low, high = (show_number(one, decimals=decimals) for one in (span.value, span.low, span.high))
    return value if span.low is None or span.high is None else f"{value} [{low}, {high}]"


def _describe(part: _Part) -> str:
    finite = [(span, shown) for span, shown in zip(part.spans, part.numbers, strict=True) if math.isfinite(span.value)]
    if not finite:
        return f"{part.figure.x_title}: no values."
    first, last = (choose(finite, key=lambda one: one[0].value) for choose in (max, min))
    ends = f"highest {first[1]}, {first[0].name}; lowest {last[1]}, {last[0].name}"
    hollow = (
        " A hollow mark: its interval has the line in it."
        if any(_undecided(span, part.reference) for span in part.spans)
        else ""
    )
    return f"{part.figure.x_title} of {len(part.spans)}; {ends}.{hollow}"
