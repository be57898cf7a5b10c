"""A complete cache out as other programs want it: .npy with a .csv beside it, or Parquet; block by block."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from featx.cache.creating import creating
from featx.cache.disk import sync_folder
from featx.cache.locking import locked
from featx.cache.npy import is_exported_npy, write_npy
from featx.cache.parquet import (
    check_pyarrow,
    is_exported_parquet,
    write_parquet,
)
from featx.cache.reading import (
    choose_outputs,
    choose_rows,
    open_complete,
)
from featx.cache.selection import Selection
from featx.errors import CacheError

FIRST_LINE = b"name,label"
"""By which the lines of an earlier export are known: no other file is given up."""


@dataclass(frozen=True)
class Export:
    """What was written where."""

    cache: str
    files: tuple[str, ...]
    rows: int
    left_out: int
    """Images that are meant but have no feature, and so no row."""
    outputs: dict[str, int]
    dtype: str
    bytes: int


def export_cache(
    path: Path | str,
    *,
    into: Path | str,
    outputs: Sequence[str] = (),
    split: str | None = None,
    labels: Sequence[str] = (),
    overwrite: bool = False,
) -> Export:
    """What was written of a complete cache: its images that have a feature, in the image set's order, as stored.

    `into` ends in .npy, for a matrix (n, sum of dimensions) with a .csv beside it that has a line a row, or in
    .parquet, for a column of lists an output. Outputs, split and labels choose as in read_features. Every row is
    checked against its checksum on the way. Raises CacheError, and leaves nothing behind, where the cache is not whole,
    `into` is there and `overwrite` is not given, or the disk is full.
    """
    into = Path(into)
    files = _targets(into, overwrite=overwrite)
    cache = open_complete(Path(path))
    selection = Selection(cache, choose_outputs(cache, outputs), choose_rows(cache, split=split, labels=labels))
    if not selection.count:
        raise CacheError(f"{path}: none of these images has a feature; `featx cache info` tells why")
    with locked(into):
        _write(selection, files)
    return Export(
        cache=str(path),
        files=tuple(map(str, files)),
        rows=selection.count,
        left_out=selection.left_out,
        outputs=selection.dims,
        dtype=cache.storage,
        bytes=sum(file.stat().st_size for file in files),
    )


def _write(selection: Selection, files: Sequence[Path]) -> None:
    """Make all files under other names, then give them their own: the first is there only when all are."""
    with ExitStack() as stack:
        fresh = [stack.enter_context(creating(file)) for file in reversed(files)][::-1]
        if len(fresh) == 1:
            write_parquet(selection, fresh[0])
        else:
            write_npy(selection, matrix=fresh[0], lines=fresh[1])
        for made, file in reversed([*zip(fresh, files, strict=True)]):
            os.replace(made, file)
        sync_folder(files[0].parent)


def _targets(into: Path, *, overwrite: bool) -> list[Path]:
    """The files to write. Raises CacheError where one of them may not be."""
    if into.suffix not in (".npy", ".parquet"):
        raise CacheError(f"{into}: its ending tells no format; end it in .npy or .parquet")
    if into.suffix == ".parquet":
        check_pyarrow(into)
    files = [into, into.with_suffix(".csv")] if into.suffix == ".npy" else [into]
    for file in filter(Path.exists, files):
        if not file.is_file() or not _is_export(file):
            raise CacheError(f"{file}: is there and is no export of a cache; choose another --into, or move it away")
        if not overwrite:
            raise CacheError(f"{file}: is there; choose another --into, or give it up with --overwrite")
    return files


def _is_export(file: Path) -> bool:
    """Whether the file is one that an export wrote: features, their lines, or Parquet that says so."""
    if file.suffix == ".parquet":
        return is_exported_parquet(file)
    if file.suffix == ".npy":
        return is_exported_npy(file)
    with file.open("rb") as opened:
        return opened.read(len(FIRST_LINE)) == FIRST_LINE
