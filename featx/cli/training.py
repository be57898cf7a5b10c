"""The commands `train` and `evaluate`."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from featx.cli.options import (
    as_json,
    examples,
    option,
    with_balanced,
    with_chosen_rows,
    with_seed,
    with_tuning,
)
from featx.cli.output import Verbosity, logger, print_json
from featx.cli.tables import TableChoice, read_chosen, with_annotations, with_choice
from featx.cli.types import Name
from featx.settings import FUSION_NAMES, HEAD_NAMES

if TYPE_CHECKING:
    from featx.cache import FeatureTable
    from featx.heads import Head

HELD_OUT = ("auto", "official", "stratified", "grouped", "blocks")
"""The split rules that give a single split."""


@click.command(
    epilog=examples(
        "featx train photos.h5 --head logreg --into photos.featx",
        "featx train photos.h5 --head pca-svm --tuning folds:10 --into svm.featx",
    )
)
@click.argument("caches", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--head", required=True, type=Name(HEAD_NAMES), help=f"The head: {', '.join(HEAD_NAMES)}.")
@click.option(
    "--fusion",
    default="",
    type=Name(FUSION_NAMES),
    help=f"How caches and outputs are joined: {', '.join(FUSION_NAMES)}.",
)
@option("--hold-out", type=click.Choice(HELD_OUT), default="auto", help="How the test images are chosen.")
@with_tuning
@with_balanced
@click.option("--into", required=True, type=click.Path(path_type=Path), metavar="H.featx", help="The head to write.")
@with_choice
@with_seed
@click.option(
    "--jobs", type=click.IntRange(1), metavar="N", help="Processes that tune at the same time.  [default: one per core]"
)
@as_json
@click.pass_obj
def train(
    output: Verbosity,
    *,
    caches: tuple[Path, ...],
    head: str,
    fusion: str,
    hold_out: str,
    tuning: str,
    balanced: bool,
    choice: TableChoice,
    into: Path,
    seed: int,
    jobs: int | None,
    json_: bool,
) -> None:
    """Tune, fit and measure a head on CACHES.

    Tuning and fitting never see the test images. These are the test images of the image set's own split; without a
    split they are a random quarter, in whole groups if there are groups. Several caches of the same images are fused by
    image name. A cache with several outputs gives the one that its card calls the feature, unless --output names
    others.
    """
    from featx.heads import check_target, find_recipe, save_head, train_head
    from featx.report import out, print_results
    from featx.tables import find_duplicates, fuse_tables, make_splits

    find_recipe(head)
    check_target(into)
    table = fuse_tables(read_chosen(caches, choice))
    split = make_splits(table, hold_out, seed=seed)[0]
    fitted, result = train_head(
        table, head, fusion=fusion, split=split, tuning=tuning, balanced=balanced, seed=seed, jobs=jobs
    )
    save_head(fitted, into)
    duplicates = find_duplicates(table, split)
    if json_:
        print_json(result.to_dict() | {"duplicates": asdict(duplicates), "into": str(into)})
    elif not output.quiet:
        print_results([result], to=out())
        click.echo(f"- {duplicates.text}")
        click.echo(f"{into}: saved")


@click.command(
    epilog=examples(
        "featx evaluate photos.featx other-photos.h5",
        "featx evaluate photos.featx photos.h5 --split test --json",
    )
)
@click.argument("head", type=click.Path(path_type=Path))
@click.argument("caches", nargs=-1, required=True, type=click.Path(path_type=Path))
@with_chosen_rows
@with_annotations
@with_seed
@as_json
def evaluate(
    *,
    head: Path,
    caches: tuple[Path, ...],
    split: str | None,
    labels: tuple[str, ...],
    annotations: Path | None,
    seed: int,
    json_: bool,
) -> None:
    """Measure the saved HEAD on the labelled images of CACHES.

    Use images that the head was not trained on: others make it look better than it is.
    """
    from featx.heads import evaluate_head, load_head
    from featx.report import out, print_metrics
    from featx.tables import (
        fuse_tables,
        read_annotations,
        read_tables,
    )

    fitted = load_head(head)
    joined = None if annotations is None else read_annotations(annotations)
    read = partial(read_tables, caches, sources=fitted.sources, annotations=joined)
    table = fuse_tables(read(split=split, labels=labels))
    whole = fuse_tables(read()) if split or labels else table
    if _was_trained_on(fitted, table, whole):
        logger.warning(
            "%s was trained on most of these images (or on images of the same names), so these measures are too high; "
            "`featx train` printed its accuracy on test images",
            head,
        )
    metrics = evaluate_head(fitted, table, seed=seed)
    return print_json(asdict(metrics)) if json_ else print_metrics(metrics, to=out())


def _was_trained_on(head: "Head", table: "FeatureTable", whole: "FeatureTable") -> bool:
    """Whether the head was trained on these images, or on some of them, and they are not its test images."""
    from featx.hashing import hash_columns

    tested = hash_columns([table.names[table.labelled]]) == head.training.get("test")
    if head.training.get("split_key") == "official" and table.splits is not None:
        tested = tested or bool((table.splits == b"test").all())
    return not tested and head.training.get("images") in [hash_columns([one.names]) for one in (table, whole)]
