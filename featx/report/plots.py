"""Figures as files, which matplotlib writes as SVG, PDF or PNG."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from featx.errors import ReportError
from featx.report.drawings import Bars, Cloud, Figure, Forest, Lines, Matrix
from featx.targets import Kind, Target, reserve

_STARTS = {".svg": b"<?xml", ".pdf": b"%PDF-", ".png": b"\x89PNG"}
"""Ending of a figure -> the first bytes of such a file."""
_METADATA: dict[str, dict[str, str | None]] = {
    ".svg": {"Creator": "featx", "Date": None},
    ".pdf": {"Creator": "featx", "CreationDate": None},
    ".png": {"Software": "featx"},
}
"""What is written into figures: no dates, so that the same figure gives the same bytes."""
_DOTS = 150
"""Dots in an inch of a PNG."""
_MOST_DOTS = 2**15
"""Dots from the top of a PNG to its bottom: matplotlib draws at most twice as many."""
_MOST_BYTES = 2**26
"""Larger files are not taken for a figure of featx."""


def reserve_figure(into: Path | str, *, overwrite: bool = False) -> AbstractContextManager[Target]:
    """Hold the file of a figure until the block ends, and check that it can be drawn and written.

    Raises ReportError if matplotlib is not installed, if the ending is not .svg, .pdf or .png, or if the file exists
    and is not a figure that `overwrite` replaces.
    """
    ending = Path(into).suffix.lower()
    if ending not in _STARTS:
        raise ReportError(f"{into}: its ending is not that of a figure; end it in .svg, .pdf or .png")
    try:
        import matplotlib as mpl  # noqa: F401
    except ImportError as error:
        raise ReportError(f"{into}: drawing a figure needs matplotlib; pip install 'featx[report]'") from error
    kind = Kind(
        name="a figure of featx",
        endings=(ending,),
        is_own=_is_own,
        error=ReportError,
        locked=ReportError,
        writing="drawing this figure",
        instead="choose another --figure",
    )
    return reserve(into, kind, overwrite=overwrite)


def save_figure(figures: Figure | Sequence[Figure], into: Path | str | Target, *, overwrite: bool = False) -> None:
    """Write one figure, or several, as SVG, PDF or PNG, by the ending of the file; equal figures give equal bytes.

    Several have their titles; each has a page of its own in a PDF, and else they stand below each other. Raises
    ReportError as `reserve_figure` does, and if there is nothing to draw.
    """
    if not isinstance(into, Target):
        with reserve_figure(into, overwrite=overwrite) as target:
            return save_figure(figures, target)
    drawn = [one for one in ([figures] if isinstance(figures, Figure) else figures) if _has_data(one)]
    if not drawn:
        raise ReportError(f"{into.path}: there is nothing to draw, for nothing has results")
    with _own_style(), into.written() as new:
        _save(drawn, new, ending=into.kind.endings[0])
    return None


def _save(figures: Sequence[Figure], new: Path, *, ending: str) -> None:
    from matplotlib.backends.backend_pdf import PdfPages

    from featx.report.axes import draw

    if ending == ".pdf" and len(figures) > 1:
        with PdfPages(new, metadata=_METADATA[ending]) as pages:
            for figure in figures:
                pages.savefig(draw([figure], titled=True))
    else:
        drawn = draw(figures)
        dots = min(_DOTS, _MOST_DOTS / drawn.get_figheight())
        drawn.savefig(new, format=ending[1:], metadata=_METADATA[ending], dpi=dots)


def _has_data(figure: Figure) -> bool:
    match figure:
        case Forest() | Bars():
            return bool(figure.spans)
        case Lines():
            return any(line.points for line in figure.lines)
        case Matrix():
            return bool(figure.names)
        case Cloud():
            return bool(figure.dots)


def _is_own(path: Path) -> bool:
    """Whether featx wrote this figure, by its kind and the program that it names."""
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES)
    return content.startswith(_STARTS[path.suffix.lower()]) and b"featx" in content


@contextmanager
def _own_style() -> Iterator[None]:
    """The style of matplotlib itself, whatever the user has set, and names of SVG elements that do not change."""
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # letters that the font lacks are drawn as boxes
        mpl.rcdefaults()
        mpl.rcParams["svg.hashsalt"] = "featx"
        yield
