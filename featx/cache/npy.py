"""Writes features as a matrix in an .npy file, and the columns of the images as a .csv, one line for each row."""

import csv
import os
from pathlib import Path

import numpy as np

from featx.cache.disk import allocate
from featx.cache.selection import Block, Selection


def write_npy(selection: Selection, *, matrix: Path, lines: Path) -> None:
    """Write both files and sync them to disk. Raises OSError, and CacheError if a row is damaged."""
    shape = (selection.count, sum(selection.dims.values()))
    allocate(matrix, shape[0] * shape[1] * selection.dtype.itemsize)
    with matrix.open("r+b") as numbers, lines.open("w", encoding="utf-8", errors="surrogateescape", newline="") as text:
        head = {"descr": selection.dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(numbers, head)
        table = csv.writer(text, lineterminator="\n")
        table.writerow(_header(selection))
        for block in selection.blocks():
            numbers.write(np.concatenate(block.features, axis=1).data)
            table.writerows(zip(*_texts(block, selection), strict=True))
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
    try:
        matrix = np.load(file, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return False
    return isinstance(matrix, np.ndarray) and matrix.ndim == 2 and matrix.dtype in (np.float32, np.float16)
