"""The command `predict`."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from featx.cli.options import as_json, examples, with_max_failed, with_models, with_root, with_settings
from featx.cli.output import judge_failures, print_json, print_row
from featx.cli.sources import list_given
from featx.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from featx.deploy import Prediction
    from featx.heads import Head


@click.command(
    epilog=examples(
        "featx predict photos.featx new > predictions.csv",
        "featx predict photos.featx new/star.png new/circle.png",
        "featx predict photos.featx photos.h5 --json",
    )
)
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
    """Classify IMAGES with the saved HEAD.

    IMAGES is anything that `featx extract` takes, such as folders and image files, or caches of the head's own
    backbones. Prints CSV with the columns name, label, probability and failed.
    """
    from featx.heads import load_head

    rows = _predict(load_head(head), images, root=root, models=models, settings=settings)
    if json_:
        predictions = [asdict(row) for row in rows]
        print_json(predictions)
        failures = [row["failed"] is not None for row in predictions]
    else:
        failures = [_write_row(row, first=number == 0) for number, row in enumerate(rows)]
    return judge_failures(sum(failures), len(failures), max_failed)


def _predict(
    head: "Head", images: Sequence[str], *, root: str | None, models: Path | None, settings: Settings
) -> "Iterator[Prediction]":
    from featx.deploy import predict_images, predict_tables
    from featx.tables import read_tables

    caches = [Path(image) for image in images if _names_cache(image)]
    if len(caches) < len(images):
        return predict_images(head, list_given(images, root), models=models, settings=settings)
    if root or models:
        raise click.UsageError(f"--root and --models are options for images, but {images[0]} is a cache.")
    return predict_tables(head, read_tables(caches, sources=head.sources))


def _names_cache(image: str) -> bool:
    """Whether an argument names a cache: a file .h5 that is one or does not exist, neither an array nor an address."""
    from featx.cache import is_cache

    path = Path(image)
    return path.suffix == ".h5" and "://" not in image and (not path.is_file() or is_cache(path))


def _write_row(row: "Prediction", *, first: bool) -> bool:
    """Print one line of CSV, with the header above the first, and return whether the image failed."""
    columns = asdict(row)
    if first:
        print_row(columns)
    print_row(columns.values())
    return row.failed is not None
