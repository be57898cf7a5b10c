"""A CSV manifest: one line an image, its columns named by the first line."""

import csv
import io
import logging
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import TextIO

from featx.columns import CHUNK
from featx.errors import ImageSetError, did_you_mean
from featx.inputs.sets.building import MANIFEST_COLUMNS, ColumnsBuilder
from featx.inputs.sets.files import Files, FileSource
from featx.inputs.sets.image_set import ImageSet

logger = logging.getLogger(__name__)


def read_csv_manifest(files: Files, path: str, *, source: FileSource) -> ImageSet:
    """The images that a CSV file lists, in its order. Raises ImageSetError naming the line and the next step."""
    builder = ColumnsBuilder(path)
    try:
        with io.TextIOWrapper(files.open(path, seek=False), encoding="utf-8-sig", newline="") as file:
            for chunk in _read_chunks(path, file):
                builder.add(chunk)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ImageSetError(f"{path}: not a readable CSV file ({error}); save it as UTF-8 CSV") from error
    return ImageSet(**vars(builder.build()), source=source)


def _read_chunks(path: str, file: TextIO) -> Iterator[dict[str, list[str]]]:
    lines = csv.reader(file, strict=True)
    header = [column.strip() for column in next(lines, [])]
    check_columns(path, header)
    if "path" not in header:
        raise ImageSetError(f"{path}: no column 'path' among {header[:20]}; the first line names the columns")
    known = {column: index for index, column in enumerate(header) if column in MANIFEST_COLUMNS}
    rows = _check_lines(path, lines, columns=len(header))
    empty = True
    while chunk := list(islice(rows, CHUNK)):
        empty = False
        yield {column: [row[index].strip() for row in chunk] for column, index in known.items()}
    if empty:
        raise ImageSetError(f"{path}: lists no images; add one line an image")


def check_columns(path: str, columns: list[str]) -> None:
    """Raises ImageSetError where a column stands twice; warns of what looks misspelt."""
    for column in columns:
        if column not in MANIFEST_COLUMNS and (hint := did_you_mean(column, MANIFEST_COLUMNS)):
            logger.warning("%s: column %r is not used%s", path, column, hint)
    if twice := [column for column, count in Counter(columns).items() if count > 1]:
        raise ImageSetError(f"{path}: column {min(twice)!r} stands twice; remove one")


def _check_lines(path: str, lines: Iterator[list[str]], *, columns: int) -> Iterator[list[str]]:
    for number, row in enumerate(lines, start=2):
        if row and len(row) != columns:
            raise ImageSetError(f"{path}: line {number} has {len(row)} values for {columns} columns; correct it")
        if row:
            yield row
