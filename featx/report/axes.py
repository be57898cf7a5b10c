"""Draws figures with matplotlib, in colours that people with any colour vision tell apart."""

from collections.abc import Iterable, Sequence
from itertools import cycle
from math import nan
from typing import TYPE_CHECKING, Any

from featx.report.drawings import Bars, Cloud, Dot, Figure, Forest, Line, Lines, Matrix, Point, Span
from featx.showing import visible

if TYPE_CHECKING:
    from matplotlib import figure as mpl_figure
    from matplotlib.axes import Axes
    from matplotlib.text import Text

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours that people with any colour vision tell apart (Okabe & Ito 2008), without yellow, which is pale on white."""
_MARKERS = "osD^vPX*"
_DASHES = ("-", "--", "-.", ":")
_WIDTH = 8.0
"""Inches of a figure."""
_HEIGHT = 4.5
"""Inches of lines and clouds."""
_ROOM_FOR_NAMES = 1.0
"""Inches below a matrix."""
_ROWS_PER_INCH = 4.5
"""Names below each other in an inch, in a legend or beside bars."""
_MOST_SPANS = 60
"""Values of one figure; a figure of more would be longer than a page."""
_MOST_NAMED = 40
"""Classes of a matrix that has a name at each row and column."""
_MOST_COUNTED = 20
"""Classes of a matrix that has a number in each cell."""
_LONGEST_NAME = 40
"""Characters of a name; of a longer one, the middle is left out."""
_NAMES: dict[str, Any] = {"parse_math": False, "fontsize": "small"}
"""How names beside an axis are set: a $ in them begins no formula."""
_BESIDE: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "frameon": False, "fontsize": "small"}


def draw(figures: Sequence[Figure], *, titled: bool = False) -> "mpl_figure.Figure":
    """The figures below each other, with their titles; one alone has its own only if it is to be titled."""
    from matplotlib.figure import Figure as Drawn

    heights = list(map(_height, figures))
    drawn = Drawn(figsize=(_WIDTH, sum(heights)), layout="constrained")
    parts = (
        drawn.subfigures(len(figures), 1, squeeze=False, height_ratios=heights).flat if len(figures) > 1 else [drawn]
    )
    for part, figure in zip(parts, figures, strict=True):
        axes = part.add_subplot()
        _draw_on(axes, figure)
        if titled or len(figures) > 1:
            _say(axes.set_title(""), figure.title)
    return drawn


def _height(figure: Figure) -> float:
    match figure:
        case Forest() | Bars():
            return 1.2 + min(len(figure.spans), _MOST_SPANS) / _ROWS_PER_INCH
        case Lines():
            return max(_HEIGHT, len(figure.lines) / _ROWS_PER_INCH)
        case Matrix():
            return _HEIGHT + _ROOM_FOR_NAMES + min(len(figure.names), _MOST_NAMED) / _ROWS_PER_INCH / 2
        case Cloud():
            return max(_HEIGHT, len(_counted(figure.dots)) / _ROWS_PER_INCH)


def _draw_on(axes: "Axes", figure: Figure) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    match figure:
        case Forest():
            _draw_forest(axes, figure)
        case Bars():
            _draw_bars(axes, figure)
        case Lines():
            _draw_curves(axes, figure)
        case Matrix():
            _draw_matrix(axes, figure)
        case Cloud():
            _draw_cloud(axes, figure)


def _say(text: "Text", said: str) -> None:
    """Give the text these words: a $ in them begins no formula."""
    text.set_parse_math(False)
    text.set_text(visible(said))


def _short(name: str) -> str:
    shown = visible(name)
    half = _LONGEST_NAME // 2
    return shown if len(shown) <= _LONGEST_NAME else f"{shown[:half]}…{shown[1 - half :]}"


def _name_spans(axes: "Axes", figure: Forest | Bars) -> None:
    """The names of the values beside the axis, the first one at the top, and what the values are."""
    names = [_short(span.name) for span in figure.spans[:_MOST_SPANS]]
    axes.set_yticks(range(len(names)), names, **_NAMES)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    left_out = f" (the first {len(names)} of {len(figure.spans):,})" if len(figure.spans) > len(names) else ""
    _say(axes.set_xlabel(""), f"{figure.x_title}{left_out}")


def _errors(spans: Sequence[Span | Point], values: Sequence[float]) -> list[list[float]]:
    """How far each interval reaches to the left and to the right; NaN where there is none."""
    both = list(zip(spans, values, strict=True))
    left = [nan if one.low is None else max(value - one.low, 0.0) for one, value in both]
    right = [nan if one.high is None else max(one.high - value, 0.0) for one, value in both]
    return [left, right]


def _draw_forest(axes: "Axes", figure: Forest) -> None:
    spans = figure.spans[:_MOST_SPANS]
    values = [span.value for span in spans]
    axes.errorbar(
        values, range(len(spans)), xerr=_errors(spans, values), fmt="o", color=_COLOURS[0], capsize=3, markersize=5
    )
    if figure.reference is not None:
        axes.axvline(figure.reference, color="0.4", linewidth=0.8, linestyle=(0, (6, 3)))
    _name_spans(axes, figure)


def _draw_bars(axes: "Axes", figure: Bars) -> None:
    spans = figure.spans[:_MOST_SPANS]
    values = [span.value for span in spans]
    errors = _errors(spans, values) if any(span.low is not None for span in spans) else None
    axes.barh(range(len(spans)), values, xerr=errors, height=0.7, color=_COLOURS[5], error_kw={"capsize": 3})
    axes.axvline(0, color="0.4", linewidth=0.8)
    _name_spans(axes, figure)


def _draw_curves(axes: "Axes", figure: Lines) -> None:
    lines = [line for line in figure.lines if line.points]
    _draw_lines(axes, lines)
    for reference in figure.references:
        axes.axhline(reference, color="0.4", linewidth=0.8, linestyle=(0, (6, 3)))
    if figure.diagonal:
        axes.plot([0, 1], [0, 1], color="0.4", linewidth=0.8, linestyle=(0, (6, 3)))
    if figure.logarithmic:
        places = sorted({point.x for line in lines for point in line.points})
        axes.set_xscale("log", base=2)
        axes.set_xticks(places, [f"{one:g}" for one in places])
        axes.minorticks_off()
    _say(axes.set_xlabel(""), figure.x_title)
    _say(axes.set_ylabel(""), figure.y_title)
    axes.grid(color="0.9")


def _draw_lines(axes: "Axes", lines: Sequence[Line]) -> None:
    """Every line with its band; the legend lists them in the order in which they end, from the top."""
    styles = zip(cycle(_COLOURS), cycle(_MARKERS), cycle(_DASHES), strict=False)
    drawn = []
    for line, (colour, marker, dash) in zip(lines, styles, strict=False):
        xs = [point.x for point in line.points]
        ys = [point.y for point in line.points]
        left, right = _errors(line.points, ys)
        low = [y - error for y, error in zip(ys, left, strict=True)]
        high = [y + error for y, error in zip(ys, right, strict=True)]
        axes.fill_between(xs, low, high, color=colour, alpha=0.12, linewidth=0)
        drawn += axes.plot(xs, ys, color=colour, marker=marker, linestyle=dash, markersize=5)
    order = sorted(range(len(lines)), key=lambda place: -lines[place].points[-1].y)
    _add_legend(axes, [drawn[place] for place in order], [lines[place].name for place in order])


def _add_legend(axes: "Axes", drawn: Sequence[Any], names: Iterable[str]) -> None:
    """A legend beside the axes; its texts are set afterwards, for a name that begins with _ would be left out."""
    legend = axes.legend(drawn, list(map(str, range(len(drawn)))), **_BESIDE)
    for text, name in zip(legend.get_texts(), names, strict=True):
        _say(text, _short(name))


def _draw_matrix(axes: "Axes", figure: Matrix) -> None:
    """Cells in the shade of their share of the row, with numbers and names if there is room for them."""
    shares = [[count / (sum(row) or 1) for count in row] for row in figure.counts]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places = range(len(figure.names))
    if len(figure.names) <= _MOST_COUNTED:
        for row in places:
            for column in places:
                colour = "white" if shares[row][column] > 0.5 else "black"
                axes.text(column, row, f"{figure.counts[row][column]}", ha="center", va="center", color=colour)
    names = list(map(_short, figure.names)) if len(figure.names) <= _MOST_NAMED else []
    axes.set_xticks(range(len(names)), names, rotation=90, **_NAMES)
    axes.set_yticks(range(len(names)), names, **_NAMES)
    _say(axes.set_xlabel(""), figure.column_title)
    _say(axes.set_ylabel(""), figure.row_title)


def _draw_cloud(axes: "Axes", figure: Cloud) -> None:
    """Dots in the colours of the first colouring."""
    names = _counted(figure.dots)
    styles = zip(cycle(_COLOURS), cycle(_MARKERS), strict=False)
    drawn = []
    for name, (colour, marker) in zip(names, styles, strict=False):
        dots = [dot for dot in figure.dots if _category(dot) == name]
        xs, ys = [dot.x for dot in dots], [dot.y for dot in dots]
        drawn.append(axes.scatter(xs, ys, s=12, color=colour, marker=marker, alpha=0.7, linewidths=0))
    if figure.colourings:
        _add_legend(axes, drawn, names)
    _say(axes.set_xlabel(""), figure.x_title)
    _say(axes.set_ylabel(""), figure.y_title)


def _counted(dots: Sequence[Dot]) -> list[str]:
    """The categories of the first colouring, each once, in the order of the dots."""
    return list(dict.fromkeys(map(_category, dots)))


def _category(dot: Dot) -> str:
    return dot.categories[0] if dot.categories else ""
