"""The command `label-errors`."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from featx.cli.galleries import GalleryPlan, turns_upright, with_gallery
from featx.cli.options import as_json, examples, option, with_seed
from featx.cli.output import Verbosity, print_json, print_row, say
from featx.cli.tables import TableChoice, read_chosen, with_choice_and_views

if TYPE_CHECKING:
    from featx.heads import LabelError


@click.command(
    "label-errors",
    epilog=examples(
        "featx label-errors photos.h5 --top 20",
        "featx label-errors photos.h5 > suspicious.csv",
        "featx label-errors photos.h5 --gallery labels.html --images photos",
    ),
)
@click.argument("caches", nargs=-1, required=True, type=click.Path(path_type=Path))
@with_choice_and_views
@click.option(
    "--top",
    type=click.IntRange(1),
    metavar="N",
    help="Show the N most suspicious images.  [default: all with a score above 0]",
)
@option(
    "--folds",
    type=click.IntRange(2),
    metavar="K",
    default=5,
    help="Folds of cross-validation: no classifier predicts images that it was fitted on.",
)
@with_seed
@with_gallery
@as_json
@click.pass_obj
def label_errors(
    output: Verbosity,
    *,
    caches: tuple[Path, ...],
    choice: TableChoice,
    top: int | None,
    folds: int,
    seed: int,
    gallery: GalleryPlan,
    json_: bool,
) -> None:
    """Rank images by how likely their label is wrong.

    Two things count: the predictions of classifiers that were not fitted on the image, and its nearest neighbours.
    Prints CSV: name, label, suggested, self_confidence, neighbour_share, score. The score is above 0 if another class
    is more likely. To relabel, print all rows (--top as large as the image set), correct them, and pass the file to
    --annotations. Several caches are fused by image name. --gallery shows the listed images, the most suspicious first.
    """
    from featx.heads import find_label_errors
    from featx.report import label_errors_page
    from featx.tables import fuse_tables

    gallery.check()
    with gallery.reserve() as page:
        images = gallery.list_images()
        table = fuse_tables(read_chosen(caches, choice))
        ranked = find_label_errors(table, folds=folds, seed=seed)
        preferred = sum(found.score > 0 for found in ranked)
        shown = ranked[: preferred if top is None else top]
        if page is not None and images is not None:
            make_page = partial(label_errors_page, shown, preferred=preferred, images=len(ranked))
            gallery.write(make_page, images, page, exif=turns_upright(table.sources))
    if json_:
        counts = {"images": len(ranked), "preferred_other": preferred}
        return print_json(counts | {"ranking": [*map(asdict, shown)], "gallery": gallery.path})
    _write_rows(shown)
    if not output.quiet:
        say(f"featx: {preferred} of {len(ranked)} images look more like another class than their own", err=True)
    return None


def _write_rows(found: "Sequence[LabelError]") -> None:
    from featx.heads import LabelError

    print_row(field.name for field in fields(LabelError))
    for row in found:
        print_row(asdict(row).values())
