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

    help_ = "CSV of `name` and any of label, split, group, weight, share:CLASS, has:CLASS, instead of the cache's own."
    path = click.Path(path_type=Path)
    annotated = click.option("--annotations", type=path, metavar="FILE.csv", help=help_)(_gather)
    return with_outputs(with_chosen_rows(annotated))


def read_tables(caches: Sequence[Path], choice: Choice) -> "list[FeatureTable]":
    """The tables of these caches, with what the annotations say of their images; of this split and these classes alone.

    A chosen split is none to train and test by any more. Raises CacheError, TableError.
    """
    from featx.annotations import annotate, read_annotations
    from featx.fusion import choose_rows, read_outputs

    if choice.annotations is None:
        tables = read_outputs(caches, choice.outputs, split=choice.split, labels=choice.labels)
    else:
        said = read_annotations(choice.annotations)
        annotated = [annotate(table, said) for table in read_outputs(caches, choice.outputs)]
        tables = [choose_rows(table, split=choice.split, labels=choice.labels) for table in annotated]
    return [replace(table, splits=None) for table in tables] if choice.split else tables
