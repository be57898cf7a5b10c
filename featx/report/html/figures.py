"""Figures in a page: the drawing, and beside it a table of the same numbers where the section has none."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from xml.etree.ElementTree import Element

from featx.report.drawings import Bars, Cloud, Figure, Forest, Lines, Matrix
from featx.report.html.tables import Shows, draw_table
from featx.report.markup import build
from featx.report.section import Section
from featx.report.svg import draw
from featx.report.svg.axes import find_decimals, show_number
from featx.report.svg.curves import decimals_on_x
from featx.report.svg.matrices import say_cell
from featx.report.svg.spans import span_ends

_DOTS_LISTED = 200
"""Of more dots, the table has a row for each category."""
_ROWS_OPEN = 20
"""Longer tables of a figure's numbers are folded at first."""


@dataclass(frozen=True)
class _Numbers:
    """The numbers of a figure as a table."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    shows: tuple[Shows | None, ...] = ()


def draw_plot(figure: Figure, section: Section, tags: Mapping[str, int], anchor: str) -> Iterator[Element]:
    """The figure with its title and what it leaves out, and its numbers, if the section's table has not got them."""
    drawing = draw(figure, tags=tags, prefix=f"{anchor}-shape-")
    title = figure.title if figure.title != section.title else ""
    said = " ".join(f"{one[:1].upper()}{one[1:]}." for one in (title, *drawing.notes) if one)
    numbers = None if _has_numbers(section, figure) else _draw_numbers(figure, tags, beside=bool(section.columns))
    yield build(
        "figure",
        build("figcaption", said) if said else None,
        build("div", drawing.first, class_="drawing"),
        _fold(drawing.further) if drawing.further else None,
        numbers if section.columns else None,
        class_="plot",
    )
    if numbers is not None and not section.columns:
        yield numbers


def _fold(drawings: Sequence[Element]) -> Element:
    boxes = [build("div", one, class_="drawing") for one in drawings]
    return build("details", build("summary", f"Further drawings: {len(boxes)}"), *boxes)


def figure_names(figure: Figure) -> list[str]:
    """What the marks of a figure are called."""
    match figure:
        case Forest() | Bars():
            return [span.name for span in figure.spans]
        case Lines():
            return [line.name for line in figure.lines]
        case Matrix():
            return list(figure.names)
        case Cloud():
            return [dot.name for dot in figure.dots]


def _has_numbers(section: Section, figure: Figure) -> bool:
    """Whether each name of the figure is a cell of the section's table."""
    if isinstance(figure, Matrix | Cloud):
        return False
    return {*figure_names(figure)} <= {cell for row in section.rows for cell in row}


def _draw_numbers(figure: Figure, tags: Mapping[str, int], *, beside: bool) -> Element:
    """The numbers as a table, folded if they are many, or stand beside a table of the section."""
    numbers = _read_numbers(figure, tags)
    table = draw_table(numbers.columns, numbers.rows, caption=f"Numbers of: {figure.title}", shows=numbers.shows)
    count = len(numbers.rows)
    summary = build("summary", f"Numbers of the figure, {count:,} {'row' if count == 1 else 'rows'}")
    return build("details", summary, table, class_="numbers", open="" if count <= _ROWS_OPEN and not beside else None)


def _read_numbers(figure: Figure, tags: Mapping[str, int]) -> _Numbers:
    match figure:
        case Forest() | Bars():
            return _of_spans(figure)
        case Lines():
            return _of_lines(figure)
        case Matrix():
            return _of_matrix(figure, tags)
        case Cloud():
            return _of_dots(figure) if len(figure.dots) <= _DOTS_LISTED else _of_categories(figure)


def _of_spans(figure: Forest | Bars) -> _Numbers:
    decimals = find_decimals(span_ends(figure.spans))
    rows = [
        (span.name, *(show_number(end, decimals=decimals) for end in (span.value, span.low, span.high)), span.note)
        for span in figure.spans
    ]
    kept = 5 if any(span.note for span in figure.spans) else 4
    return _Numbers(("name", figure.x_title, "low", "high", "note")[:kept], [row[:kept] for row in rows])


def _of_lines(figure: Lines) -> _Numbers:
    decimals = decimals_on_x(figure)
    rows = [
        (
            line.name,
            show_number(point.x, decimals=decimals),
            show_number(point.y),
            show_number(point.low),
            show_number(point.high),
        )
        for line in figure.lines
        for point in line.points
    ]
    return _Numbers(("line", figure.x_title, figure.y_title, "low", "high"), rows)


def _of_matrix(figure: Matrix, tags: Mapping[str, int]) -> _Numbers:
    """Every cell that is not zero, the mistakes first, the largest first."""
    cells = [
        (row == column, -count, row, column)
        for row, counts in enumerate(figure.counts)
        for column, count in enumerate(counts)
        if count
    ]
    rows = list[tuple[str, ...]]()
    shows = list[Shows | None]()
    for _, count, row, column in sorted(cells):
        share = f"{-100 * count / sum(figure.counts[row]):.1f} %"
        rows.append((figure.names[row], figure.names[column], share, f"{-count:,}"))
        tag = tags.get(figure.tag(row, column))
        shows.append(None if tag is None else Shows(tag, say_cell(figure, row, column)))
    columns = (figure.row_title, figure.column_title, f"share of {figure.row_title}", "images")
    return _Numbers(columns, rows, tuple(shows))


def _of_dots(figure: Cloud) -> _Numbers:
    rows = [(dot.name, *dot.categories, show_number(dot.x), show_number(dot.y)) for dot in figure.dots]
    return _Numbers(("name", *figure.colourings, figure.x_title, figure.y_title), rows)


def _of_categories(figure: Cloud) -> _Numbers:
    rows = list[tuple[str, ...]]()
    for place, colouring in enumerate(figure.colourings):
        of = defaultdict[str, list[tuple[float, float]]](list)
        for dot in figure.dots:
            of[dot.categories[place]].append((dot.x, dot.y))
        for name, places in sorted(of.items()):
            middle = (show_number(median(x for x, _ in places)), show_number(median(y for _, y in places)))
            rows.append((colouring, name, f"{len(places):,}", *middle))
    return _Numbers(("colours", "category", "images", "median x", "median y"), rows)
