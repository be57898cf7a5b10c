"""Caches and annotations named on the command line in; tables out."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from featx.cache import FeatureTable


def read_tables(
    caches: Sequence[Path],
    outputs: Sequence[str],
    *,
    annotations: Path | None,
    split: str | None,
    labels: Sequence[str],
) -> "list[FeatureTable]":
    """The tables of these caches, with what the annotations say of their images; of this split and these classes alone.

    Chosen splits are not splits to train and test by any more. Raises CacheError, TableError.
    """
    from dataclasses import replace

    from featx.annotations import annotate, read_annotations
    from featx.fusion import choose_rows, read_outputs

    if annotations is None:
        tables = read_outputs(caches, outputs, split=split, labels=labels)
    else:
        said = read_annotations(annotations)
        annotated = [annotate(table, said) for table in read_outputs(caches, outputs)]
        tables = [choose_rows(table, split=split, labels=labels) for table in annotated]
    return [replace(table, splits=None) for table in tables] if split else tables
