"""Writes rows of texts and numbers into a Parquet file, a group of rows at a time, so that memory stays bounded."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from featx.cache.parquet import check_pyarrow

VALUES_IN_GROUP = 1 << 19
"""About this many values are in memory at a time, some 50 MB, and in one row group, which readers load as a whole."""


class ParquetRows:
    """An open Parquet file to which rows are appended; leaving its block writes the last ones and closes it.

    `columns` maps the name of each column to `str` or `float`; any value may be None. `kind` is a key of the metadata
    by which `is_parquet_of` knows such files. Raises CacheError if pyarrow is not installed.

    >>> from featx.cache import ParquetRows, is_parquet_of
    >>> with ParquetRows(Path("rows.parquet"), {"name": str, "score": float}, kind="scores") as rows:
    ...     rows.write(("a.png", 0.5))
    >>> is_parquet_of(Path("rows.parquet"), "scores"), is_parquet_of(Path("rows.parquet"), "other")
    (True, False)
    """

    def __init__(self, path: Path, columns: Mapping[str, type[str] | type[float]], *, kind: str) -> None:
        check_pyarrow(path)
        import pyarrow as pa
        from pyarrow import parquet

        types = {str: pa.string(), float: pa.float64()}
        fields = [(name, types[column]) for name, column in columns.items()]
        self._schema = pa.schema(fields, metadata={kind: "1"})
        self._writer = parquet.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[Sequence[Any]] = []

    def write(self, row: Sequence[Any]) -> None:
        """Append a row with one value for each column. Raises OSError."""
        self._rows.append(row)
        if len(self._rows) * len(self._schema) >= VALUES_IN_GROUP:
            self._write_group()

    def __enter__(self) -> "ParquetRows":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the last rows unless something failed, and close the file. Raises OSError."""
        with self._writer:
            if kind is None and self._rows:
                self._write_group()

    def _write_group(self) -> None:
        import pyarrow as pa

        columns = [list(values) for values in zip(*self._rows, strict=True)]
        self._rows.clear()
        arrays = [pa.array(values, field.type) for values, field in zip(columns, self._schema, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))


def is_parquet_of(path: Path, kind: str) -> bool:
    """Whether the metadata of the file says that `ParquetRows` wrote it with this kind."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return kind.encode() in (parquet.read_schema(path).metadata or {})
    except (OSError, pa.ArrowException):
        return False
