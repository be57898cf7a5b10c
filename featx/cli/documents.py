"""The files for papers and spreadsheets that several commands write beside what they print."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from featx.cli.options import together
from featx.cli.output import say

if TYPE_CHECKING:
    from featx.report import Section


@dataclass(frozen=True)
class DocumentPlan:
    """The files that are asked for; those that are not are None."""

    markdown: Path | None
    latex: Path | None
    csv: Path | None
    figure: Path | None

    def reserve(self, *, overwrite: bool) -> "Callable[[Sequence[Section]], None]":
        """Hold the files until the command ends; what comes back writes sections into them.

        Raises ReportError if a file cannot be written, or exists and may not be replaced.
        """
        from featx.report import reserve_documents

        held = reserve_documents(**vars(self), overwrite=overwrite)
        return click.get_current_context().with_resource(held)

    def announce(self, *, silent: bool) -> None:
        """Print the files that were written, unless the command is silent."""
        for name, path in vars(self).items():
            if path is not None and not silent:
                say(f"{path}: {'drawn' if name == 'figure' else 'written'}")

    def to_dict(self) -> dict[str, str | None]:
        """Option -> the file, or None, as JSON documents have it."""
        return {name: path and str(path) for name, path in vars(self).items()}


def _path(name: str, *, metavar: str, says: str) -> "Callable[[Callable[..., object]], Callable[..., object]]":
    return click.option(name, type=click.Path(path_type=Path), metavar=metavar, help=says)


with_documents = together(
    DocumentPlan,
    "documents",
    _path("--markdown", metavar="FILE.md", says="Also write the tables as Markdown."),
    _path("--latex", metavar="FILE.tex", says="Also write the tables for a paper, with captions and labels."),
    _path("--csv", metavar="FILE.csv", says="Also write the tables as one CSV table."),
    _path("--figure", metavar="FILE", says="Also draw what the tables show, as .svg, .pdf or .png."),
)
with_overwrite = click.option("--overwrite", is_flag=True, help="Replace files of featx that exist.")
