"""Writes a Parquet file with a column of fixed-size lists for each output, for DuckDB, Polars and other readers."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from featx.cache.describing import describe_provenance
from featx.cache.selection import IMAGE_COLUMNS, Block, Selection
from featx.errors import CacheError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet

GROUP_BYTES = 2**25
"""About this many bytes of features are in one row group, which readers load as a whole."""


def check_pyarrow(path: Path) -> None:
    """Raise CacheError if pyarrow is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise CacheError(
            f"{path}: writing Parquet needs pyarrow; pip install 'featx[parquet]', or choose .npy"
        ) from error


def write_parquet(selection: Selection, path: Path) -> None:
    """Write the file and sync it to disk. Raises OSError, and CacheError if a row is damaged."""
    from pyarrow import parquet

    schema = _schema(selection)
    features = set(column_names(selection).values())
    texts = [name for name in schema.names if name not in features]
    with path.open("wb") as file:
        with parquet.ParquetWriter(
            file,
            schema,
            compression={name: "zstd" if name in texts else "none" for name in schema.names},
            use_dictionary=[name for name in texts if name not in ("name", "weight")],
            write_statistics=texts,
        ) as writer:
            gathered: list[pa.RecordBatch] = []
            for block in selection.blocks():
                gathered.append(_batch(block, selection, schema))
                if sum(batch.nbytes for batch in gathered) >= GROUP_BYTES:
                    _write_group(writer, gathered)
            _write_group(writer, gathered)
        file.flush()
        os.fsync(file.fileno())


def column_names(selection: Selection) -> dict[str, str]:
    """Output -> its column: `features` if there is only one output, else the output's own name."""
    if len(selection.outputs) == 1:
        return {selection.outputs[0]: "features"}
    return {name: f"{name}_output" if name in IMAGE_COLUMNS else name for name in selection.outputs}


def _schema(selection: Selection) -> "pa.Schema":
    import pyarrow as pa

    types = {"weight": pa.float32()}
    names = ("name", "label", *(name for name in selection.known if name not in ("name", "label")))
    fields = [pa.field(name, types.get(name, pa.string()), nullable=name != "name") for name in names]
    fields += [
        pa.field(column, _list_of_features(selection, name), nullable=False)
        for name, column in column_names(selection).items()
    ]
    return pa.schema(fields, metadata={"featx": json.dumps(_metadata(selection))})


def _list_of_features(selection: Selection, output: str) -> "pa.DataType":
    """The type of the features of an image: a list of its numbers, or a list of one such list for each view."""
    import pyarrow as pa

    number = pa.field("element", pa.from_numpy_dtype(selection.dtype), nullable=False)
    features = pa.list_(number, selection.dims[output])
    if selection.view_rule != "all":
        return features
    return pa.list_(pa.field("element", features, nullable=False), len(selection.views))


def _metadata(selection: Selection) -> Mapping[str, Any]:
    about = {"card": selection.cache.card, "provenance": describe_provenance(selection.cache)}
    if len(selection.cache.views) == 1:
        return about
    return about | {"views": selection.views, "view_rule": selection.view_rule}


def _write_group(writer: "parquet.ParquetWriter", gathered: "list[pa.RecordBatch]") -> None:
    """Write these batches as one row group, and empty the list."""
    import pyarrow as pa

    if gathered:
        table = pa.Table.from_batches(gathered)
        gathered.clear()
        writer.write_table(table, row_group_size=len(table))


def _batch(block: Block, selection: Selection, schema: "pa.Schema") -> "pa.RecordBatch":
    import pyarrow as pa

    known: dict[str, Any] = {"name": block.texts("name"), "label": block.classes(selection.cache.classes)}
    for name in set(selection.known) - set(known):
        known[name] = block.columns["weight"] if name == "weight" else [text or None for text in block.texts(name)]
    arrays = {name: pa.array(values, schema.field(name).type) for name, values in known.items()}
    for column, values in zip(column_names(selection).values(), block.features, strict=True):
        arrays[column] = _as_lists(pa.array(np.ascontiguousarray(values).reshape(-1)), schema.field(column).type)
    return pa.record_batch([arrays[name] for name in schema.names], schema=schema)


def _as_lists(flat: "pa.Array", kind: "pa.FixedSizeListType") -> "pa.Array":
    """These numbers as lists of this type, which may be lists of lists."""
    import pyarrow as pa

    nested = pa.types.is_fixed_size_list(kind.value_type)
    return pa.FixedSizeListArray.from_arrays(_as_lists(flat, kind.value_type) if nested else flat, type=kind)


def is_exported_parquet(file: Path) -> bool:
    """Whether the metadata of the file says that an export wrote it."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return b"featx" in (parquet.read_schema(file).metadata or {})
    except (OSError, pa.ArrowException):
        return False
