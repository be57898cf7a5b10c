"""Reads CSV manifests: one line per image; the first line names the columns."""

import io
from collections.abc import Iterator
from typing import TextIO

from featx.csv_columns import check_header, iter_chunks, read_header, readable_csv
from featx.errors import ImageSetError
from featx.inputs.sets.building import MANIFEST_COLUMNS, ColumnsBuilder
from featx.inputs.sets.files import Files, FileSource
from featx.inputs.sets.image_set import ImageSet


def read_csv_manifest(files: Files, path: str, *, source: FileSource) -> ImageSet:
    """The images that a CSV file lists, in its order. Raises ImageSetError naming the line and the next step."""
    builder = ColumnsBuilder(path)
    with (
        readable_csv(path, ImageSetError),
        io.TextIOWrapper(files.open(path, seek=False), encoding="utf-8-sig", newline="") as file,
    ):
        for chunk in _read_chunks(path, file):
            builder.add(chunk)
    return ImageSet(**vars(builder.build()), source=source)


def _read_chunks(path: str, file: TextIO) -> Iterator[dict[str, list[str]]]:
    header, lines = read_header(file)
    check_columns(path, header)
    if "path" not in header:
        raise ImageSetError(f"{path}: no column 'path' among {header[:20]}; name the columns in the first line")
    used = [column for column in header if column in MANIFEST_COLUMNS]
    for _, values in iter_chunks(path, lines, header=header, used=used, error_type=ImageSetError):
        yield values


def check_columns(path: str, columns: list[str]) -> None:
    """Raise ImageSetError if a column appears twice; warn of columns that look misspelt."""
    check_header(path, columns, known=MANIFEST_COLUMNS, used=MANIFEST_COLUMNS, error_type=ImageSetError)
