"""Reads and checks CSV files chunk by chunk; the first line names the columns, then each line is one image."""

import csv
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TextIO

from featx.columns import CHUNK
from featx.errors import FeatxError, did_you_mean

logger = logging.getLogger(__name__)


@contextmanager
def readable_csv(where: str, error_type: type[FeatxError]) -> Iterator[None]:
    """Turns any error of reading the file as CSV into an `error_type` that names the file."""
    try:
        yield
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise error_type(f"{where}: not a readable CSV file ({error}); save it as UTF-8 CSV") from error


def read_header(file: TextIO) -> tuple[list[str], Iterator[list[str]]]:
    """The names of the columns without surrounding spaces, and the lines that follow as lists of values."""
    lines = csv.reader(file, strict=True)
    return [column.strip() for column in next(lines, [])], lines


def check_header(
    where: str,
    columns: Sequence[str],
    *,
    known: Sequence[str],
    used: Sequence[str],
    error_type: type[FeatxError],
) -> None:
    """Raise the error if a column appears twice; warn of columns that are not used but look like a known one."""
    for column in columns:
        if column not in used and (hint := did_you_mean(column, known)):
            logger.warning("%s: column %r is not used%s", where, column, hint)
    if twice := [column for column, count in Counter(columns).items() if count > 1]:
        raise error_type(f"{where}: column {min(twice)!r} appears twice; remove one")


def iter_chunks(
    where: str, lines: Any, *, header: Sequence[str], used: Sequence[str], error_type: type[FeatxError]
) -> Iterator[tuple[list[int], dict[str, list[str]]]]:
    """Chunks of rows: their line numbers, and for each used column its values without surrounding spaces.

    Raises the error if a line does not have one value for each column, or if there are no rows.
    """
    rows = _iter_rows(where, lines, columns=len(header), error_type=error_type)
    places: Mapping[str, int] = {column: header.index(column) for column in used}
    empty = True
    while chunk := list(islice(rows, CHUNK)):
        empty = False
        values = {column: [row[place].strip() for _, row in chunk] for column, place in places.items()}
        yield [line for line, _ in chunk], values
    if empty:
        raise error_type(f"{where}: lists no images; add one line per image")


def _iter_rows(
    where: str, lines: Any, *, columns: int, error_type: type[FeatxError]
) -> Iterator[tuple[int, list[str]]]:
    """Line number and values of each line that is not blank."""
    for row in lines:
        if row and len(row) != columns:
            raise error_type(f"{where}: line {lines.line_num} has {len(row)} values for {columns} columns; correct it")
        if row:
            yield lines.line_num, row
