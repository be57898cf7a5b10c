"""Parquet files: manifests, and tables that hold the bytes of images as Hugging Face's do."""

import logging
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from featx.errors import ImageSetError
from featx.inputs.sets.building import MANIFEST_COLUMNS, ColumnsBuilder
from featx.inputs.sets.files import FileSource
from featx.inputs.sets.image_set import ImageSet
from featx.inputs.sets.manifest import check_columns
from featx.inputs.sets.parquet_columns import (
    Table,
    find_class_names,
    is_bytes,
    is_one_value,
    iter_texts,
    open_table,
    readable,
)
from featx.inputs.sets.parquet_source import LARGEST_GROUP, ParquetSource
from featx.inputs.sets.shards import Shards

logger = logging.getLogger(__name__)

LABELS = ("label", "labels", "class")
"""Columns that may hold the labels of images in a table: the first that is there does."""


def list_parquet(shards: Shards, *, root: Callable[[], FileSource], refuse_root: Callable[[], None]) -> ImageSet:
    """The images whose bytes these tables hold, or else those whose paths they list. Raises ImageSetError.

    `root` says what paths are relative to; `refuse_root` is called where there are none.
    """
    tables = tuple(open_table(shards.files, path) for path in shards.paths)
    for table in tables:
        if table.columns != tables[0].columns:
            raise ImageSetError(
                f"{table.path}: has the columns {table.columns[:20]}, but {tables[0].path} has "
                f"{tables[0].columns[:20]}; list them apart"
            )
    if (image := _find_image_column(tables[0])) is not None:
        refuse_root()
        return _list_tables(shards, tables, image=image)
    if "path" not in tables[0].columns:
        raise ImageSetError(
            f"{tables[0].path}: neither a column 'path' nor one with bytes of images among "
            f"{tables[0].columns[:20]}; add one"
        )
    return _read_manifest(shards, tables, source=root())


def _find_image_column(table: Table) -> str | None:
    """The column with bytes of images, or None where there is none. Raises ImageSetError where there are several."""
    found = [field.name for field in table.schema if field.name not in MANIFEST_COLUMNS and is_bytes(field.type)]
    if len(found) > 1 and "image" not in found:
        raise ImageSetError(f"{table.path}: bytes of images may be in any of {found}; rename one of them to 'image'")
    return "image" if "image" in found else next(iter(found), None)


def _read_manifest(shards: Shards, tables: tuple[Table, ...], *, source: FileSource) -> ImageSet:
    check_columns(tables[0].path, tables[0].columns)
    wanted = {column: column for column in tables[0].columns if column in MANIFEST_COLUMNS}
    builder = ColumnsBuilder(shards.given)
    for table in tables:
        for _, chunk in iter_texts(table, wanted, names=None):
            builder.add(chunk)
    if not sum(table.metadata.num_rows for table in tables):
        raise ImageSetError(f"{shards.given}: lists no images; add one row an image")
    return ImageSet(**vars(builder.build()), source=source, ignored=shards.ignored)


def _list_tables(shards: Shards, tables: tuple[Table, ...], *, image: str) -> ImageSet:
    """A row of the tables an image, named by its file and its number there."""
    source = _place_groups(shards, tables, image=image)
    if not source.starts[-1]:
        raise ImageSetError(f"{shards.given}: no images in it, as it has no rows; check it")
    wanted = _find_columns(tables[0])
    builder = ColumnsBuilder(shards.given)
    for number, table in enumerate(tables):
        split = shards.splits[number] if shards.splits is not None and "split" not in wanted else None
        for chunk in _iter_named(table, wanted, prefix=shards.name(table.path)):
            builder.add(chunk if split is None else {**chunk, "split": [split] * len(chunk["path"])})
    return ImageSet(**vars(builder.build()), source=source, ignored=shards.ignored)


def _iter_named(table: Table, wanted: Mapping[str, str], *, prefix: str) -> Iterator[dict[str, list[str]]]:
    classes = find_class_names(table, wanted["label"]) if "label" in wanted else None
    first = 0
    for rows, chunk in iter_texts(table, wanted, names=classes):
        yield {**chunk, "path": [f"{prefix}/{row}" for row in range(first, first + rows)]}
        first += rows


def _find_columns(table: Table) -> dict[str, str]:
    """An image set's word -> the column that tells it, besides the images; warns of what cannot."""
    found: dict[str, str] = {word: word for word in ("split", "group", "weight") if word in table.columns}
    for column in reversed(LABELS):
        if column in table.columns and not is_one_value(table.schema.field(column).type):
            logger.warning("%s: column %r is not used, as it holds more than one label an image", table.path, column)
        elif column in table.columns:
            found["label"] = column
    return found


def _place_groups(shards: Shards, tables: tuple[Table, ...], *, image: str) -> ParquetSource:
    """Where the row groups of all tables lie. Raises ImageSetError where one is too large to be read whole."""
    kind = tables[0].schema.field(image).type
    column = f"{image}.bytes" if kind.num_fields else image
    rows, places = [0], []
    for position, table in enumerate(tables):
        with readable(table.path):
            for number in range(table.metadata.num_row_groups):
                group = table.metadata.row_group(number)
                _check_size(table, group.total_byte_size)  # pyarrow can crash when asked for one column's
                rows.append(group.num_rows)
                places.append((position, number))
    return ParquetSource(
        tuple(table.container for table in tables),
        shards.files.remote,
        column,
        np.cumsum(rows, dtype=np.int64),
        *np.array(places, np.int32).reshape(-1, 2).T.copy(),
    )


def _check_size(table: Table, size: int) -> None:
    if size > LARGEST_GROUP:
        raise ImageSetError(
            f"{table.path}: a row group takes {size} bytes of memory, above {LARGEST_GROUP}, and is read whole; write "
            "it anew with smaller ones (row_group_size=1000)"
        )
