"""Lists of images as CSV files, in which people fill in what featx does not know."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from featx.csv_columns import CsvWriter
from featx.errors import ReportError
from featx.targets import Kind, Target, reserve

MISTAKE_COLUMNS = ("name", "true", "predicted", "probability", "true_probability")
"""Columns of a list of wrongly predicted images."""
_HEADERS = (b"name,label,rank,why\n", b"name,cluster\n", f"{','.join(MISTAKE_COLUMNS)}\n".encode())
"""First lines of the lists that featx writes."""


def reserve_list(
    into: Path | None, *, overwrite: bool, option: str = "--into"
) -> AbstractContextManager[Target | None]:
    """Hold the file of a list until the block ends, and check that it can be written; nothing without a path.

    `option` is the one that names the file, for messages.

    Raises ReportError if the file exists and is not a list of featx that `overwrite` replaces.
    """
    if into is None:
        return nullcontext()
    kind = Kind(
        name="a list of featx",
        endings=(".csv",),
        is_own=_is_own,
        error=ReportError,
        locked=ReportError,
        writing="writing this list",
        instead=f"choose another {option}",
        option=option,
    )
    return reserve(into, kind, overwrite=overwrite)


def write_list(target: Target | None, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write the header and these lines; nothing without a target. Raises ReportError."""
    if target is None:
        return
    with target.written() as new, new.open("w", encoding="utf-8", newline="") as file:
        lines = CsvWriter(file)
        lines.write(header)
        for row in rows:
            lines.write(row)


def _is_own(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(max(map(len, _HEADERS))).startswith(_HEADERS)
