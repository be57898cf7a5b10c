"""The tables that the options of a command choose from caches and annotations."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from featx.cli.options import option, together, with_chosen_rows, with_outputs
from featx.settings import ViewRule

if TYPE_CHECKING:
    from featx.cache import FeatureTable


@dataclass(frozen=True)
class TableChoice:
    """What a command reads from its caches."""

    outputs: tuple[str, ...]
    split: str | None
    labels: tuple[str, ...]
    annotations: Path | None
    views: ViewRule = "first"


with_annotations = click.option(
    "--annotations",
    type=click.Path(path_type=Path),
    metavar="FILE.csv",
    help="CSV with `name` and any of label, split, group, domain, weight, share:CLASS, has:CLASS, in place of those in "
    "the cache.",
)
with_choice = together(TableChoice, "choice", with_outputs, with_chosen_rows, with_annotations)
with_choice_and_views = together(
    TableChoice,
    "choice",
    with_outputs,
    with_chosen_rows,
    with_annotations,
    option(
        "--views",
        type=click.Choice(["first", "mean"]),
        default="first",
        help="Of caches with several views of each image: view 0 alone, or their mean feature.",
    ),
)


def read_chosen(caches: Sequence[Path], choice: TableChoice) -> "list[FeatureTable]":
    """The tables of these caches, with the annotations joined to their images and only the chosen rows.

    If a split is chosen, its images lose that split and are split again. Raises CacheError, TableError.
    """
    from featx.tables import read_annotations, read_tables

    annotations = None if choice.annotations is None else read_annotations(choice.annotations)
    tables = read_tables(
        caches,
        outputs=choice.outputs,
        annotations=annotations,
        split=choice.split,
        labels=choice.labels,
        views=choice.views,
    )
    return [replace(table, splits=None) for table in tables] if choice.split else tables
