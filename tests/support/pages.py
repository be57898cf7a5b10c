"""Pages with every kind of figure, of few numbers that tests recompute, and names that would be markup."""

import io

from PIL import Image

from featx.report.drawings import Bars, Cloud, Dot, Figure, Forest, Line, Lines, Matrix, Point, Span
from featx.report.section import Page, Picture, Section

CLASSES = ("cat", "dog", "owl")
COUNTS = ((8, 2, 0), (1, 9, 0), (0, 3, 7))
HOSTILE = (
    "<script>document.title = 'run'</script>",
    '"><img src=x onerror="document.title=1">',
    "</td><td>0.99</td></tr><tr><td>forged",
    "]]></svg></script><script>document.title = 'run'</script>",
    "\x00\x1b[31mred\u202egnp.exe\ud800\uffff",
    "javascript:document.title=1",
    "&lt;b&gt; &amp; --><!--",
    "' onmouseover='document.title=1",
)


def small_image(colour: tuple[int, int, int]) -> bytes:
    """A PNG file of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (8, 6), colour).save(file, "PNG")
    return file.getvalue()


def figures(names: tuple[str, ...] = CLASSES) -> dict[str, Figure]:
    """A figure of each kind, whose marks have these three names."""
    spans = tuple(Span(name, 0.9 - place / 10, 0.8 - place / 10, 0.95) for place, name in enumerate(names))
    lines = tuple(
        Line(name, tuple(Point(shots, 0.5 + place / 10 + shots / 100, 0.4, 0.9) for shots in (1, 2, 4)))
        for place, name in enumerate(names)
    )
    dots = tuple(
        Dot(place, place % 5, f"{names[place % 3]}/{place}.png", (names[place % 3], "right" if place % 2 else "wrong"))
        for place in range(12)
    )
    return {
        "forest": Forest("Accuracy of heads", "accuracy", spans),
        "lines": Lines("Learning curves", "images of each class", "accuracy", lines, logarithmic=True),
        "bars": Bars("Recall of classes", "recall", spans),
        "matrix": Matrix("Confusion", names, COUNTS),
        "cloud": Cloud("Map of features", "first component", "second component", dots, ("class", "error")),
    }


def pictures(matrix: Matrix) -> tuple[Picture, ...]:
    """A picture for each confused image of the matrix, one of which is gone."""
    found = [
        (row, column, number)
        for row, counts in enumerate(matrix.counts)
        for column, count in enumerate(counts)
        for number in range(count if row != column else 0)
    ]
    return tuple(
        Picture(
            f"{matrix.names[row]}/{row}{column}{number}.png",
            f"taken for {matrix.names[column]}",
            small_image((80 * row, 80 * column, 99)) if place else None,
            (matrix.tag(row, column),),
        )
        for place, (row, column, number) in enumerate(found)
    )


def make_page(names: tuple[str, ...] = CLASSES) -> Page:
    """A section for each figure, one of facts, and one with a table of 60 rows."""
    drawn = figures(names)
    matrix = drawn["matrix"]
    assert isinstance(matrix, Matrix)
    heads = tuple(
        (str(60 - place), f"{names[place % 3]}-{place}", f"{1000 + place * 37 % 60:,}") for place in range(60)
    )
    sections = [
        Section("Heads", f"{names[0]} is best.", ("rank", "head", "images"), heads, notes=(names[1],), name="heads"),
        *(
            Section(figure.title, figure=figure, pictures=pictures(matrix) if kind == "matrix" else (), name=kind)
            for kind, figure in drawn.items()
        ),
        Section("How to reproduce", rows=(("command", f"featx compare {names[2]}.h5"),), name="reproduce"),
    ]
    return Page(f"Which head is best for {names[0]}", tuple(sections), f"{names[0]}, by far.", (names[2],))
