"""Writes sections into the files that papers and spreadsheets need: Markdown, LaTeX, CSV and figures."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from featx.errors import ReportError
from featx.report import latex, spreadsheets
from featx.report.markdown import render_markdown
from featx.report.notebooks import sections_of
from featx.report.plots import reserve_figure, save_figure
from featx.report.section import Section
from featx.showing import Shown
from featx.targets import Kind, Target, reserve

Render: TypeAlias = Callable[[Sequence[Section]], str]
Write: TypeAlias = Callable[[Sequence[Section]], None]

_MARKDOWN_MARK = "<!-- written by featx -->"
"""First line of a file of Markdown, which no reader sees."""


@dataclass(frozen=True)
class Form:
    """A form of text in which sections are written."""

    option: str
    """The option that names the file."""
    name: str
    """What such a file is called, with its article."""
    ending: str
    mark: str
    """How such a file of featx begins."""
    render: Render

    def reserve(self, path: Path, *, overwrite: bool) -> AbstractContextManager[Target]:
        """Hold the file until the block ends, and check that it can be written."""
        kind = Kind(
            name=self.name,
            endings=(self.ending,),
            is_own=self._is_own,
            error=ReportError,
            locked=ReportError,
            writing="writing this file",
            instead=f"choose another {self.option}",
            option=self.option,
        )
        return reserve(path, kind, overwrite=overwrite)

    def _is_own(self, path: Path) -> bool:
        with path.open("rb") as file:
            return file.read(len(self.mark)) == self.mark.encode()

    def write(self, target: Target, sections: Sequence[Section]) -> None:
        """Write the sections into the file. Raises ReportError."""
        with target.written() as new:
            new.write_text(self.render(sections), encoding="utf-8", newline="")


def _render_markdown(sections: Sequence[Section]) -> str:
    return "\n".join([f"{_MARKDOWN_MARK}\n", *map(render_markdown, sections)])


def _render_latex(sections: Sequence[Section]) -> str:
    return "\n".join([f"{latex.MARK}\n", *map(latex.render_latex, sections)])


FORMS = {
    "markdown": Form("--markdown", "Markdown of featx", ".md", _MARKDOWN_MARK, _render_markdown),
    "latex": Form("--latex", "LaTeX of featx", ".tex", latex.MARK, _render_latex),
    "csv": Form("--csv", "a table of featx", ".csv", f"{spreadsheets.MARK},", spreadsheets.render_csv),
}


def write_tables(
    shown: Shown,
    *,
    markdown: Path | str | None = None,
    latex: Path | str | None = None,
    csv: Path | str | None = None,
    figure: Path | str | None = None,
    overwrite: bool = False,
) -> None:
    r"""Write what a report says of a result into files, for papers and spreadsheets; equal results give equal bytes.

    `shown` is a ranking, a gain, a learning curve, an adaptation, a gap, scores, measures of a head, a suite's outcome,
    ...: what a notebook shows with tables. The figure is .svg, .pdf or .png, by its ending, and needs matplotlib.
    Raises ReportError if a file cannot be written, or exists and is not one of featx that `overwrite` replaces; if
    matplotlib is missing; and if there are no tables of such an object, or nothing to draw.

    >>> from pathlib import Path
    >>> import featx
    >>> gap = featx.measure_gap("photos.h5", "photos.h5")
    >>> featx.write_tables(gap, latex="gap.tex", csv="gap.csv")
    >>> Path("gap.tex").read_text().partition("\n")[0]
    '% written by featx'
    """
    sections = sections_of(shown)
    if not sections:
        raise ReportError(
            f"a {type(shown).__name__} has no tables; give what was measured, such as a gain or a ranking"
        )
    files = {"markdown": markdown, "latex": latex, "csv": csv, "figure": figure}
    paths: dict[str, Any] = {name: Path(path) for name, path in files.items() if path is not None}
    with reserve_documents(**paths, overwrite=overwrite) as write:
        write(sections)


@contextmanager
def reserve_documents(
    *,
    markdown: Path | None = None,
    latex: Path | None = None,
    csv: Path | None = None,
    figure: Path | None = None,
    overwrite: bool = False,
) -> Iterator[Write]:
    """Hold these files until the block ends; call what comes back within it to write sections into all of them.

    The figures of all sections are drawn into one file, below each other. Raises ReportError if a file cannot be
    written, or exists and is not one of featx that `overwrite` replaces, and if a figure has nothing to show.
    """
    texts = {"markdown": markdown, "latex": latex, "csv": csv}
    with ExitStack() as held:
        targets = {
            FORMS[name]: held.enter_context(FORMS[name].reserve(path, overwrite=overwrite))
            for name, path in texts.items()
            if path is not None
        }
        drawn = None if figure is None else held.enter_context(reserve_figure(figure, overwrite=overwrite))

        def _write(sections: Sequence[Section]) -> None:
            for form, target in targets.items():
                form.write(target, sections)
            if drawn is not None:
                save_figure([section.figure for section in sections if section.figure], drawn)

        yield _write
