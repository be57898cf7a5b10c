"""Exports a complete cache for other programs: to .npy with a .csv, or to Parquet, block by block."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from featx.cache.creating import creating
from featx.cache.disk import sync_folder
from featx.cache.locking import lock_cache
from featx.cache.npy import is_exported_npy, write_npy
from featx.cache.parquet import check_pyarrow, is_exported_parquet, write_parquet
from featx.cache.reading import choose_cached_images, choose_outputs, open_complete
from featx.cache.selection import Selection
from featx.errors import CacheError

FIRST_LINE = b"name,label"
"""First bytes of an exported .csv: no other .csv is overwritten."""


@dataclass(frozen=True)
class Export:
    """What an export wrote."""

    cache: str
    files: tuple[str, ...]
    rows: int
    left_out: int
    """Number of chosen images without a feature, which have no row."""
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
    """Write the features of a complete cache to files for other programs; returns what was written.

    Rows are those of the images with a feature, in the image set's order, as they are stored, each checked against its
    checksum.

    Args:
        path: the cache.
        into: ends in .npy, for a matrix (n, sum of dimensions) and a .csv of the same name with one line for each row;
            or in .parquet, for a table with one column of lists for each output.
        outputs: the outputs to export, as in read_features.
        split: the split to export; None for all images.
        labels: the classes to export; empty for all.
        overwrite: whether to replace files of an older export.

    Raises CacheError, and leaves no file, if the cache is not complete or damaged, `into` exists, or the disk is full.

    >>> import featx, numpy
    >>> export = featx.export_cache("photos.h5", into="circles.npy", labels=["circle"])
    >>> export.files, export.rows
    (('circles.npy', 'circles.csv'), 12)
    >>> numpy.load("circles.npy").shape
    (12, 1280)
    """
    into = Path(into)
    files = _targets(into, overwrite=overwrite)
    cache = open_complete(Path(path))
    chosen = choose_cached_images(cache, split=split, labels=labels)
    selection = Selection(cache, choose_outputs(cache, outputs), chosen.rows)
    if not selection.count:
        raise CacheError(f"{path}: none of these images has a feature; `featx cache info` says why")
    with lock_cache(into):
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
    """Write all files under other names, then rename them, the first one last: once it exists, all do."""
    with ExitStack() as stack:
        fresh = [stack.enter_context(creating(file)) for file in reversed(files)][::-1]
        if len(fresh) == 1:
            write_parquet(selection, fresh[0])
        else:
            write_npy(selection, matrix=fresh[0], lines=fresh[1])
        for written, file in reversed([*zip(fresh, files, strict=True)]):
            os.replace(written, file)
        sync_folder(files[0].parent)


def _targets(into: Path, *, overwrite: bool) -> list[Path]:
    """The files to write. Raises CacheError if one of them cannot be written or must not be replaced."""
    if into.suffix not in (".npy", ".parquet"):
        raise CacheError(f"{into}: its ending is not of a known format; end it in .npy or .parquet")
    if into.suffix == ".parquet":
        check_pyarrow(into)
    files = [into, into.with_suffix(".csv")] if into.suffix == ".npy" else [into]
    for file in filter(Path.exists, files):
        if not file.is_file() or not _is_export(file):
            raise CacheError(
                f"{file}: already exists and is not an export of a cache; choose another --into, or move it away"
            )
        if not overwrite:
            raise CacheError(f"{file}: already exists; choose another --into, or replace it with --overwrite")
    return files


def _is_export(file: Path) -> bool:
    """Whether an export wrote this file: a matrix of features, its .csv, or Parquet with our metadata."""
    if file.suffix == ".parquet":
        return is_exported_parquet(file)
    if file.suffix == ".npy":
        return is_exported_npy(file)
    with file.open("rb") as opened:
        return opened.read(len(FIRST_LINE)) == FIRST_LINE
