"""The commands from the cache on: train, evaluate, predict, demo."""

import csv
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from featx.cli.options import (
    FUSION_NAMES,
    HEAD_NAMES,
    MAX_SEED,
    Output,
    as_json,
    judge_failures,
    list_given,
    logger,
    one_source,
    option,
    print_json,
    with_balanced,
    with_chosen_rows,
    with_max_failed,
    with_models,
    with_root,
    with_settings,
    with_tuning_folds,
)
from featx.cli.tables import (
    Choice,
    read_annotated,
    read_tables,
    with_annotations,
    with_choice,
)
from featx.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from featx.cache import FeatureTable
    from featx.deploy import Prediction
    from featx.heads import Head

HELD_OUT = ("auto", "official", "stratified", "grouped", "blocks")
NEXT = """
{folder} holds the cache, the five heads, results.jsonl and report.md.
The same on a folder of your own, with one sub-folder a class:

  featx extract FOLDER --backbone efficientnet-lite0 --into my.h5
  featx train my.h5 --head logreg --into my.featx
  featx predict my.featx NEW_IMAGES > predictions.csv
"""


@click.command()
@click.argument("caches", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--head", required=True, metavar="NAME", help=f"{HEAD_NAMES}.")
@click.option("--fusion", default="", metavar="NAME", help=f"{FUSION_NAMES}.")
@option("--hold-out", type=click.Choice(HELD_OUT), default="auto", help="How test images are chosen.")
@with_tuning_folds
@with_balanced
@click.option("--into", required=True, type=click.Path(path_type=Path), metavar="H.featx", help="The head to make.")
@with_choice
@option("--seed", type=click.IntRange(0, MAX_SEED), default=0, help="Of the split, the folds and the head.")
@click.option("--jobs", type=click.IntRange(1), help="Processes that share the tuning.  [default: one a core]")
@as_json
@click.pass_obj
def train(
    output: Output,
    *,
    caches: tuple[Path, ...],
    head: str,
    fusion: str,
    hold_out: str,
    tuning_folds: int | None,
    balanced: bool,
    choice: Choice,
    into: Path,
    seed: int,
    jobs: int | None,
    json_: bool,
) -> None:
    """Tune and fit a head on CACHES, fused by image name where there are several, and measure it on held-out images.

    Of a cache with several outputs its feature is taken, or those that --output names. Held out are the test images of
    the image set's own split where it has one, else a quarter, in whole groups where there are any.
    """
    from featx.heads import (
        check_target,
        find_recipe,
        save_head,
        train_head,
    )
    from featx.report import out, print_results
    from featx.tables import find_duplicates, fuse_tables, make_splits

    find_recipe(head)
    check_target(into)
    table = fuse_tables(read_tables(caches, choice))
    chosen = make_splits(table, hold_out, seed=seed)[0]
    fitted, result = train_head(
        table, head, fusion=fusion, split=chosen, folds=tuning_folds, balanced=balanced, seed=seed, jobs=jobs
    )
    save_head(fitted, into)
    duplicates = find_duplicates(table, chosen)
    if json_:
        print_json(result.to_dict() | {"duplicates": asdict(duplicates), "into": str(into)})
    elif not output.quiet:
        print_results([result], to=out())
        click.echo(f"- {duplicates.text}")
        click.echo(f"{into}: saved")


@click.command()
@click.argument("head", type=click.Path(path_type=Path))
@click.argument("caches", nargs=-1, required=True, type=click.Path(path_type=Path))
@with_chosen_rows
@with_annotations
@option("--seed", type=click.IntRange(0, MAX_SEED), default=0, help="Of the bootstrap.")
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
    """Measure the saved HEAD on all labelled images of CACHES, or on those that --split and --label choose.

    Images that the head was trained on flatter it: give it others.
    """
    from featx.deploy import read_tables as read_for_head
    from featx.heads import evaluate_head, load_head
    from featx.report import out, print_metrics
    from featx.tables import fuse_tables

    fitted = load_head(head)
    read = partial(read_for_head, fitted, caches)
    table = fuse_tables(read_annotated(read, annotations, split=split, labels=labels))
    whole = fuse_tables(read_annotated(read, annotations)) if split or labels else table
    if _was_trained_on(fitted, table, whole):
        logger.warning(
            "%s was trained on most of these images, or others of their names, which flatters it; "
            "`featx train` told its accuracy on the others",
            head,
        )
    metrics = evaluate_head(fitted, table, seed=seed)
    return print_json(asdict(metrics)) if json_ else print_metrics(metrics, to=out())


def _was_trained_on(head: "Head", table: "FeatureTable", whole: "FeatureTable") -> bool:
    """Whether these are the images of its training, or some of them, but not those that it was tested on."""
    from featx.hashing import hash_columns

    tested = hash_columns([table.names[table.labelled]]) == head.training.get("test")
    if head.training.get("split_key") == "official" and table.splits is not None:
        tested = tested or bool((table.splits == b"test").all())
    return not tested and head.training.get("images") in [hash_columns([one.names]) for one in (table, whole)]


@click.command()
@click.argument("head", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True)
@with_root
@with_models
@with_settings
@with_max_failed
@as_json
def predict(
    *,
    head: Path,
    images: tuple[str, ...],
    root: str | None,
    models: Path | None,
    settings: Settings,
    max_failed: float,
    json_: bool,
) -> int:
    """Classify IMAGES (whatever `featx extract` takes), or the images of caches, with the saved HEAD.

    Prints CSV: name, label, probability, failed.
    """
    from featx.heads import load_head

    rows = _predict(load_head(head), images, root=root, models=models, settings=settings)
    if json_:
        made = [asdict(row) for row in rows]
        print_json(made)
        failures = [row["failed"] is not None for row in made]
    else:
        failures = [_write_row(row) for row in rows]
    return judge_failures(sum(failures), len(failures), max_failed)


def _predict(
    head: "Head", images: Sequence[str], *, root: str | None, models: Path | None, settings: Settings
) -> "Iterator[Prediction]":
    from featx.cache import is_cache
    from featx.deploy import (
        predict_images,
        predict_tables,
        read_tables,
    )

    caches = [path for path in map(Path, images) if path.suffix == ".h5" and (not path.is_file() or is_cache(path))]
    if len(caches) == len(images):
        if root or models:
            raise click.UsageError(f"--root and --models are of images, but {images[0]} is a cache; leave them out")
        return predict_tables(head, read_tables(head, caches))
    return predict_images(head, list_given(one_source(images), root), models=models, settings=settings)


def _write_row(row: "Prediction") -> bool:
    """Print one line of CSV, the first under its header, and say whether the image failed."""
    columns = asdict(row)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    context = click.get_current_context()
    if not context.meta.setdefault("featx.header", False):
        context.meta["featx.header"] = True
        writer.writerow(columns)
    writer.writerow("" if value is None else value for value in columns.values())
    return row.failed is not None


@click.command()
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    default=Path("featx-demo"),
    show_default=True,
    metavar="DIR",
    help="Where to leave everything.",
)
@with_settings
@as_json
@click.pass_obj
def demo(output: Output, /, *, into: Path, settings: Settings, json_: bool) -> None:
    """The main job on 2,624 real images: features, five heads, a table of accuracies."""
    from featx.demo import run_demo
    from featx.report import (
        err,
        out,
        print_extraction,
        print_results,
        progress_bar,
    )

    say = (lambda text: None) if output.quiet else (lambda text: err().print(text, markup=False))
    with progress_bar(quiet=output.quiet) as report:
        summary = run_demo(into, settings=settings, report=report, announce=say)
    if json_:
        return print_json(asdict(summary))
    if not output.quiet:
        print_extraction(summary.extraction, to=out())
        print_results(summary.results, to=out())
        click.echo(NEXT.format(folder=into))
    return None
