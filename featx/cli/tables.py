"""Which rows of which caches are meant, as the options say it; tables out."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from featx.cli.options import with_chosen_rows, with_outputs

if TYPE_CHECKING:
    from featx.cache import FeatureTable


@dataclass(frozen=True)
class Choice:
    """What is to be read of caches."""

    outputs: tuple[str, ...]
    split: str | None
    labels: tuple[str, ...]
    annotations: Path | None


def with_choice(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what is read of caches; they reach the command as one Choice."""

    @functools.wraps(command)
    def _gather(*args: Any, **given: Any) -> Any:
        choice = Choice(**{field.name: given.pop(field.name) for field in fields(Choice)})
        return command(*args, choice=choice, **given)

    return with_outputs(with_chosen_rows(with_annotations(_gather)))


def with_annotations(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option `--annotations`."""
    help_ = "CSV of `name` and any of label, split, group, weight, share:CLASS, has:CLASS, instead of the cache's own."
    path = click.Path(path_type=Path)
    return click.option("--annotations", type=path, metavar="FILE.csv", help=help_)(command)


def read_tables(caches: Sequence[Path], choice: Choice) -> "list[FeatureTable]":
    """The tables of these caches, with what the annotations say of their images; of this split and these classes alone.

    A chosen split is none to train and test by any more. Raises CacheError, TableError.
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
    """What `read` gives of this split and these classes, which annotations may say anew. Raises TableError."""
    from featx.tables import annotate, choose_rows, read_annotations

    if annotations is None:
        return read(split=split, labels=labels)
    said = read_annotations(annotations)
    return [choose_rows(annotate(table, said), split=split, labels=labels) for table in read()]
