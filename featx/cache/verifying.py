"""Every row of the feature file against its checksum, and what is known of the images against its hash."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.cache.file import (
    PENDING,
    Cache,
    matching,
)
from featx.cache.opening import open_cache
from featx.errors import CacheError

SHOWN = 20
"""Pending rows that are named one by one; more of them are counted."""
OTHER_SET = "names, labels, splits, groups or weights are not those that were written"


def verify_cache(path: Path | str) -> list[str]:
    """What is wrong with the contents of a cache, row by row; empty where it is whole.

    Raises CacheError where the file cannot be opened at all.
    """
    cache = open_cache(Path(path))
    problems = [] if cache.sealed else ["the extraction was not completed"]
    return [*problems, *contents_problems(cache)]


def contents_problems(cache: Cache) -> Iterator[str]:
    """The same, one by one, whether the cache is complete or not."""
    if cache.image_set() != cache.attributes["image_set"]:
        yield OTHER_SET
    if len(pending := np.flatnonzero(cache.read("status") == PENDING)) > SHOWN:
        yield f"{len(pending)} rows are pending, from row {pending[0]} to row {pending[-1]}"
    for rows in cache.blocks():
        problems = row_problems(cache, rows)
        yield from problems if len(pending) <= SHOWN else (one for one in problems if not one.endswith(": pending"))


def row_problems(cache: Cache, rows: slice) -> Iterator[str]:
    """What is wrong with these rows, pending or rotten; each names its row and image."""
    stored = cache.stored(rows)
    for row in np.flatnonzero(~matching(stored)):
        name = bytes(cache.read("images/name", slice(rows.start + row, rows.start + row + 1))[0])
        wrong = "pending" if stored["status"][row] == PENDING else "its bytes do not match their checksum"
        yield f"row {rows.start + row} ({name.decode(errors='replace')}): {wrong}"


def checked_rows(cache: Cache, rows: slice) -> dict[str, NDArray[Any]]:
    """These rows as `Cache.stored` gives them. Raises CacheError, naming the first, where one is pending or rotten."""
    stored = cache.stored(rows)
    if not matching(stored).all():
        raise CacheError(f"{cache.path}: {next(row_problems(cache, rows))}; restore it or extract it again")
    return stored
