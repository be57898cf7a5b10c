"""Every kind of figure as SVG."""

from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree.ElementTree import Element, tostring

from featx.report.drawings import Bars, Cloud, Figure, Forest, Lines, Matrix
from featx.report.svg.clouds import DOTS_SHOWN, dots_shown, draw_cloud
from featx.report.svg.curves import LINES_SHOWN, draw_lines
from featx.report.svg.marks import frame, text
from featx.report.svg.matrices import NAMES_SHOWN, draw_matrix
from featx.report.svg.spans import SPANS_DRAWN, SPANS_SHOWN, draw_spans


@dataclass(frozen=True)
class Drawing:
    """A figure as SVG."""

    first: Element
    further: tuple[Element, ...]
    """The rest of a figure that is too long for one drawing."""
    notes: tuple[str, ...]
    """What the first drawing leaves out of the figure."""


def draw_svg(figure: Figure) -> str:
    """The figure as an SVG document, 520 pixels wide, which also stands in HTML as it is.

    It has a title, a description, and a title on each mark; all texts are escaped. Of a long figure it shows the first
    part, and the description says so.

    >>> from featx.report.drawings import Forest, Span
    >>> from featx.report.svg import draw_svg
    >>> svg = draw_svg(Forest("Heads", "accuracy", (Span("<knn>", 0.91, 0.88, 0.94),)))
    >>> svg.startswith("<svg"), "&lt;knn&gt;: 0.910 [0.880, 0.940]" in svg
    (True, True)
    """
    return tostring(draw(figure).first, encoding="unicode")


def draw(figure: Figure, *, tags: Mapping[str, int] | None = None, prefix: str = "shape-") -> Drawing:
    """The drawings of a figure, and what they leave out.

    `tags` has the numbers of tags of pictures that cells of a matrix show, and `prefix` begins the names of shapes.
    """
    first, *further = _draw(figure, tags or {}, prefix)
    notes = tuple(_notes(figure))
    if notes:
        first[1].text = " ".join([first[1].text or "", *(f"{note}." for note in notes)])
    return Drawing(first, tuple(further), notes)


def _draw(figure: Figure, tags: Mapping[str, int], prefix: str) -> list[Element]:
    match figure:
        case Forest(spans=()) | Bars(spans=()) | Lines(lines=()) | Matrix(names=()) | Cloud(dots=()):
            return [frame(figure.title, "There is nothing to draw.", 40, text("nothing to draw", 0, 24, soft=True))]
        case Forest() | Bars():
            return draw_spans(figure)
        case Lines():
            return [draw_lines(figure)]
        case Matrix():
            return [draw_matrix(figure, tags)]
        case Cloud():
            return [draw_cloud(figure, prefix)]


def _notes(figure: Figure) -> list[str]:
    match figure:
        case Forest() | Bars() if len(figure.spans) > SPANS_SHOWN:
            return [_spans_left_out(len(figure.spans))]
        case Lines() if len(figure.lines) > LINES_SHOWN:
            return [f"Drawn: the first {LINES_SHOWN} of {len(figure.lines):,} lines"]
        case Matrix() if len(figure.names) > NAMES_SHOWN:
            return [f"Drawn: the {NAMES_SHOWN} of {len(figure.names):,} names with the most confusions"]
        case Cloud():
            return _dots_left_out(figure)
        case _:
            return []


def _spans_left_out(count: int) -> str:
    beyond = f"; further drawings go on to {SPANS_DRAWN}" if count > SPANS_DRAWN else ""
    return f"Drawn here: the first {SPANS_SHOWN} of {count:,}{beyond}, and the table has all"


def _dots_left_out(figure: Cloud) -> list[str]:
    drawn, every = len(dots_shown(figure)), len(figure.dots)
    if drawn == every:
        return []
    if drawn < DOTS_SHOWN:
        return [f"Not drawn: {every - drawn:,} of {every:,} points, which have no finite place"]
    return [f"Drawn: {drawn:,} of {every:,} points, at even distances in their order"]
