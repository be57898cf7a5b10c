"""What a caller gives where a table is taken: a table, the path of a cache, or several of them to be fused."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from featx.cache import FeatureTable, Source
from featx.errors import TableError
from featx.tables.reading import read_tables

GivenTable: TypeAlias = FeatureTable | Path | str
GivenTables: TypeAlias = GivenTable | Sequence[GivenTable]
"""Tables, or paths of caches, which are read."""


def as_tables(given: GivenTables, *, sources: Sequence[Source] = ()) -> list[FeatureTable]:
    """One table for each that is given; of a path, the table of its cache.

    A cache gives the outputs that are among the `sources`, if these are given, else its card's feature. Raises
    CacheError for a path that is no complete cache, TableError for anything that is neither table nor path.

    >>> from featx.tables import as_tables
    >>> [table.dim for table in as_tables("photos.h5")]
    [1280]
    """
    each = [given] if isinstance(given, FeatureTable | Path | str) or not isinstance(given, Iterable) else list(given)
    for one in each:
        if not isinstance(one, FeatureTable | Path | str):
            raise TableError(f"{type(one).__name__} is no table; give a FeatureTable, or the path of a cache")
    paths = [Path(one) for one in each if not isinstance(one, FeatureTable)]
    read = iter(read_tables(paths, sources=sources) if paths else [])
    return [one if isinstance(one, FeatureTable) else next(read) for one in each]
