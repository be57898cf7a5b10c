"""The tables that the options of a command choose from caches and annotations."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from featx.cli.options import together, with_chosen_rows, with_outputs

if TYPE_CHECKING:
    from featx.cache import FeatureTable


@dataclass(frozen=True)
class TableChoice:
    """What a command reads from its caches."""

    outputs: tuple[str, ...]
    split: str | None
    labels: tuple[str, ...]
    annotations: Path | None


with_annotations = click.option(
    "--annotations",
    type=click.Path(path_type=Path),
    metavar="FILE.csv",
    help="CSV with `name` and any of label, split, group, weight, share:CLASS, has:CLASS, in place of the cache's own.",
)
with_choice = together(TableChoice, "choice", with_outputs, with_chosen_rows, with_annotations)


def read_chosen(caches: Sequence[Path], choice: TableChoice) -> "list[FeatureTable]":
    """The tables of these caches, with the annotations joined to their images and only the chosen rows.

    If a split is chosen, its images are split anew. Raises CacheError, TableError.
    """
    from featx.tables import read_outputs

    read = functools.partial(read_outputs, caches, choice.outputs)
    tables = read_annotated(read, choice.annotations, split=choice.split, labels=choice.labels)
    return [replace(table, splits=None) for table in tables] if choice.split else tables


def read_annotated(
    read: "Callable[..., list[FeatureTable]]",
    annotations: Path | None,
    *,
    split: str | None = None,
    labels: Sequence[str] = (),
) -> "list[FeatureTable]":
    """The tables that `read` gives, of this split and these classes, which annotations may redefine.

    Raises TableError.
    """
    from featx.tables import annotate, choose_rows, read_annotations

    if annotations is None:
        return read(split=split, labels=labels)
    joined = read_annotations(annotations)
    return [choose_rows(annotate(table, joined), split=split, labels=labels) for table in read()]
