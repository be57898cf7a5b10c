"""Reads columns of Parquet files as texts, to build the columns of an image set from them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from featx.columns import CHUNK, to_text
from featx.errors import ImageSetError, one_line
from featx.inputs.sets.containers import Container, is_refused, open_container
from featx.inputs.sets.files import Files


def import_parquet(path: str) -> Any:
    """The module pyarrow.parquet. Raises ImageSetError if it is not installed."""
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise ImageSetError(f"{path}: reading Parquet needs pyarrow; pip install 'featx[parquet]'") from error
    return parquet


@dataclass(frozen=True)
class Table:
    """The metadata of one Parquet file."""

    container: Container
    metadata: Any
    """pyarrow.parquet.FileMetaData."""
    schema: Any
    """pyarrow.Schema."""

    @property
    def path(self) -> str:
        """Path of the file."""
        return self.container.path

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self.schema.names)


@contextmanager
def readable(path: str) -> Iterator[None]:
    """Turns any exception inside the block into ImageSetError naming the file."""
    try:
        yield
    except ImageSetError:
        raise
    except Exception as error:  # pyarrow raises its own types, OSError, ValueError, TypeError, MemoryError on damage
        if is_refused(error):
            raise ImageSetError(f"{path}: cannot be read ({one_line(error)}); check it") from error
        raise ImageSetError(f"{path}: not a readable Parquet file ({one_line(error)}); write it again") from error


def open_table(files: Files, path: str) -> Table:
    """The metadata of the file. Raises ImageSetError if it is not a Parquet file."""
    parquet = import_parquet(path)
    container = open_container(files, path)
    with readable(path), files.open(path) as file:
        opened = parquet.ParquetFile(file)
        table = Table(container, opened.metadata, opened.schema_arrow)
        _check_rows(table)
    return table


def _check_rows(table: Table) -> None:
    """Raise ImageSetError unless the row groups have as many rows as the file: damage seldom changes both equally."""
    metadata = table.metadata
    counts = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    if min(counts, default=0) < 0 or sum(counts) != metadata.num_rows:
        raise ImageSetError(
            f"{table.path}: damaged: its row groups have {sum(counts)} rows, but the file has {metadata.num_rows}; "
            "write it again"
        )


def find_class_names(table: Table, column: str) -> tuple[str, ...] | None:
    """Names of the classes of a column of class numbers, from Hugging Face's metadata; None if there are none."""
    kept = (table.schema.metadata or {}).get(b"huggingface")
    try:
        feature = json.loads(kept)["info"]["features"][column] if kept else {}
        names = feature.get("names") if feature.get("_type") == "ClassLabel" else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return tuple(map(str, names)) if isinstance(names, list) else None


def iter_texts(
    table: Table, wanted: Mapping[str, str], *, names: Sequence[str] | None
) -> Iterator[tuple[int, dict[str, list[str]]]]:
    """Chunks of rows: the number of rows, and their columns as texts; nulls are empty texts.

    `wanted` maps columns of the image set to columns of the table. If `names` of classes are given, labels are class
    numbers, which become names; -1 is no label. Raises ImageSetError.
    """
    rows = 0
    for batch in _iter_batches(table, list(wanted.values())):
        texts = {key: _texts(table.path, batch.column(column), column=column) for key, column in wanted.items()}
        if names is not None:
            texts["label"] = [_name_class(table.path, text, names=names) for text in texts["label"]]
        rows += batch.num_rows
        yield batch.num_rows, texts
    if rows != table.metadata.num_rows:
        raise ImageSetError(
            f"{table.path}: damaged: has only {rows} of its {table.metadata.num_rows} rows; write it again"
        )


def _iter_batches(table: Table, columns: list[str]) -> Iterator[Any]:
    parquet = import_parquet(table.path)
    with readable(table.path), table.container.files.open(table.path) as file:
        yield from parquet.ParquetFile(file, metadata=table.metadata).iter_batches(CHUNK, columns=columns)


def is_one_value(kind: Any) -> bool:
    """Whether a value of this type is one text or one number."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return is_one_value(kind.value_type)
    return _is_text(kind) or any(
        is_kind(kind)
        for is_kind in (types.is_integer, types.is_floating, types.is_decimal, types.is_boolean, types.is_null)
    )


def is_bytes(kind: Any) -> bool:
    """Whether values of this type are bytes, in whichever type writers use for them.

    Besides the types of bytes, these are dictionaries of bytes, lists of uint8, structs with a field `bytes`, as
    Hugging Face has them, and lists of such structs.
    """
    from pyarrow import types

    if is_struct(kind):
        return is_bytes(kind.field("bytes").type)
    if types.is_dictionary(kind):
        return is_bytes(kind.value_type)
    if is_list(kind):
        return bool(types.is_uint8(kind.value_type)) or (is_struct(kind.value_type) and is_bytes(kind.value_type))
    checks = (types.is_binary, types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary)
    return any(is_kind(kind) for is_kind in checks)


def is_struct(kind: Any) -> bool:
    """Whether this is a type of structs with a field `bytes`."""
    from pyarrow import types

    return bool(types.is_struct(kind) and kind.get_field_index("bytes") >= 0)


def is_list(kind: Any) -> bool:
    """Whether this is a type of lists, of any kind."""
    from pyarrow import types

    return any(is_kind(kind) for is_kind in (types.is_list, types.is_large_list, types.is_fixed_size_list))


def _is_text(kind: Any) -> bool:
    """Whether a value of this type is a text, or bytes, which older writers used for texts."""
    from pyarrow import types

    texts = (types.is_string, types.is_large_string, types.is_string_view)
    written_as_bytes = (types.is_binary, types.is_large_binary, types.is_binary_view)
    return any(is_kind(kind) for is_kind in (*texts, *written_as_bytes))


def _texts(path: str, values: Any, *, column: str) -> list[str]:
    from pyarrow import types

    if types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if not is_one_value(values.type):
        raise ImageSetError(
            f"{path}: column {column!r} has values of type {values.type}; they must be texts or numbers"
        )
    with readable(path):
        return list(map(to_text, values.to_pylist()))


def _name_class(path: str, text: str, *, names: Sequence[str]) -> str:
    """The name of the class with this number; "" for no label."""
    if not text:
        return ""
    number = int(text) if text.removeprefix("-").isdecimal() else len(names)
    if not -1 <= number < len(names):
        raise ImageSetError(f"{path}: label {text!r} is not a number of one of its {len(names)} classes; correct it")
    return names[number] if number >= 0 else ""
