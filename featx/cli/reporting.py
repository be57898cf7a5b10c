"""The command `report`: one page, offline, of everything that was measured."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featx.cli.documents import DocumentPlan, with_documents, with_overwrite
from featx.cli.options import as_json, examples, with_label_column, with_root, with_seed
from featx.cli.output import Verbosity, print_json, say
from featx.cli.tables import with_annotations

if TYPE_CHECKING:
    from featx.report import Page


@click.command(
    epilog=examples(
        "featx report results.jsonl photos.h5 --into report.html",
        "featx report photos.featx photos.h5 --images photos --into report.html",
        "featx report study --into report.html --figure figures.pdf",
    )
)
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RESULTS|DIR|H.featx...")
@click.option(
    "--into", required=True, type=click.Path(path_type=Path), metavar="REPORT.html", help="The file of the page."
)
@click.option(
    "--images",
    metavar="IMAGES",
    help="The images that thumbnails are made of: a folder, a manifest, tars, ...  [default: no pictures]",
)
@with_root
@with_label_column
@with_annotations
@click.option("--title", metavar="TEXT", help="The title of the page.  [default: the names of the inputs]")
@with_documents
@with_overwrite
@with_seed
@as_json
@click.pass_obj
def report(
    output: Verbosity,
    *,
    inputs: tuple[Path, ...],
    into: Path,
    images: str | None,
    root: str | None,
    label_column: str | None,
    annotations: Path | None,
    title: str | None,
    documents: DocumentPlan,
    overwrite: bool,
    seed: int,
    json_: bool,
) -> None:
    """Make one HTML page of results, which opens offline.

    Inputs, in any number: results (R.jsonl), folders of suites or of the demo, heads (H.featx), caches (C.h5), and what
    commands print with --json (.json). Each adds its part: the page begins with the answer and the caveats, and says
    which command would add what it lacks. With a head and the cache of its training it shows what the head predicts
    for images that it has not seen; with --images it shows these images.
    """
    from featx.inputs import list_images
    from featx.report import reserve_page, write_report

    if images is None and (root or label_column):
        raise click.UsageError("--root and --label-column are for a manifest; name it with --images.")
    with reserve_page(into, overwrite=overwrite) as target:
        write = documents.reserve(overwrite=overwrite)
        shown = (
            list_images(images, root=root, label_column=label_column) if images and (root or label_column) else images
        )
        page = write_report(inputs, target, images=shown, annotations=annotations, title=title or "", seed=seed)
        write(page.sections)
    if json_:
        return print_json({"path": str(into), **_describe(page), **documents.to_dict()})
    if not output.quiet:
        say(page.sentence)
        documents.announce(silent=False)
        say(f"{into}: written, {into.stat().st_size / 1000:,.0f} kB, {len(page.sections)} sections")
    return None


def _describe(page: "Page") -> dict[str, Any]:
    """The page as plain JSON values, with the names of pictures in place of the pictures."""
    return {
        "title": page.title,
        "sentence": page.sentence,
        "sections": [
            {
                "name": section.name,
                "title": section.title,
                "sentence": section.sentence,
                "columns": section.columns,
                "rows": section.rows,
                "figure": None if section.figure is None else type(section.figure).__name__.lower(),
                "pictures": [picture.name for picture in section.pictures],
                "missing_pictures": sum(picture.thumbnail is None for picture in section.pictures),
                "notes": section.notes,
            }
            for section in page.sections
        ],
    }
