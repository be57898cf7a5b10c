"""Writes a page into the file that the user names."""

from contextlib import AbstractContextManager
from pathlib import Path

from featx.errors import ReportError
from featx.report.html.page import GENERATOR, render_page
from featx.report.section import Page
from featx.targets import Kind, Target, reserve

_HEAD_BYTES = 4096
"""The first bytes of a page, among which it names the program that made it."""


def reserve_page(
    into: Path | str, *, overwrite: bool = False, option: str = "--into"
) -> AbstractContextManager[Target]:
    """Hold the file of a page until the block ends, and check that it can be written.

    `option` is the one that names the file, for messages.

    Raises ReportError if the ending is not .html or .htm, or if the file exists and is not a page of featx that
    `overwrite` replaces.
    """
    kind = Kind(
        name="a page of featx",
        endings=(".html", ".htm"),
        is_own=_is_own,
        error=ReportError,
        locked=ReportError,
        writing="writing this page",
        instead=f"choose another {option}",
        option=option,
    )
    if Path(into).suffix.lower() not in kind.endings:
        raise ReportError(f"{into}: its ending is not that of a page; end it in .html")
    return reserve(into, kind, overwrite=overwrite)


def write_page(page: Page, into: Path | str | Target, *, overwrite: bool = False) -> None:
    """Write the page as one HTML file; equal pages give equal bytes. Raises ReportError as `reserve_page` does."""
    if not isinstance(into, Target):
        with reserve_page(into, overwrite=overwrite) as target:
            return write_page(page, target)
    text = render_page(page)
    with into.written() as new:
        new.write_text(text, encoding="utf-8")
    return None


def _is_own(path: Path) -> bool:
    with path.open("rb") as file:
        return GENERATOR.encode() in file.read(_HEAD_BYTES)
