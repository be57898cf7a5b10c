"""Keeps the rows of a Parquet file that were read last: a whole row group may be larger than the memory."""

import errno
from collections import deque
from collections.abc import Callable, Iterator
from threading import Lock
from typing import Any

WINDOW_BYTES = 1 << 27
"""About the most bytes of one row group that are kept in memory."""
BATCH_BYTES = 1 << 28
"""Most bytes of the rows that are read at once. One row may have as many bytes as its row group, in which a value that
occurs several times is stored once."""
MOST_ROWS = 1024
"""Most rows that are read at once."""


def rows_at_once(group_bytes: int) -> int:
    """Number of rows of a row group of this size that can be read at once."""
    return min(MOST_ROWS, max(1, BATCH_BYTES // max(1, group_bytes)))


class GroupWindow:
    """Values of a column of one row group, read from its first row on; called from several threads.

    A row before those that are kept is found by reading from the first row again. `batches` starts to read, and `retry`
    says whether what failed may succeed later.
    """

    def __init__(self, batches: Callable[[], Iterator[Any]], *, retry: bool) -> None:
        self._start = batches
        self._retry = retry
        self._lock = Lock()
        self._batches: Iterator[Any] | None = None
        self._kept: deque[tuple[int, Any]] = deque()
        """First row and values of each batch."""
        self._end = 0
        """Row after the last one that was read."""
        self._bytes = 0
        self._error: Exception | None = None

    def value(self, row: int) -> Any:
        """The value in this row of the row group. Raises what reading raises, and OSError if there is no such row."""
        with self._lock:
            if self._batches is None or (self._kept and row < self._kept[0][0]):
                self._restart()
            while row >= self._end:
                self._advance()
            start, values = next(kept for kept in reversed(self._kept) if row >= kept[0])
            return values[row - start]

    def _restart(self) -> None:
        self._batches = self._start()
        self._kept.clear()
        self._end = self._bytes = 0
        self._error = None

    def _advance(self) -> None:
        """Read the next rows, and forget the first ones if too many bytes are kept."""
        if self._error:
            raise self._error.with_traceback(None)
        assert self._batches is not None
        try:
            values = next(self._batches, None)
            if values is None:
                raise OSError(errno.EIO, "the row group does not have the rows that its metadata says")
        except Exception as error:  # of any type: every later row of the row group fails with the same error
            self._error = error
            if self._retry:
                self._batches = None
            raise
        self._kept.append((self._end, values))
        self._end += len(values)
        self._bytes += values.nbytes
        while self._bytes > WINDOW_BYTES and len(self._kept) > 1:
            self._bytes -= self._kept.popleft()[1].nbytes
