"""The commands that look at labels: label-errors."""

import csv
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING

import click

from featx.cli.options import (
    MAX_SEED,
    Output,
    as_json,
    option,
    print_json,
)
from featx.cli.tables import (
    Choice,
    read_tables,
    with_choice,
)

if TYPE_CHECKING:
    from featx.heads import LabelError


@click.command("label-errors")
@click.argument("caches", nargs=-1, required=True, type=click.Path(path_type=Path))
@with_choice
@click.option("--top", type=click.IntRange(1), metavar="N", help="So many.  [default: all with a score above 0]")
@option("--folds", type=click.IntRange(2), default=5, help="Of the classifiers, each of which sees all but one.")
@option("--seed", type=click.IntRange(0, MAX_SEED), default=0, help="Of the folds.")
@as_json
@click.pass_obj
def label_errors(
    output: Output,
    *,
    caches: tuple[Path, ...],
    choice: Choice,
    top: int | None,
    folds: int,
    seed: int,
    json_: bool,
) -> None:
    """Rank the images of CACHES by how likely their label is wrong; several caches are fused by image name.

    Classifiers that did not see an image, and the images nearest to it, say what it is. Prints CSV: name, label,
    suggested, self_confidence, neighbour_share, score; the score is above 0 where another class is preferred. With
    --top as large as the image set it lists all images: with corrected labels, a file for --annotations.
    """
    from featx.heads import find_label_errors
    from featx.tables import fuse_tables

    table = fuse_tables(read_tables(caches, choice))
    ranked = find_label_errors(table, folds=folds, seed=seed)
    preferred = sum(found.score > 0 for found in ranked)
    shown = ranked[: preferred if top is None else top]
    if json_:
        return print_json({"images": len(ranked), "preferred_other": preferred, "ranking": [*map(asdict, shown)]})
    _write_rows(shown)
    if not output.quiet:
        click.echo(f"featx: {preferred} of {len(ranked)} images look more like another class than their own", err=True)
    return None


def _write_rows(found: "Sequence[LabelError]") -> None:
    from featx.heads import LabelError

    columns = [field.name for field in fields(LabelError)]
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(asdict, found))
