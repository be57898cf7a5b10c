"""The page: a report is a list of sections, which each renderer shows in its own way."""

from dataclasses import dataclass

from featx.report.drawings import Figure


@dataclass(frozen=True)
class Picture:
    """A small image, with what is said of it."""

    name: str
    """Name of the image in its image set."""
    caption: str
    thumbnail: bytes | None
    """A JPEG or PNG file; None if the image is gone, for which a placeholder is shown."""
    tags: tuple[str, ...] = ()
    """Cells of the section's matrix to which it belongs, as `Matrix.tag` names them."""


@dataclass(frozen=True)
class Section:
    """A part of a report: a title, the answer, a table, a figure, pictures and notes; each may be missing."""

    title: str = ""
    sentence: str = ""
    """The answer, which is shown first."""
    columns: tuple[str, ...] = ()
    """Headings of the table; empty if each row is the name of a fact and the fact."""
    rows: tuple[tuple[str, ...], ...] = ()
    """Cells of the table, one for each column."""
    figure: Figure | None = None
    """What the table shows, as a figure."""
    pictures: tuple[Picture, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences that explain the table, or all that the section says."""
    wrapped: str | None = None
    """Heading of the one column whose cells may be broken into lines; None if all may."""
    name: str = ""
    """A short word for links within a page, such as `confusion`."""

    @property
    def plain_notes(self) -> tuple[str, ...]:
        """The notes where there are no pictures: the last one says how many are left out."""
        left_out = f"pictures: {len(self.pictures)}, which only an HTML page shows"
        return (*self.notes, left_out) if self.pictures else self.notes


@dataclass(frozen=True)
class Page:
    """A whole report: a title, the answer in a sentence, sections and notes on all of them."""

    title: str
    sections: tuple[Section, ...]
    sentence: str = ""
    notes: tuple[str, ...] = ()
