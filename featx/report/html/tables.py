"""Tables as HTML: numbers are aligned and carry their value for sorting, and every cell is escaped."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from featx.report.markup import build

_NUMBER = re.compile(r"[<≤>≥±~]?\s*([+\-−]?)(\d[\d,]*(?:\.\d+)?|\.\d+)(e[+\-]?\d+)?(?=[\s%×x\[(…/]|$)", re.IGNORECASE)
"""A number at the beginning of a cell, with commas between thousands or not."""
_MISSING = {"", "–", "-", "n/a", "nan", "none"}
"""Cells, in lower case, of a column of numbers that have none."""


@dataclass(frozen=True)
class Shows:
    """The pictures that a cell shows when it is chosen."""

    tag: int
    """Number of the tag that these pictures have."""
    what: str
    """What these pictures are, such as `cat taken for dog`."""


@dataclass(frozen=True)
class _Column:
    """A column of a table: its cells, and what they have in common."""

    title: str
    cells: tuple[str, ...]
    numeric: bool
    """Whether all cells are numbers or missing, and one is a number."""
    kind: str | None
    """Class of its cells in the style: `number`, `long` for long texts, or None."""


def draw_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    caption: str,
    wrapped: str | None = None,
    shows: Sequence[Shows | None] = (),
    titled: bool = False,
) -> Element:
    """The table in a box in which it can be scrolled sideways; `titled` if the caption is also the title above it.

    `shows` has, for each row, the pictures that its last cell shows, if any.
    """
    read = [_read_column(title, tuple(row[place] for row in rows), wrapped) for place, title in enumerate(columns)]
    header = next((place for place, column in enumerate(read) if not column.numeric), 0)
    heads = [build("th", column.title, scope="col", class_=column.kind) for column in read]
    body = [
        build("tr", *(_cell(column, line, header=place == header) for place, column in enumerate(read)))
        for line in range(len(rows))
    ]
    for row, shown in zip(body, shows, strict=False):
        if shown:
            row[-1].attrib.update(build("td", data_tag=shown.tag, data_cell=shown.what).attrib)
    said = build("caption", build("span", caption, class_="unseen") if titled else caption)
    table = build("table", said, build("thead", build("tr", *heads)), build("tbody", *body))
    return _in_box(table, caption)


def draw_facts(rows: Sequence[Sequence[str]], *, caption: str) -> Element:
    """Names of facts and the facts, as a table with two columns and no heads."""
    body = [build("tr", build("th", name, scope="row"), build("td", fact)) for name, fact in rows]
    return _in_box(
        build(
            "table", build("caption", build("span", caption, class_="unseen")), build("tbody", *body), class_="facts"
        ),
        caption,
    )


def show_value(cell: str) -> str | None:
    """The number with which the cell begins, as a script reads it; None if it begins with none.

    >>> from featx.report.html.tables import show_value
    >>> show_value("1,234 [1,200, 1,300]"), show_value("−.5 points"), show_value("3cats")
    ('1234', '-.5', None)
    """
    found = _NUMBER.match(cell.strip())
    if not found:
        return None
    sign, digits, exponent = found.groups(default="")
    return sign.replace("−", "-").replace("+", "") + digits.replace(",", "") + exponent


def _read_column(title: str, cells: tuple[str, ...], wrapped: str | None) -> _Column:
    found = [show_value(cell) is not None for cell in cells]
    numeric = any(found) and all(
        number or cell.strip().lower() in _MISSING for cell, number in zip(cells, found, strict=True)
    )
    return _Column(title, cells, numeric, "number" if numeric else "long" if title == wrapped else None)


def _cell(column: _Column, line: int, *, header: bool) -> Element:
    """A cell; its value stands in an attribute where a script would read another number from the text."""
    text = column.cells[line]
    value = show_value(text) if column.numeric else None
    return build(
        "th" if header else "td",
        text,
        scope="row" if header else None,
        class_=column.kind,
        data_value=value if value is not None and not text.startswith(value) else None,
    )


def _in_box(table: Element, caption: str) -> Element:
    """The table in a box that scrolls sideways where the page is narrow, which the keyboard reaches."""
    box = build("div", table, class_="scrolled", role="region", aria_label=f"Table: {caption}", tabindex="0")
    return build("div", box, class_="table")
