"""Figures as data: what a figure shows, and nothing of how it is drawn."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """A value with the ends of its interval; without one, both ends are None."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    note: str = ""
    """What else is said of this value, such as a verdict."""

    @classmethod
    def within(cls, name: str, value: float, ends: tuple[float, float] | None, *, note: str = "") -> "Span":
        """A value whose interval has these ends; None if it has no interval.

        >>> Span.within("accuracy", 0.9, (0.8, 0.95)).high
        0.95
        """
        low, high = ends or (None, None)
        return cls(name, value, low, high, note)


@dataclass(frozen=True)
class Forest:
    """Values with their intervals, one below the other."""

    title: str
    x_title: str
    spans: tuple[Span, ...]
    reference: float | None = None
    """Where a line is drawn across all intervals, such as 0 for differences."""


@dataclass(frozen=True)
class Point:
    """A point of a line, with the ends of its interval; without one, both ends are None."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Line:
    """Points in the order in which a line connects them."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Lines:
    """Lines with a band around each, such as learning curves or a reliability diagram."""

    title: str
    x_title: str
    y_title: str
    lines: tuple[Line, ...]
    logarithmic: bool = False
    """Whether equal steps on the x axis double the number."""
    diagonal: bool = False
    """Whether the line y = x is drawn, on which a calibrated head would be."""
    references: tuple[float, ...] = ()
    """Values of y at which a line is drawn across the figure."""


@dataclass(frozen=True)
class Bars:
    """A bar for each value, from zero, with its interval if it has one."""

    title: str
    x_title: str
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Matrix:
    """A table of counts of pairs, such as true and predicted classes."""

    title: str
    names: tuple[str, ...]
    """Names of the rows and, in the same order, of the columns."""
    counts: tuple[tuple[int, ...], ...]
    row_title: str = "true"
    column_title: str = "predicted"

    def tag(self, row: int, column: int) -> str:
        """The tag that pictures of a cell have.

        >>> Matrix("confusion", ("cat", "dog"), ((3, 1), (0, 2))).tag(0, 1)
        '0,1'
        """
        return f"{row},{column}"


@dataclass(frozen=True)
class Dot:
    """A point of a cloud."""

    x: float
    y: float
    name: str
    categories: tuple[str, ...]
    """Its category in each colouring of the cloud."""


@dataclass(frozen=True)
class Cloud:
    """Points on a plane, such as a map of features, which may be coloured in several ways."""

    title: str
    x_title: str
    y_title: str
    dots: tuple[Dot, ...]
    colourings: tuple[str, ...]
    """What the colours may stand for, such as class, domain or error."""


Figure = Forest | Lines | Bars | Matrix | Cloud
