"""Reads CSV files as spreadsheets and programs write them, chunk by chunk, and writes what is read back unchanged.

The first line names the columns; each further line is one image. Spaces around a value are dropped, unless the value is
in quotes.
"""

import csv
import io
import logging
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, BinaryIO, TextIO

from featx.columns import CHUNK
from featx.errors import FeatxError, did_you_mean, one_line

logger = logging.getLogger(__name__)

LONGEST_VALUE = 1 << 24
"""Most characters of one value: a quote that is never closed would take the whole file into memory."""
DELIMITERS = (",", ";", "\t", "|")
"""What may separate values; a comma unless only another one gives a column that names the images."""
PATH_COLUMNS = (
    *("path", "file", "filename", "filepath", "image", "imagepath", "imagefile", "imagefilename", "imagename"),
    *("img", "imgpath", "imgfile", "imgname", "name"),
)
"""Names of columns of paths, in lower case, without spaces, hyphens and underscores; the first is featx's own."""
_MISSPELT = 0.75
"""Share of letters in common with a known column above which another column is probably meant to be that one."""
_BINARY = {b"PK\3\4": "an Excel workbook or a zip file", b"\xd0\xcf\x11\xe0": "an old Excel workbook"}
_MARKS = {b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
"""First bytes of a file -> its encoding; longer ones first."""


@dataclass(frozen=True)
class CsvTable:
    """A CSV file that is open: the names of its columns, and its rows, of which none has been read."""

    where: str
    """Path of the file, for messages."""
    header: list[str]
    """Names of the columns without surrounding spaces; columns without a name are empty texts."""
    rows: Iterator[tuple[int, list[str]]]
    """Line number and values of each row that is not blank."""
    error_type: type[FeatxError]


@contextmanager
def open_csv(where: str, opening: Callable[[], BinaryIO], *, error_type: type[FeatxError]) -> Iterator[CsvTable]:
    """The file as a table, whatever its delimiter and mark of encoding.

    Any error of reading it, also inside the block, becomes an `error_type` that names the file and the next step.
    """
    limit = csv.field_size_limit(LONGEST_VALUE)
    try:
        with opening() as file, _as_text(where, file, error_type) as text:
            yield _read_table(where, _Lines(text), error_type)
    except UnicodeDecodeError as error:
        step = "save it as UTF-8, which Excel calls 'CSV UTF-8'"
        raise error_type(f"{where}: not a readable CSV file ({one_line(error)}); {step}") from error
    except csv.Error as error:
        step = "correct its quotes, or save it again as CSV"
        raise error_type(f"{where}: not a readable CSV file ({one_line(error)}); {step}") from error
    except OSError as error:
        reason = (error.strerror or one_line(error)).lower()
        raise error_type(f"{where}: not a readable CSV file ({reason}); check the path") from error
    finally:
        csv.field_size_limit(limit)


def _as_text(where: str, file: BinaryIO, error_type: type[FeatxError]) -> TextIO:
    """The file as text in the encoding that its first bytes mark, by default UTF-8."""
    head = file.read(4)
    if kind := _BINARY.get(head):
        raise error_type(f"{where}: not a readable CSV file but {kind}; save it as CSV")
    encoding = next((name for mark, name in _MARKS.items() if head.startswith(mark)), "utf-8-sig")
    if encoding == "utf-8-sig" and b"\0" in head[:2]:
        raise error_type(f"{where}: not a readable CSV file, as it is UTF-16 without a mark; save it as UTF-8")
    return io.TextIOWrapper(io.BufferedReader(_Rest(head, file)), encoding=encoding, newline="")


class _Rest(io.RawIOBase):
    """A file of which the first bytes have been read, from its start; it need not be able to seek."""

    def __init__(self, head: bytes, file: BinaryIO) -> None:
        self._head = head
        self._file = file

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Number of bytes that were put into the buffer; 0 at the end."""
        data = self._head or self._file.read(len(buffer))
        self._head = b""
        buffer[: len(data)] = data
        return len(data)


class _Lines:
    """The lines of a text; `taken` are those since it was last emptied."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self.number = 0
        self.taken: list[str] = []

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._text.readline(LONGEST_VALUE)
        if not line:
            raise StopIteration
        if len(line) == LONGEST_VALUE:
            raise csv.Error(f"line {self.number + 1} has more than {LONGEST_VALUE} characters")
        self.number += 1
        self.taken.append(line)
        return line


def _read_table(where: str, lines: _Lines, error_type: type[FeatxError]) -> CsvTable:
    """The table whose first line that is not blank names the columns, after `sep=;` if Excel wrote that."""
    first = next(filter(str.strip, lines), "")
    delimiters: Sequence[str] = DELIMITERS
    if said := re.fullmatch(r"\"?sep=(.)\"?\s*", first, re.IGNORECASE):
        delimiters = (said[1],)
        first = next(filter(str.strip, lines), "")
    delimiter, header = _read_header(first, lines, delimiters)
    reader = _reader(lines, delimiter)
    return CsvTable(
        where,
        [column.strip() for column in header],
        _iter_rows(where, reader, lines, columns=header, delimiter=delimiter, error_type=error_type),
        error_type,
    )


def _read_header(first: str, lines: _Lines, delimiters: Sequence[str]) -> tuple[str, list[str]]:
    """The delimiter, and the names of the columns."""
    for delimiter in delimiters:
        try:
            header = next(_reader(iter([first]), delimiter), [])
        except csv.Error:
            continue  # a quote that this delimiter does not close
        if any(map(is_path_column, header)):
            return delimiter, header
    return delimiters[0], next(_reader(chain([first], lines), delimiters[0]), [])


def _reader(lines: Iterator[str], delimiter: str) -> Iterator[list[str]]:
    return csv.reader(lines, delimiter=delimiter, strict=True, skipinitialspace=True)


def _iter_rows(
    where: str,
    reader: Iterator[list[str]],
    lines: _Lines,
    *,
    columns: Sequence[str],
    delimiter: str,
    error_type: type[FeatxError],
) -> Iterator[tuple[int, list[str]]]:
    """Line number and values of each line that is not blank; values may be left out only in columns without a name."""
    named = max((place + 1 for place, column in enumerate(columns) if column.strip()), default=0)
    lines.taken.clear()
    for row in reader:
        stripped = list(map(str.strip, row))
        if any(stripped):
            if len(row) < named or any(stripped[len(columns) :]):
                raise error_type(
                    f"{where}: line {lines.number} has {len(row)} values for {len(columns)} columns; correct it, and "
                    f"put values that contain {delimiter!r} into quotes"
                )
            yield lines.number, row if row == stripped else _strip(row, lines.taken)
        lines.taken.clear()


def _strip(row: list[str], lines: Sequence[str]) -> list[str]:
    """The values without surrounding spaces, except those that are in quotes in these lines."""
    written = "".join(lines)
    return [value if '"{}"'.format(value.replace('"', '""')) in written else value.strip() for value in row]


def is_path_column(column: str) -> bool:
    """Whether a column with this name usually has the paths or names of images."""
    return re.sub(r"[-_ ]", "", column.strip().lower()) in PATH_COLUMNS


def choose_path_column(where: str, header: Sequence[str], *, error_type: type[FeatxError]) -> list[str]:
    """The header with `path` in place of the column of paths: `path`, else the only one with a usual name for it.

    Raises the error if there is none, or if there are several.
    """
    if "path" in header:
        return list(header)
    found = [column for column in header if is_path_column(column)]
    found = [column for column in found if column.lower() != "name"] or found
    if not found:
        raise error_type(
            f"{where}: no column 'path' among {list(header)[:20]}; name the columns in the first line, and the one "
            "with the names of images 'path'"
        )
    if len(found) > 1:
        raise error_type(
            f"{where}: the images may be named in column {found[0]!r} or {found[1]!r}; rename one of them to 'path'"
        )
    logger.warning("%s: column %r is read as 'path'", where, found[0])
    return ["path" if column == found[0] else column for column in header]


def match_case(header: Sequence[str], known: Collection[str]) -> list[str]:
    """The header with known names in lower case: `Label` as `label`, unless that is another column."""
    return [name if (name := column.lower()) in known and name not in header else column for column in header]


def misspelt(column: str, known: Collection[str]) -> str:
    """A hint that names the known columns that this one is probably meant to be; empty if there is none."""
    return did_you_mean(column.lower(), known, near_enough=_MISSPELT)


def check_header(
    where: str,
    columns: Sequence[str],
    *,
    known: Sequence[str],
    used: Collection[str],
    error_type: type[FeatxError],
) -> None:
    """Raise the error if a used column appears twice; warn of columns that are not used but look like a known one."""
    for column in columns:
        if column and column not in used and (hint := misspelt(column, known)):
            logger.warning("%s: column %r is not used%s", where, column, hint)
    if twice := [column for column, count in Counter(columns).items() if count > 1 and column in used]:
        raise error_type(f"{where}: column {min(twice)!r} appears twice; remove one")


def iter_chunks(table: CsvTable, used: Mapping[str, int]) -> Iterator[tuple[list[int], dict[str, list[str]]]]:
    """Chunks of rows: their line numbers, and for each used column, given with its position, its values.

    Raises the table's error if a line does not have one value for each column, or if there are no rows.
    """
    empty = True
    while chunk := list(islice(table.rows, CHUNK)):
        empty = False
        values = {column: [row[place] for _, row in chunk] for column, place in used.items()}
        yield [line for line, _ in chunk], values
    if empty:
        raise table.error_type(f"{table.where}: lists no images; add one line per image")


class CsvWriter:
    """Writes rows that are read back unchanged: values with spaces at an end, or with line breaks, are in quotes."""

    def __init__(self, file: TextIO) -> None:
        self._plain = csv.writer(file, lineterminator="\n")
        self._quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def write(self, values: Sequence[object]) -> None:
        """Append one line."""
        odd = any(isinstance(value, str) and (value != value.strip() or "\r" in value) for value in values)
        (self._quoted if odd else self._plain).writerow(values)
