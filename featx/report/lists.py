"""Lists of images as CSV, which are not written over what somebody may have filled in."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from featx.csv_columns import CsvWriter
from featx.errors import ReportError


def check_list(into: Path | None, *, overwrite: bool) -> None:
    """Raise ReportError if the list exists and is not to be replaced, or if there is no folder for it."""
    if into is None:
        return
    if into.exists() and not overwrite:
        raise ReportError(f"{into}: exists, and may hold your entries; give another name, or --overwrite to replace it")
    if not into.parent.is_dir():
        raise ReportError(f"{into}: there is no folder {into.parent}; make it first")


def write_list(into: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write the header and these lines. Raises ReportError."""
    try:
        with into.open("w", encoding="utf-8", newline="") as file:
            lines = CsvWriter(file)
            lines.write(header)
            for row in rows:
                lines.write(row)
    except OSError as error:
        raise ReportError(f"{into}: cannot be written ({error.strerror}); check the folder") from error
