"""Columns of Parquet files as the texts that an image set is built from."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from featx.columns import CHUNK
from featx.errors import ImageSetError
from featx.inputs.sets.containers import Container, open_container
from featx.inputs.sets.files import Files


def import_parquet(path: str) -> Any:
    """The module pyarrow.parquet. Raises ImageSetError where it is not installed."""
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise ImageSetError(f"{path}: reading Parquet needs pyarrow; pip install 'featx[parquet]'") from error
    return parquet


@dataclass(frozen=True)
class Table:
    """What is known of one Parquet file before its rows are read."""

    container: Container
    metadata: Any
    """pyarrow.parquet.FileMetaData."""
    schema: Any
    """pyarrow.Schema."""

    @property
    def path(self) -> str:
        """Where the file lies."""
        return self.container.path

    @property
    def columns(self) -> list[str]:
        """Names of its columns."""
        return list(self.schema.names)


@contextmanager
def readable(path: str) -> Iterator[None]:
    """Turns whatever the block raises into ImageSetError naming the file."""
    try:
        yield
    except ImageSetError:
        raise
    except Exception as error:
        # pyarrow raises a tree of its own, OSError, ValueError, TypeError and MemoryError on damaged files
        cause = " ".join(str(error).split()) or type(error).__name__
        raise ImageSetError(f"{path}: not a readable Parquet file ({cause}); write it anew") from error


def open_table(files: Files, path: str) -> Table:
    """The metadata of the file. Raises ImageSetError where it is no Parquet file."""
    parquet = import_parquet(path)
    container = open_container(files, path)
    with readable(path), files.open(path) as file:
        opened = parquet.ParquetFile(file)
        table = Table(container, opened.metadata, opened.schema_arrow)
        _check_rows(table)
    return table


def _check_rows(table: Table) -> None:
    """Every place in the metadata that tells of a number of rows tells the same: damage seldom changes them alike."""
    metadata = table.metadata
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    told = [group.num_rows for group in groups]
    if min(told, default=0) < 0 or sum(told) != metadata.num_rows:
        raise ImageSetError(f"{table.path}: damaged: its row groups have {sum(told)} rows, but it {metadata.num_rows}")


def find_class_names(table: Table, column: str) -> tuple[str, ...] | None:
    """Names of the classes that the column numbers, as Hugging Face keeps them beside the schema; None without."""
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
    """Chunks of rows: how many, and these columns as texts, an image set's word -> the table's column; nulls are empty.

    Labels that are numbers of classes with these names become the names, -1 none. Raises ImageSetError.
    """
    rows = 0
    for batch in _iter_batches(table, list(wanted.values())):
        texts = {word: _texts(table.path, batch.column(column), column=column) for word, column in wanted.items()}
        if names is not None:
            texts["label"] = [_name_class(table.path, text, names=names) for text in texts["label"]]
        rows += batch.num_rows
        yield batch.num_rows, texts
    if rows != table.metadata.num_rows:
        raise ImageSetError(f"{table.path}: damaged: {rows} of its {table.metadata.num_rows} rows are there")


def _iter_batches(table: Table, columns: list[str]) -> Iterator[Any]:
    parquet = import_parquet(table.path)
    with readable(table.path), table.container.files.open(table.path) as file:
        yield from parquet.ParquetFile(file, metadata=table.metadata).iter_batches(CHUNK, columns=columns)


def is_one_value(kind: Any) -> bool:
    """Whether values of this type are a text or a number."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return is_one_value(kind.value_type)
    return _is_text(kind) or any(
        judge(kind)
        for judge in (types.is_integer, types.is_floating, types.is_decimal, types.is_boolean, types.is_null)
    )


def is_bytes(kind: Any) -> bool:
    """Whether values of this type are bytes, or a struct with a field of bytes called `bytes`."""
    from pyarrow import types

    if types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and is_bytes(kind.field("bytes").type)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _is_text(kind: Any) -> bool:
    """Texts, also those that an older writer did not mark as more than bytes."""
    from pyarrow import types

    return any(judge(kind) for judge in (types.is_string, types.is_large_string, types.is_string_view, types.is_binary))


def _texts(path: str, values: Any, *, column: str) -> list[str]:
    from pyarrow import types

    if types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if not is_one_value(values.type):
        raise ImageSetError(f"{path}: column {column!r} holds {values.type}; it must hold texts or numbers")
    with readable(path):
        return list(map(_text, values.to_pylist()))


def _text(value: Any) -> str:
    if value is None or value != value:  # noqa: PLR0124 - NaN, by which pandas says that there is none
        return ""
    if isinstance(value, bytes):
        return value.decode()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _name_class(path: str, text: str, *, names: Sequence[str]) -> str:
    number = int(text or -1) if text.removeprefix("-").isdecimal() or not text else len(names)
    if not -1 <= number < len(names):
        raise ImageSetError(f"{path}: label {text!r} is none of its {len(names)} classes; write the table anew")
    return names[number] if number >= 0 else ""
