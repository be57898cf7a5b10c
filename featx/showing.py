"""Shows objects in a console and in a notebook: a title, and below it a few named facts."""

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Overview:
    """What a person looks for in an object, in about three lines."""

    title: str
    """The class and its size, such as `FeatureTable: 60 images x 1280 features`."""
    facts: tuple[tuple[str, str], ...] = ()
    """Name and text of each fact, in their order; a fact with an empty text is not shown."""

    def to_text(self) -> str:
        """The title, and one indented line for each fact."""
        return "\n".join([self.title, *(f"  {name}: {text}" for name, text in self.facts if text)])

    def to_html(self) -> str:
        """The title above a table with one row for each fact; all texts are escaped."""
        rows = "".join(
            f"<tr><th style='text-align: left'>{escape(name)}</th><td style='text-align: left'>{escape(text)}</td></tr>"
            for name, text in self.facts
            if text
        )
        return f"<div><strong>{escape(self.title)}</strong><table>{rows}</table></div>"


class Shown:
    """Base of objects whose `repr` is their overview.

    A subclass defines `overview`. A dataclass also needs `@dataclass(repr=False)`, or its own `repr` hides this one.
    """

    def overview(self) -> Overview:
        """The title and facts to show."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.overview().to_text()

    def _repr_html_(self) -> str:
        """What Jupyter shows in place of the `repr`."""
        return self.overview().to_html()


def shorten(texts: Iterable[str], *, most: int = 6) -> str:
    """The texts joined by commas; if there are more than `most`, only the first ones and the number of the others."""
    every = list(texts)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more
