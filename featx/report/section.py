"""The section: a report is a list of sections, which each renderer shows in its own way."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """A part of a report: a title, a table and notes; each may be missing."""

    title: str = ""
    columns: tuple[str, ...] = ()
    """Headings of the table; empty if each row is the name of a fact and the fact."""
    rows: tuple[tuple[str, ...], ...] = ()
    """Cells of the table, one for each column."""
    notes: tuple[str, ...] = ()
    """Sentences that explain the table, or all that the section says."""
    wrapped: str | None = None
    """Heading of the one column whose cells may be broken into lines; None if all may."""
