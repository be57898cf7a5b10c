"""Writes features as a matrix in an .npy file, and the columns of the images as a .csv, one line for each row."""

import csv
import os
from itertools import combinations
from math import prod
from pathlib import Path
from tokenize import TokenError

import numpy as np

from featx.cache.disk import allocate
from featx.cache.selection import IMAGE_COLUMNS, Block, Selection
from featx.csv_columns import CsvWriter

HEADERS = [
    [*IMAGE_COLUMNS[:2], *further]
    for count in range(len(IMAGE_COLUMNS) - 1)
    for further in combinations(IMAGE_COLUMNS[2:], count)
]
"""The first lines that an exported .csv may have."""
LONGEST_HEADER = 100


def write_npy(selection: Selection, *, matrix: Path, lines: Path) -> None:
    """Write both files and sync them to disk. Raises OSError, and CacheError if a row is damaged."""
    views = (len(selection.views),) if selection.view_rule == "all" else ()
    shape = (selection.count, *views, sum(selection.dims.values()))
    allocate(matrix, prod(shape) * selection.dtype.itemsize)
    with matrix.open("r+b") as numbers, lines.open("w", encoding="utf-8", errors="surrogateescape", newline="") as text:
        head = {"descr": selection.dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(numbers, head)
        table = CsvWriter(text)
        table.write(_header(selection))
        for block in selection.blocks():
            numbers.write(np.concatenate(block.features, axis=-1).data)
            for row in zip(*_texts(block, selection), strict=True):
                table.write(row)
        for file in (numbers, text):
            file.flush()
            os.fsync(file.fileno())


def _header(selection: Selection) -> list[str]:
    return ["name", "label", *(name for name in selection.known if name not in ("name", "label"))]


def _texts(block: Block, selection: Selection) -> list[list[object]]:
    """The columns of the .csv."""
    columns: dict[str, list[object]] = {"label": list(block.classes(selection.cache.classes))}
    for name in _header(selection):
        if name == "weight":
            columns[name] = [f"{weight:.9g}" for weight in block.columns[name].tolist()]
        elif name != "label":
            columns[name] = list(block.texts(name))
    return [columns[name] for name in _header(selection)]


def is_exported_npy(file: Path) -> bool:
    """Whether the file contains a matrix of features, and not an array of images or of anything else."""
    return _rows_of(file) is not None


def has_header(file: Path) -> bool:
    """Whether the file begins with the names of columns that an exported .csv has."""
    if not file.is_file():
        return False
    with file.open("rb") as text:
        start = text.readline(LONGEST_HEADER)
    return start.decode(errors="replace") in [",".join(names) + "\n" for names in HEADERS]


def is_lines_of(file: Path, matrix: Path) -> bool:
    """Whether the .csv belongs to this exported matrix: it has the columns of an export, and one line for each row."""
    rows = _rows_of(matrix) if matrix.is_file() else None
    if rows is None or not has_header(file):
        return False
    try:
        with file.open(encoding="utf-8", errors="surrogateescape", newline="") as text:
            return sum(1 for _ in csv.reader(text)) == 1 + rows
    except csv.Error:
        return False


def _rows_of(file: Path) -> int | None:
    """Number of rows of an exported matrix; None if the file is something else.

    An array (n, views, d) may as well be images, so it needs the .csv of an export beside it.
    """
    try:
        matrix = np.lib.format.open_memmap(file, mode="r")
    except (OSError, ValueError, EOFError, TokenError):
        return None
    is_matrix = matrix.ndim == 2 or (matrix.ndim == 3 and has_header(file.with_suffix(".csv")))
    return len(matrix) if is_matrix and matrix.dtype in (np.float32, np.float16) else None
