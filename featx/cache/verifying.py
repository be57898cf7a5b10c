"""Verifies a cache: every row against its checksum, and the image columns against their hash."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.cache.checking import value_problems
from featx.cache.file import PENDING, Cache, matching
from featx.cache.opening import open_cache
from featx.errors import CacheError

PENDING_NAMED = 20
"""If more rows than this are pending, they are counted instead of named."""
COLUMNS_CHANGED = "names, labels, splits, groups, domains or weights were changed after they were written"


def verify_cache(path: Path | str) -> list[str]:
    """The problems found in a cache, row by row; an empty list if there are none.

    Raises CacheError if the file cannot be opened at all.

    >>> import featx
    >>> featx.verify_cache("photos.h5")
    []
    """
    cache = open_cache(Path(path))
    problems = [] if cache.sealed else ["the extraction was not completed"]
    return [*problems, *contents_problems(cache)]


def contents_problems(cache: Cache) -> Iterator[str]:
    """Yields the problems in the contents of a cache, complete or not."""
    if cache.columns_changed():
        yield COLUMNS_CHANGED
    yield from value_problems(cache)
    pending = np.flatnonzero(cache.read("status") == PENDING)
    if len(pending) > PENDING_NAMED:
        yield f"{len(pending)} rows are pending, from row {pending[0]} to row {pending[-1]}"
    for rows in cache.blocks():
        for problem in row_problems(cache, rows):
            if len(pending) <= PENDING_NAMED or not problem.endswith(": pending"):
                yield problem


def row_problems(cache: Cache, rows: slice) -> Iterator[str]:
    """Yields a problem, with row and image, for each of these rows that is pending or damaged."""
    stored = cache.stored(rows)
    intact, finite = matching(stored), cache.finite(stored)
    for row in np.flatnonzero(~(intact & finite)):
        name = bytes(cache.read("images/name", slice(rows.start + row, rows.start + row + 1))[0])
        wrong = "pending" if stored["status"][row] == PENDING else "its bytes do not match their checksum"
        wrong = "done, but its features are NaN or infinite" if intact[row] else wrong
        yield f"row {rows.start + row} ({name.decode(errors='replace')}): {wrong}"


def checked_rows(cache: Cache, rows: slice) -> dict[str, NDArray[Any]]:
    """These rows as `Cache.stored` returns them. Raises CacheError, naming the first row that is pending or damaged."""
    stored = cache.stored(rows)
    if not (matching(stored) & cache.finite(stored)).all():
        raise CacheError(f"{cache.path}: {next(row_problems(cache, rows))}; restore it or extract it again")
    return stored
