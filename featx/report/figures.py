"""Learning curves as a figure, which matplotlib writes as SVG, PDF or PNG."""

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featx.errors import ReportError
from featx.measures import MEASURE_TITLES
from featx.showing import visible
from featx.targets import Kind, Target, reserve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from featx.transfer import CurvePoint, LearningCurve

_STARTS = {".svg": b"<?xml", ".pdf": b"%PDF-", ".png": b"\x89PNG"}
"""Ending of a figure -> the first bytes of such a file."""
_METADATA: dict[str, dict[str, str | None]] = {
    ".svg": {"Creator": "featx", "Date": None},
    ".pdf": {"Creator": "featx", "CreationDate": None},
    ".png": {"Software": "featx"},
}
"""What is written into figures: no dates, so that the same curve gives the same bytes."""
_MOST_BYTES = 2**26
"""Larger files are not taken for a figure of featx."""
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours that people with any colour vision tell apart (Okabe & Ito 2008), without yellow, which is pale on white."""
_MARKERS = "osD^vPX*"
_DASHES = ("-", "--", "-.", ":")
_INCHES = (8.0, 4.5)
_ROWS_PER_INCH = 4.5
"""Lines of the legend in an inch."""


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


def write_curve(curve: "LearningCurve", into: Path | str | Target, *, overwrite: bool = False) -> None:
    """Write a figure of the learning curves as SVG, PDF or PNG, by the ending of the file; equal curves, equal bytes.

    Raises ReportError as `reserve_figure` does, and if there is no curve.
    """
    if not isinstance(into, Target):
        with reserve_figure(into, overwrite=overwrite) as target:
            return write_curve(curve, target)
    if not curve.rows:
        raise ReportError(f"{into.path}: there is no curve to draw, for no candidate has results")
    with _own_style(), into.written() as new:
        ending = into.kind.endings[0]
        _draw(curve).savefig(new, format=ending[1:], metadata=_METADATA[ending], dpi=150)
    return None


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


def _draw(curve: "LearningCurve") -> "Figure":
    from matplotlib.figure import Figure

    lines = _lines(curve)
    width, height = _INCHES
    figure = Figure(figsize=(width, max(height, len(lines) / _ROWS_PER_INCH)), layout="constrained")
    axes = figure.add_subplot()
    _draw_lines(axes, lines)
    if curve.labels_needed:
        axes.axhline(curve.labels_needed[0].target, color="0.4", linewidth=0.8, linestyle=(0, (6, 3)))
    shots = sorted({row.shots for row in curve.rows})
    axes.set_xscale("log", base=2)
    axes.set_xticks(shots, [str(one) for one in shots])
    axes.minorticks_off()
    axes.set_xlabel("training images of each class")
    axes.set_ylabel(f"{MEASURE_TITLES[curve.rows[0].measure]}, with its 95 % interval")
    axes.grid(color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_lines(axes: "Axes", lines: dict[str, list["CurvePoint"]]) -> None:
    """Every line with its band; the legend lists them in the order in which they end, from the top."""
    styles = zip(cycle(_COLOURS), cycle(_MARKERS), cycle(_DASHES), strict=False)
    drawn: dict[str, Any] = {}
    for (name, points), (colour, marker, dash) in zip(lines.items(), styles, strict=False):
        shots = [point.shots for point in points]
        values = [point.value for point in points]
        low, high = zip(*(point.ci for point in points), strict=True)
        axes.fill_between(shots, low, high, color=colour, alpha=0.12, linewidth=0)
        (drawn[name],) = axes.plot(shots, values, color=colour, marker=marker, linestyle=dash, markersize=5)
    order = sorted(lines, key=lambda name: -lines[name][-1].value)
    # a label that begins with _ is left out of legends, and $ begins a formula: the texts are set afterwards
    legend = axes.legend([drawn[name] for name in order], list(map(str, range(len(order)))), **_BESIDE)
    for text, name in zip(legend.get_texts(), order, strict=True):
        text.set_parse_math(False)
        text.set_text(name)


_BESIDE: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "frameon": False, "fontsize": "small"}


def _lines(curve: "LearningCurve") -> dict[str, list["CurvePoint"]]:
    """Name of each line -> its points; the name has only what tells the lines apart."""
    outputs = {(row.backbone, row.output) for row in curve.rows}
    several = {backbone for backbone, _ in outputs if sum(backbone == other for other, _ in outputs) > 1}
    heads = {row.head for row in curve.rows}
    lines = dict[str, list["CurvePoint"]]()
    for row in curve.rows:
        source = f"{row.backbone}:{row.output}" if row.backbone in several else row.backbone
        name = f"{source}, {row.head}" if len(heads) > 1 else source
        lines.setdefault(visible(name), []).append(row)
    return lines
