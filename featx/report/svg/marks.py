"""The parts of drawings: the frame, lines, texts, marks, axes and legends, in colours that all people tell apart."""

from collections.abc import Iterable, Sequence
from xml.etree.ElementTree import Element

from featx.report.markup import Part, build
from featx.report.svg.axes import Axis
from featx.report.svg.texts import SIZE, fit, measure

WIDTH = 520
"""Pixels from the left to the right of a drawing, but of a matrix of many names."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "currentColor")
"""Colours that people with any colour vision tell apart (Okabe & Ito 2008), without yellow, which is pale on white."""
SHAPES = (
    "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
    "m-3.6 -3.6h7.2v7.2h-7.2z",
    "m0 -4.8l4.5 8h-9z",
    "m0 -5.2l5.2 5.2l-5.2 5.2l-5.2 -5.2z",
    "m0 4.8l4.5 -8h-9z",
    "m-1.5 -4.8h3v3.3h3.3v3h-3.3v3.3h-3v-3.3h-3.3v-3h3.3z",
)
"""Paths of marks around a point: a disc, a square, a triangle, a diamond, a triangle on its tip, a plus."""
DASHES = (None, "7 3", "2 3", "9 3 2 3")
_SOFT = "#6b7078"
_GRID = "#d5d5d0"
_ENTRY_HEIGHT = 20


def frame(title: str, text: str, height: float, *parts: Part, width: float = WIDTH) -> Element:
    """A drawing with its title and a description, which screen readers read."""
    return build(
        "svg",
        build("title", title),
        build("desc", text),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        font_family="system-ui, sans-serif",
        font_size=SIZE,
        fill="currentColor",
    )


def fill(number: int) -> dict[str, str]:
    """Attributes that fill a mark with a colour; a page may replace it by its own of the same number."""
    place = number % len(COLOURS)
    return {"class_": f"f{place}", "fill": COLOURS[place]}


def stroke(number: int) -> dict[str, str]:
    """Attributes that draw a line in a colour."""
    place = number % len(COLOURS)
    return {"class_": f"s{place}", "stroke": COLOURS[place], "fill": "none"}


def shape(number: int, x: float, y: float) -> str:
    """The path of a mark at a point."""
    return f"M{x:g} {y:g}{SHAPES[number % len(SHAPES)]}"


def text(content: str, x: float, y: float, *, anchor: str | None = None, soft: bool = False, **more: object) -> Element:
    """A text whose first line begins, ends (`end`) or has its centre (`middle`) at a point."""
    own = {"class_": "soft", "fill": _SOFT} if soft else {}
    return build("text", content, x=f"{x:g}", y=f"{y:g}", text_anchor=anchor, **own, **more)


def line(x1: float, y1: float, x2: float, y2: float, **more: object) -> Element:
    """A straight line; without a class of its own, it belongs to the grid."""
    own: dict[str, object] = {"class_": "grid", "stroke": _GRID}
    return build("line", x1=f"{x1:g}", y1=f"{y1:g}", x2=f"{x2:g}", y2=f"{y2:g}", **(own | more))


def axis_line(x1: float, y1: float, x2: float, y2: float, **more: object) -> Element:
    """A line that is seen better than the grid."""
    return line(x1, y1, x2, y2, class_="axis", stroke=_SOFT, **more)


def x_axis(axis: Axis, top: float, bottom: float, title: str) -> list[Element]:
    """Vertical lines of the grid, the numbers below them, and the title below the numbers; 42 pixels high."""
    parts = list[Element]()
    for x, shown in axis.shown():
        parts += [line(x, top, x, bottom), text(shown, x, bottom + 17, anchor="middle", soft=True)]
    shown_title = fit(title, WIDTH - 20)
    half = measure(shown_title) / 2
    middle = min(max((axis.start + axis.end) / 2, half + 4), WIDTH - half - 4)
    return [*parts, text(shown_title, middle, bottom + 36, anchor="middle")]


def y_axis(axis: Axis, left: float, right: float, title: str) -> list[Element]:
    """Horizontal lines of the grid, the numbers left of them, and the title above all."""
    parts = list[Element]()
    for y, shown in axis.shown():
        parts += [line(left, y, right, y), text(shown, left - 7, y + 4.5, anchor="end", soft=True)]
    return [*parts, text(fit(title, WIDTH - 8), 2, 13)]


def legend(entries: Sequence[tuple[Element, str]], top: float, **more: object) -> tuple[Element, float]:
    """Samples with their names, in lines, and the pixels that they take; samples are drawn around (12, 0)."""
    parts = list[Element]()
    x, y = 0.0, top + 12
    for sample, name in entries:
        shown = fit(name, WIDTH - 40)
        width = measure(shown) + 42
        if x > 0 and x + width > WIDTH:
            x, y = 0.0, y + _ENTRY_HEIGHT
        moved = build("g", sample, transform=f"translate({x:g} {y:g})")
        parts += [moved, text(shown, x + 29, y + 4.5)]
        x += width
    return build("g", *parts, **({"class_": "legend"} | more)), y + 10 - top


def titled(tag: str, title: str, *parts: Part, **attributes: object) -> Element:
    """A mark, which says its values when a pointer is over it."""
    given = str(attributes.pop("class_", ""))
    return build(tag, build("title", title), *parts, class_=f"mark {given}".strip(), **attributes)


def joined(points: Iterable[tuple[float, float]]) -> str:
    """Points as the attribute of a line through them."""
    return " ".join(f"{x:g},{y:g}" for x, y in points)
