"""Forest plots and bars: a row for each value, with its name at the left and its numbers at the right."""

import math
from collections.abc import Sequence
from xml.etree.ElementTree import Element

from featx.report.drawings import Bars, Forest, Span
from featx.report.markup import build
from featx.report.svg.axes import Axis, make_axis, show_number
from featx.report.svg.marks import WIDTH, axis_line, fill, frame, shape, stroke, text, titled, x_axis
from featx.report.svg.texts import fit, measure

SPANS_SHOWN = 50
"""Values in one drawing; the next ones are in further drawings on the same axis."""
_ROW = 24
_NAME_WIDTH = 180
_SMALL = 12
_TICK = 50
"""Pixels between two ticks, about."""
_TOP = 8


def draw_spans(figure: Forest | Bars) -> list[Element]:
    """One drawing for every 50 values, all on one axis."""
    names = min(_NAME_WIDTH, max((measure(span.name) for span in figure.spans), default=0))
    numbers = max((measure(_numbers(span), size=_SMALL) for span in figure.spans), default=0)
    zero = [0.0] if isinstance(figure, Bars) else [figure.reference]
    ends = [end for span in figure.spans for end in (span.value, span.low, span.high)]
    left, right = names + 16, WIDTH - numbers - 18
    axis = make_axis([*ends, *zero], start=left, end=right, ticks=max(2, int((right - left) / _TICK)))
    parts = [figure.spans[first : first + SPANS_SHOWN] for first in range(0, len(figure.spans), SPANS_SHOWN)] or [()]
    return [_draw_part(figure, part, axis, number * SPANS_SHOWN) for number, part in enumerate(parts)]


def _draw_part(figure: Forest | Bars, spans: Sequence[Span], axis: Axis, before: int) -> Element:
    bottom = _TOP + max(1, len(spans)) * _ROW
    rows = [_draw_row(figure, span, axis, _TOP + (line + 0.5) * _ROW) for line, span in enumerate(spans)]
    several = len(figure.spans) > SPANS_SHOWN
    title = f"{figure.title}, {before + 1} to {before + len(spans)}" if several else figure.title
    at = 0.0 if isinstance(figure, Bars) else figure.reference
    across = [] if at is None else [axis_line(axis.place(at), _TOP, axis.place(at), bottom, stroke_dasharray="5 3")]
    grid = x_axis(axis, _TOP, bottom, figure.x_title)
    return frame(title, _describe(figure, spans), bottom + 44, *grid, *across, *rows)


def _draw_row(figure: Forest | Bars, span: Span, axis: Axis, y: float) -> Element:
    """The row, which is a mark as a whole, so that a pointer anywhere in it finds its values."""
    note = f"; {span.note}" if span.note else ""
    drawn = _draw_bar(span, axis, y) if isinstance(figure, Bars) else _draw_interval(span, axis, y, figure.reference)
    return titled(
        "g",
        f"{span.name}: {_numbers(span)}{note}",
        build(
            "rect",
            x="0",
            y=f"{y - _ROW / 2:g}",
            width=WIDTH,
            height=_ROW,
            fill="none",
            stroke="none",
            pointer_events="all",
        ),
        text(fit(span.name, _NAME_WIDTH), 0, y + 4.5, stroke="none"),
        *drawn,
        text(_numbers(span), WIDTH, y + 4.5, anchor="end", soft=True, font_size=_SMALL, stroke="none"),
    )


def _draw_interval(span: Span, axis: Axis, y: float, reference: float | None) -> list[Element]:
    """The interval and a disc at the value, which is hollow if the interval has the reference in it."""
    parts = _whisker(span, axis, y, 0)
    if not math.isfinite(span.value):
        return parts
    at = shape(0, axis.place(span.value), y)
    undecided = None not in (span.low, span.high, reference) and _within(span, reference)
    own = {**stroke(0), "class_": "s0 hollow", "fill": "#fff"} if undecided else fill(0)
    return [*parts, build("path", d=at, stroke_width="2" if undecided else None, **own)]


def _within(span: Span, reference: float | None) -> bool:
    return reference is not None and (span.low or 0) <= reference <= (span.high or 0)


def _draw_bar(span: Span, axis: Axis, y: float) -> list[Element]:
    if not math.isfinite(span.value):
        return []
    left, right = sorted((axis.place(0), axis.place(span.value)))
    bar = build(
        "rect", x=f"{left:g}", y=f"{y - 7:g}", width=f"{right - left:.1f}", height=14, fill_opacity=0.75, **fill(0)
    )
    return [bar, *_whisker(span, axis, y, 6)]


def _whisker(span: Span, axis: Axis, y: float, colour: int) -> list[Element]:
    if span.low is None or span.high is None or not (math.isfinite(span.low) and math.isfinite(span.high)):
        return []
    left, right = axis.place(span.low), axis.place(span.high)
    path = f"M{left:g} {y:g}H{right:g}M{left:g} {y - 4:g}v8M{right:g} {y - 4:g}v8"
    return [build("path", d=path, stroke_width="1.6", **stroke(colour))]


def _numbers(span: Span) -> str:
    if span.low is None or span.high is None:
        return show_number(span.value)
    return f"{show_number(span.value)} [{show_number(span.low)}, {show_number(span.high)}]"


def _describe(figure: Forest | Bars, spans: Sequence[Span]) -> str:
    finite = [span for span in spans if math.isfinite(span.value)]
    if not finite:
        return f"{figure.x_title}: no values."
    first, last = max(finite, key=lambda span: span.value), min(finite, key=lambda span: span.value)
    ends = f"highest {show_number(first.value)}, {first.name}; lowest {show_number(last.value)}, {last.name}"
    return f"{figure.x_title} of {len(spans)}; {ends}."
