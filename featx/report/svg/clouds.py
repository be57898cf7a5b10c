"""Maps of images: a dot for each, coloured and shaped by one of several categories."""

import math
from collections import Counter
from collections.abc import Sequence
from xml.etree.ElementTree import Element

from featx.report.drawings import Cloud, Dot
from featx.report.markup import build
from featx.report.svg.axes import Axis, make_axis
from featx.report.svg.marks import COLOURS, SHAPES, WIDTH, fill, frame, legend, titled, x_axis, y_axis

DOTS_SHOWN = 1000
"""Most dots in a drawing; more are thinned at even distances in their order."""
STYLES = 12
"""Categories with a colour and shape of their own; the others share one."""
_TOP, _BOTTOM, _LEFT, _RIGHT = 30, 440, 46, WIDTH - 12


def draw_cloud(figure: Cloud, prefix: str) -> Element:
    """The dots in the first colouring, with a legend for each; a script can show another one.

    `prefix` begins the names of shapes, which must differ between the drawings of a page.
    """
    dots = dots_shown(figure)
    across = make_axis([dot.x for dot in dots], start=_LEFT + 6, end=_RIGHT - 6)
    up = make_axis([dot.y for dot in dots], start=_BOTTOM, end=_TOP)
    styles = [_number_categories(figure, place) for place in range(len(figure.colourings))]
    shapes = [
        build("path", d=f"M0 0{path}", id=f"{prefix}{number}", transform="scale(.8)")
        for number, path in enumerate(SHAPES)
    ]
    legends, height = _draw_legends(figure, styles, prefix)
    return frame(
        figure.title,
        _describe(figure),
        _BOTTOM + 48 + height,
        build("defs", *shapes),
        *x_axis(across, _TOP, _BOTTOM, figure.x_title),
        *y_axis(up, _LEFT, _RIGHT, figure.y_title),
        build("g", *_draw_dots(dots, styles, across, up, prefix=prefix), fill_opacity="0.8"),
        *legends,
    )


def dots_shown(figure: Cloud) -> list[Dot]:
    """The dots that have a place, or a thousand of them at even distances in their order."""
    dots = [dot for dot in figure.dots if math.isfinite(dot.x) and math.isfinite(dot.y)]
    if len(dots) <= DOTS_SHOWN:
        return dots
    return [dots[place * len(dots) // DOTS_SHOWN] for place in range(DOTS_SHOWN)]


def _number_categories(figure: Cloud, place: int) -> dict[str, int]:
    """The style of each category of a colouring: the most frequent have one of their own, by their names."""
    counts = Counter(dot.categories[place] for dot in figure.dots)
    own = sorted(name for name, _ in counts.most_common(STYLES))
    return dict.fromkeys(counts, STYLES) | {name: number for number, name in enumerate(own)}


def _draw_dots(
    dots: Sequence[Dot], styles: Sequence[dict[str, int]], across: Axis, up: Axis, *, prefix: str
) -> list[Element]:
    """A group of dots for each style of the first colouring, which gives them their colour."""
    groups = dict[int, list[Element]]()
    for dot in dots:
        own = [of[category] for of, category in zip(styles, dot.categories, strict=True)] or [0]
        mark = titled(
            "use",
            " · ".join([dot.name, *dot.categories]),
            href=f"#{prefix}{own[0] % len(SHAPES)}",
            x=f"{across.place(dot.x):g}",
            y=f"{up.place(dot.y):g}",
            data_of=" ".join(map(str, own)) if len(own) > 1 else None,
        )
        groups.setdefault(own[0], []).append(mark)
    return [build("g", *groups[style], **_colour(style)) for style in sorted(groups)]


def _colour(style: int) -> dict[str, str]:
    return fill(style % len(COLOURS)) if style < STYLES else {"class_": "others", "fill": "#6b7078"}


def _draw_legends(figure: Cloud, styles: Sequence[dict[str, int]], prefix: str) -> tuple[list[Element], float]:
    drawn = list[Element]()
    heights = [0.0]
    for place, (title, of) in enumerate(zip(figure.colourings, styles, strict=True)):
        own = sorted((style, name) for name, style in of.items() if style < STYLES)
        others = len(of) - len(own)
        entries = [(_sample(style, prefix), name) for style, name in own]
        rest = [(_sample(STYLES, prefix), f"{others} more")] if others else []
        hidden = None if place == 0 else "none"
        element, height = legend([*entries, *rest], _BOTTOM + 48, data_colouring=title, display=hidden)
        drawn.append(element)
        heights.append(height)
    return drawn, max(heights)


def _sample(style: int, prefix: str) -> Element:
    return build("use", href=f"#{prefix}{style % len(SHAPES)}", x="14", y="0", **_colour(style))


def _describe(figure: Cloud) -> str:
    by = f", coloured by {' or '.join(figure.colourings)}" if figure.colourings else ""
    return f"{len(figure.dots)} points, {figure.y_title} against {figure.x_title}{by}."
