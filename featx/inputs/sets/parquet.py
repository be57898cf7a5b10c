"""Lists the images of Parquet files: manifests, and tables with the images' bytes, as Hugging Face writes them."""

import logging
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from featx.csv_columns import choose_path_column, is_path_column, match_case
from featx.errors import ImageSetError, did_you_mean
from featx.inputs.sets.building import MANIFEST_COLUMNS, ColumnsBuilder
from featx.inputs.sets.files import FileSource
from featx.inputs.sets.image_set import ImageSet
from featx.inputs.sets.manifest import ListedPaths, check_columns, choose_label_column
from featx.inputs.sets.parquet_columns import (
    Table,
    find_class_names,
    is_bytes,
    is_one_value,
    is_struct,
    iter_texts,
    open_table,
    readable,
)
from featx.inputs.sets.parquet_source import ParquetSource
from featx.inputs.sets.shards import Shards

logger = logging.getLogger(__name__)

TABLE_COLUMNS = ("split", "group", "domain", "weight")
"""Columns besides the label that are read from a table of images, if it has them."""
LABEL_COLUMNS = ("label", "labels", "class")
"""Columns of a table that may contain the labels of images; the first that exists is used."""


def list_parquet(
    shards: Shards,
    *,
    root: Callable[[], FileSource],
    refuse_root: Callable[[], None],
    label_column: str | None = None,
) -> ImageSet:
    """The image set of these tables: the images whose bytes they contain, else those whose paths they list.

    `root` returns the source for the listed paths; `refuse_root` is called if the tables contain the images themselves.
    Raises ImageSetError.
    """
    tables = tuple(open_table(shards.files, path) for path in shards.paths)
    for table in tables:
        if table.columns != tables[0].columns:
            raise ImageSetError(
                f"{table.path}: has the columns {table.columns[:20]}, but {tables[0].path} has "
                f"{tables[0].columns[:20]}; list them separately"
            )
    if (image := _find_image_column(tables[0])) is not None:
        refuse_root()
        return _list_tables(shards, tables, image=image, label_column=label_column)
    if not any(map(is_path_column, tables[0].columns)):
        raise ImageSetError(
            f"{tables[0].path}: neither a column 'path' nor a column of image bytes among "
            f"{tables[0].columns[:20]}; add one"
        )
    return _read_manifest(shards, tables, source=root(), label_column=label_column)


def _find_image_column(table: Table) -> str | None:
    """The column of image bytes, or None if there is none. Raises ImageSetError if there are several."""
    found = [field.name for field in table.schema if field.name not in MANIFEST_COLUMNS and is_bytes(field.type)]
    if len(found) > 1 and "image" not in found:
        raise ImageSetError(
            f"{table.path}: the image bytes may be in any of the columns {found}; rename one of them to 'image'"
        )
    return "image" if "image" in found else next(iter(found), None)


def _read_manifest(
    shards: Shards, tables: tuple[Table, ...], *, source: FileSource, label_column: str | None
) -> ImageSet:
    where = tables[0].path
    header = match_case(tables[0].columns, MANIFEST_COLUMNS)
    header = choose_path_column(where, header, error_type=ImageSetError)
    header = choose_label_column(where, header, label_column)
    check_columns(where, header)
    wanted = {
        column: name for column, name in zip(header, tables[0].columns, strict=True) if column in MANIFEST_COLUMNS
    }
    builder = ColumnsBuilder(shards.given, root=source.root)
    paths = ListedPaths(where, source)
    for table in tables:
        classes = find_class_names(table, wanted["label"]) if "label" in wanted else None
        for _, chunk in iter_texts(table, wanted, names=classes):
            builder.add({**chunk, "path": paths.to_names(chunk["path"])})
    if not sum(table.metadata.num_rows for table in tables):
        raise ImageSetError(f"{shards.given}: lists no images; add one row per image")
    return ImageSet(**vars(builder.build()), source=source, ignored=shards.ignored)


def _list_tables(shards: Shards, tables: tuple[Table, ...], *, image: str, label_column: str | None) -> ImageSet:
    """The image set with one image per row of the tables, named FILE/ROW."""
    source = _place_groups(shards, tables, image=image)
    if not source.starts[-1]:
        raise ImageSetError(f"{shards.given}: no images in it, as it has no rows; check the file")
    wanted: dict[str, str] = {name: name for name in TABLE_COLUMNS if name in tables[0].columns}
    if label := _find_label_column(tables[0], image, label_column):
        wanted["label"] = label
    builder = ColumnsBuilder(shards.given)
    for number, table in enumerate(tables):
        split = shards.splits[number] if shards.splits is not None and "split" not in wanted else None
        for chunk in _iter_named(table, wanted, prefix=shards.name(table.path)):
            builder.add(chunk if split is None else {**chunk, "split": [split] * len(chunk["path"])})
    return ImageSet(**vars(builder.build()), source=source, ignored=shards.ignored)


def _iter_named(table: Table, wanted: Mapping[str, str], *, prefix: str) -> Iterator[dict[str, list[str]]]:
    """Chunks of the wanted columns, and the names of the rows as `path`."""
    classes = find_class_names(table, wanted["label"]) if "label" in wanted else None
    first = 0
    for rows, chunk in iter_texts(table, wanted, names=classes):
        yield {**chunk, "path": [f"{prefix}/{row}" for row in range(first, first + rows)]}
        first += rows


def _find_label_column(table: Table, image: str, asked: str | None) -> str | None:
    """The column of labels: the one that was asked for, one with a usual name, or one of class labels; else None.

    Columns that may have labels and are not used are logged. Raises ImageSetError if the one asked for cannot be used.
    """
    if asked is not None:
        return _check_label_column(table, asked)
    for column in LABEL_COLUMNS:
        if column in table.columns and not is_one_value(table.schema.field(column).type):
            logger.warning("%s: column %r is not used, as it has more than one label per image", table.path, column)
        elif column in table.columns:
            return column
    return _find_class_labels(table, image)


def _find_class_labels(table: Table, image: str) -> str | None:
    """The column of class labels with the most classes; None if there is none."""
    others = [column for column in table.columns if column != image and column not in MANIFEST_COLUMNS]
    kinds = {column: table.schema.field(column).type for column in others}
    others = [column for column, kind in kinds.items() if is_one_value(kind) and not is_bytes(kind)]
    sizes = {column: len(names) for column in others if (names := find_class_names(table, column))}
    if not sizes:
        if others:
            logger.warning(
                "%s: no column is called 'label', so that images have no labels; --label-column names one of %s",
                table.path,
                others[:20],
            )
        return None
    finest = max(sizes, key=lambda column: sizes[column])
    more = [column for column in sizes if column != finest]
    instead = f"; --label-column chooses another: {', '.join(more)}" if more else ""
    logger.warning("%s: the labels are those of column %r (%d classes)%s", table.path, finest, sizes[finest], instead)
    return finest


def _check_label_column(table: Table, column: str) -> str:
    if column not in table.columns:
        raise ImageSetError(
            f"{table.path}: no column {column!r} of labels{did_you_mean(column, table.columns)}; choose from "
            f"{table.columns[:20]}"
        )
    if not is_one_value(kind := table.schema.field(column).type):
        raise ImageSetError(
            f"{table.path}: column {column!r} has values of type {kind}, not one text or number per image; choose "
            "another"
        )
    return column


def _place_groups(shards: Shards, tables: tuple[Table, ...], *, image: str) -> ParquetSource:
    """The source that reads the images by row groups. Raises ImageSetError if a file is damaged."""
    column = f"{image}.bytes" if is_struct(tables[0].schema.field(image).type) else image
    rows = [0]
    places = []
    for position, table in enumerate(tables):
        with readable(table.path):
            for number in range(table.metadata.num_row_groups):
                group = table.metadata.row_group(number)
                rows.append(group.num_rows)
                places.append((position, number))
    return ParquetSource(
        tuple(table.container for table in tables),
        shards.files.remote,
        column,
        np.cumsum(rows, dtype=np.int64),
        *np.array(places, np.int32).reshape(-1, 2).T.copy(),
    )
