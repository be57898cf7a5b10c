"""Confusion matrices: a cell for each pair that occurs, the darker the larger its share of the row."""

from collections.abc import Mapping
from xml.etree.ElementTree import Element

from featx.report.drawings import Matrix
from featx.report.markup import build
from featx.report.svg.marks import WIDTH, frame, text, titled
from featx.report.svg.texts import fit, measure

NAMES_SHOWN = 30
"""Classes in a drawing: of more, those with the most confusions."""
_NAME_WIDTH = 140
_CELL = (17, 58)
_NUMBERS_FROM = 20
"""Pixels of a cell from which on its count is written into it."""
_WHITE_FROM = 0.92
"""Opacity of a cell from which on white digits are read better than dark ones."""
_TOP = 20


def draw_matrix(figure: Matrix, tags: Mapping[str, int]) -> Element:
    """The whole matrix, or the part of its most confused classes; cells with pictures have the number of their tag."""
    shown = most_confused(figure)
    names = min(_NAME_WIDTH, max((measure(figure.names[row]) for row in shown), default=0))
    least, most = _CELL
    size = min(most, max(least, (WIDTH - names - 40) // max(1, len(shown))))
    left, top = names + 34, names + _TOP + 8
    cells = [
        _draw_cell(figure, row, column, x=left + across * size, y=top + down * size, size=size, tags=tags)
        for down, row in enumerate(shown)
        for across, column in enumerate(shown)
        if figure.counts[row][column]
    ]
    whole = size * len(shown)
    box = build(
        "rect", x=f"{left:g}", y=f"{top:g}", width=whole, height=whole, class_="grid", fill="none", stroke="#d5d5d0"
    )
    labels = [
        part for place, row in enumerate(shown) for part in _labels(figure.names[row], left, top, (place + 0.5) * size)
    ]
    titles = [
        text(f"{figure.column_title} →", left, 13, soft=True),
        text(f"{figure.row_title} →", 12, top + whole, soft=True, transform=f"rotate(-90 12 {top + whole:g})"),
    ]
    width = max(WIDTH, left + whole + 8)
    return frame(figure.title, _describe(figure), top + whole + 8, *titles, box, *labels, *cells, width=width)


def most_confused(figure: Matrix) -> list[int]:
    """All classes, or those 30 with the most images that are taken for another class or another for them."""
    everything = range(len(figure.names))
    if len(figure.names) <= NAMES_SHOWN:
        return list(everything)
    into = [sum(row[column] for row in figure.counts) for column in everything]
    wrong = [sum(figure.counts[one]) + into[one] - 2 * figure.counts[one][one] for one in everything]
    return sorted(sorted(everything, key=lambda one: -wrong[one])[:NAMES_SHOWN])


def say_cell(figure: Matrix, row: int, column: int) -> str:
    """What a cell counts, such as `true cat, predicted dog`."""
    return f"{figure.row_title} {figure.names[row]}, {figure.column_title} {figure.names[column]}"


def _draw_cell(
    figure: Matrix, row: int, column: int, *, x: float, y: float, size: float, tags: Mapping[str, int]
) -> Element:
    count, total = figure.counts[row][column], sum(figure.counts[row])
    opacity = 0.08 + 0.92 * (count / total) ** 0.5
    said = say_cell(figure, row, column)
    tag = tags.get(figure.tag(row, column))
    box = {"x": f"{x + 1:g}", "y": f"{y + 1:g}", "width": f"{size - 2:g}", "height": f"{size - 2:g}"}
    rect = build("rect", class_="cell", fill="#0072B2", fill_opacity=f"{opacity:.2f}", rx=2, **box)
    return titled(
        "g",
        f"{said}: {count} of {total}",
        rect,
        _write_count(count, x + size / 2, y + size / 2, size=size, white=opacity > _WHITE_FROM),
        data_tag=tag,
        data_cell=None if tag is None else said,
    )


def _write_count(count: int, x: float, y: float, *, size: float, white: bool) -> Element | None:
    shown = str(count)
    height = min(13.0, size * 0.42)
    if size < _NUMBERS_FROM or measure(shown, size=height) > size - 3:
        return None
    own = {"class_": "count on", "fill": "#fff"} if white else {"class_": "count"}
    return build(
        "text",
        shown,
        x=f"{x:g}",
        y=f"{y + height * 0.35:.1f}",
        text_anchor="middle",
        font_size=f"{height:g}",
        stroke="none",
        **own,
    )


def _labels(name: str, left: float, top: float, along: float) -> list[Element]:
    shown = fit(name, _NAME_WIDTH)
    x, y = left + along + 4.5, top - 7
    return [
        text(shown, left - 7, top + along + 4.5, anchor="end"),
        text(shown, x, y, transform=f"rotate(-90 {x:g} {y:g})"),
    ]


def _describe(figure: Matrix) -> str:
    right = sum(figure.counts[one][one] for one in range(len(figure.names)))
    total = sum(map(sum, figure.counts))
    return (
        f"{figure.row_title} against {figure.column_title}: {right} of {total} are on the diagonal. "
        "Darker cells are larger shares of their row."
    )
