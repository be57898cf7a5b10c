"""The command `evaluate`."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from featx.cli.options import as_json, examples, with_chosen_rows, with_seed
from featx.cli.output import logger, print_json
from featx.cli.tables import with_annotations

if TYPE_CHECKING:
    from featx.cache import FeatureTable
    from featx.heads import Head
    from featx.tables import RowIndices

Rows = Literal["unseen", "all"]
CACHE_ENDINGS = (".h5", ".hdf5")


@click.command(
    epilog=examples(
        "featx evaluate photos.featx other-photos.h5",
        "featx evaluate photos.featx photos.h5 --split test --json",
    )
)
@click.argument("head", type=click.Path(path_type=Path))
@click.argument("caches", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--rows",
    type=click.Choice(["unseen", "all"]),
    help="Of images that the head was trained with: unseen measures on its test images only, all on all of them.  "
    "[default: unseen, unless --split or --label chooses]",
)
@with_chosen_rows
@with_annotations
@with_seed
@as_json
def evaluate(
    *,
    head: Path,
    caches: tuple[Path, ...],
    rows: Rows | None,
    split: str | None,
    labels: tuple[str, ...],
    annotations: Path | None,
    seed: int,
    json_: bool,
) -> None:
    """Measure the saved HEAD on the labelled images of CACHES.

    If these are the images that the head was trained with, only its test images are measured, which it has not seen.
    Images that it has seen make it look better than it is.
    """
    from featx.heads import evaluate_head, load_head
    from featx.report import metrics_sections, out, print_sections
    from featx.tables import fuse_tables, read_annotations, read_tables

    _check_order(head, caches)
    fitted = load_head(head)
    joined = None if annotations is None else read_annotations(annotations)
    read = partial(read_tables, caches, sources=fitted.sources, annotations=joined)
    table = fuse_tables(read(split=split, labels=labels))
    whole = fuse_tables(read()) if split or labels else table
    unseen = None if rows == "all" or split or labels else _find_unseen(fitted, table)
    if unseen is None and _was_trained_on(fitted, table, whole):
        logger.warning(
            "%s was trained on most of these images (or on images of the same names), so these measures are too high; "
            "`featx train` printed its accuracy on test images",
            head,
        )
    if _is_of_source(fitted, whole):
        logger.warning(
            "%s was adapted to another domain than that of these images, its source, and may be wrong here", head
        )
    metrics = evaluate_head(fitted, table, rows=unseen, seed=seed)
    return print_json(asdict(metrics)) if json_ else print_sections(metrics_sections(metrics), to=out())


def _check_order(head: Path, caches: tuple[Path, ...]) -> None:
    """Raise click's UsageError if a cache stands where the head should, and a head where a cache should."""
    if head.suffix in CACHE_ENDINGS and head.is_file():
        heads = [path for path in caches if path.suffix not in CACHE_ENDINGS]
        after = f"featx evaluate {heads[0]} {head}" if heads else f"featx evaluate HEAD {head}"
        raise click.UsageError(f"{head} is a cache, but the head comes first: {after}")


def _find_unseen(head: "Head", table: "FeatureTable") -> "RowIndices | None":
    """The test rows of the head, which a line on standard error counts; None if they are not known."""
    from featx.heads import find_unseen

    rows = find_unseen(head, table)
    if rows is not None:
        logger.warning(
            "measured on the %d test images that the head did not see, of %d; --rows all measures all",
            len(rows),
            len(table),
        )
    return rows


def _was_trained_on(head: "Head", table: "FeatureTable", whole: "FeatureTable") -> bool:
    """Whether the head was trained on these images, or on some of them, and they are not its test images."""
    from featx.hashing import hash_columns

    tested = hash_columns([table.names[table.labelled]]) == head.training.get("test")
    if head.training.get("split_key") == "official" and table.splits is not None:
        tested = tested or bool((table.splits == b"test").all())
    return not tested and head.training.get("images") in [hash_columns([one.names]) for one in (table, whole)]


def _is_of_source(head: "Head", table: "FeatureTable") -> bool:
    """Whether the head was adapted from these images to another domain."""
    from featx.hashing import hash_columns

    adaptation = head.training.get("adaptation")
    source = adaptation.get("source") if isinstance(adaptation, dict) else None
    return isinstance(source, dict) and source.get("images") == hash_columns([table.names])
