"""Shows objects in a console and in a notebook: a title, and below it a few named facts; and makes texts safe to print.

Names of files and classes, and the texts of cards and heads, may come from strangers. A terminal would obey control
characters in them: colours, titles, cleared screens, lines that seem to be featx's own.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape

_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\u206a-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""Characters that are not seen, or change how others are: controls, separators of lines, directions, surrogates."""


@dataclass(frozen=True)
class Overview:
    """What a person looks for in an object, in about three lines."""

    title: str
    """The class and its size, such as `FeatureTable: 60 images x 1280 features`."""
    facts: tuple[tuple[str, str], ...] = ()
    """Name and text of each fact, in their order; a fact with an empty text is not shown."""

    def to_text(self) -> str:
        """The title, and one indented line for each fact."""
        return "\n".join(map(visible, [self.title, *(f"  {name}: {text}" for name, text in self.facts if text)]))

    def to_html(self) -> str:
        """The title above a table with one row for each fact; all texts are escaped."""
        rows = "".join(
            f"<tr><th style='text-align: left'>{escape(name)}</th><td style='text-align: left'>{escape(text)}</td></tr>"
            for name, text in self.facts
            if text
        )
        return f"<div><strong>{escape(self.title)}</strong><table>{rows}</table></div>"


class Shown(ABC):
    """Base of objects whose `repr` is their overview.

    A subclass defines `overview`. A dataclass also needs `@dataclass(repr=False)`, or its own `repr` hides this one.
    """

    @abstractmethod
    def overview(self) -> Overview:
        """The title and facts to show."""

    def __repr__(self) -> str:
        return self.overview().to_text()

    def _repr_html_(self) -> str:
        """What Jupyter shows in place of the `repr`: the overview, and below it what a report says of the object."""
        return self.overview().to_html() + NOTEBOOKS.render(self)


@dataclass
class Notebooks:
    """What notebooks show below an overview; `import featx` sets it, as no object may know reports."""

    render: Callable[[Shown], str] = lambda shown: ""
    """Returns HTML of an object; empty if nothing is to be added."""


NOTEBOOKS = Notebooks()


def shorten(texts: Iterable[str], *, most: int = 6) -> str:
    """The texts joined by commas; if there are more than `most`, only the first ones and the number of the others."""
    every = list(texts)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more


def show_views(views: Iterable[str]) -> str:
    """The names of views, for messages; of many random crops only the first ones."""
    return shorten(views, most=8)


def show_counts(counts: Iterable[tuple[str, int]]) -> list[str]:
    """Each name with its count; names in quotes if one ends in a number, which would read as a count.

    >>> from featx.showing import show_counts
    >>> show_counts([("cat", 3), ("dog", 1)]), show_counts([("0", 3), ("1", 1)])
    (['cat 3', 'dog 1'], ["'0' 3", "'1' 1"])
    """
    every = list(counts)
    quoted = any(name.strip() != name or name.split()[-1:] == [] or name.split()[-1].isdigit() for name, _ in every)
    return [f"{name!r} {count}" if quoted else f"{name} {count}" for name, count in every]


def visible(text: str) -> str:
    r"""The text on one line, with every character that a terminal would obey, or not show, as its escape.

    >>> from featx.showing import visible
    >>> print(visible("red: \x1b[31m, and a line:\nfeatx: all is well"))
    red: \x1b[31m, and a line:\nfeatx: all is well
    """
    return _UNSEEN.sub(lambda found: _ESCAPES.get(found[0]) or _escape(found[0]), text)


_ESCAPES = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def visible_json(text: str) -> str:
    """JSON in which those characters are escaped as JSON does it; line ends between values stay."""
    return _UNSEEN.sub(lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text)
