"""Reads images whose bytes are in a column of Parquet files, some rows of a row group at a time."""

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from featx.errors import one_line
from featx.inputs.sets.containers import Container
from featx.inputs.sets.memo import Memo
from featx.inputs.sets.parquet_columns import import_parquet, is_list, is_struct
from featx.inputs.sets.parquet_window import GroupWindow, rows_at_once

GROUPS_KEPT = 2
PIECE_BYTES = 1 << 20
"""Bytes of a file that are read at once."""
TABLES_KEPT = 4

_T = TypeVar("_T")


@dataclass(frozen=True)
class ParquetSource:
    """Images in a column of bytes. Of two row groups, the rows that were read last are kept in memory."""

    tables: tuple[Container, ...]
    remote: bool
    column: str
    """Path of the column of bytes in the file; the field of a struct follows after a dot."""
    starts: NDArray[np.int64]
    """First row of each row group, counted over all tables, then the number of all rows."""
    table: NDArray[np.int32]
    """Position in `tables` of each row group."""
    group: NDArray[np.int32]
    """Position of each row group in its table."""
    first: int = 0
    """Row of the tables that is row 0 of this source."""
    _groups: Memo[int, GroupWindow] = field(default_factory=lambda: Memo(GROUPS_KEPT), repr=False, compare=False)
    _metadata: Memo[int, Any] = field(default_factory=lambda: Memo(TABLES_KEPT), repr=False, compare=False)
    sized: ClassVar[bool] = False

    def stat(self, row: int, name: str) -> tuple[int, int]:
        """Size and modification time of the file with the image: the image's own size is known only once it is read."""
        container = self.tables[self.table[self._find_group(row)]]
        return container.size, container.changed

    def read(self, row: int, name: str) -> bytes:
        """The bytes in this row."""
        number = self._find_group(row)
        window = self._groups.get(number, lambda: GroupWindow(lambda: self._iter_values(number), retry=self.remote))
        value = _or_os_error(lambda: _bytes_of(window.value(self.first + row - int(self.starts[number]))))
        if value is None:
            raise FileNotFoundError(errno.ENOENT, "no bytes in this row", name)
        return value

    def part(self, rows: slice) -> "ParquetSource":
        """The source of these rows."""
        return replace(self, first=self.first + rows.indices(int(self.starts[-1]))[0])

    def _find_group(self, row: int) -> int:
        return int(np.searchsorted(self.starts, self.first + row, side="right")) - 1

    def _iter_values(self, number: int) -> Iterator[Any]:
        """Yields the column of bytes of one row group, some rows at a time."""
        position = int(self.table[number])
        group = int(self.group[number])
        container = self.tables[position]
        container.check()
        parquet = import_parquet(container.path)
        with container.files.open(container.path) as file:
            metadata = self._metadata.get(position, lambda: parquet.read_metadata(file))
            opened = parquet.ParquetFile(
                file, metadata=metadata, page_checksum_verification=True, buffer_size=PIECE_BYTES
            )
            rows = rows_at_once(metadata.row_group(group).total_byte_size)
            batches = opened.iter_batches(rows, row_groups=[group], columns=[self.column], use_threads=False)
            for batch in batches:
                container.check()
                yield batch.column(0)


def _bytes_of(value: Any) -> bytes | None:
    """The bytes of an image in one value of a column, whichever of the types of is_bytes it has; None if it is null.

    Raises OSError if the value is a list of several images.
    """
    if not value.is_valid:
        return None
    if is_list(value.type) and is_struct(value.type.value_type):
        if len(value) > 1:
            raise OSError(errno.EINVAL, f"{len(value)} images in this row, of which one cannot be chosen")
        return _bytes_of(value.values[0]) if len(value) else None
    if is_struct(value.type):
        return _bytes_of(value["bytes"])
    if is_list(value.type):
        return bytes(np.asarray(value.values, np.uint8))
    found = value.as_py()
    return None if found is None else bytes(found)


def _or_os_error(read: Callable[[], _T]) -> _T:
    """What `read` returns; its errors become OSError."""
    try:
        return read()
    except (OSError, MemoryError):
        raise
    except Exception as error:  # pyarrow raises its own types, ValueError and TypeError on damaged bytes
        raise OSError(errno.EIO, one_line(error)) from error
