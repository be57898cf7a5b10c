"""Exports a complete cache for other programs: to .npy with a .csv, or to Parquet, block by block."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from filecmp import cmp
from pathlib import Path

from featx.cache.creating import creating
from featx.cache.file import Cache
from featx.cache.npy import has_header, is_exported_npy, is_lines_of, write_npy
from featx.cache.parquet import check_pyarrow, is_exported_parquet, write_parquet
from featx.cache.reading import choose_cached_images, choose_outputs, open_complete
from featx.cache.selection import Selection
from featx.errors import CacheError, CacheLockedError
from featx.settings import EXPORTED_VIEWS, ExportedViews
from featx.targets import Kind, Target, follow, identify, reserve


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
    views: tuple[str, ...]
    """Names of the views that were written or averaged."""
    view_rule: ExportedViews
    left_out_views: int
    """Number of views in the cache that the export has nothing of."""


def export_cache(
    path: Path | str,
    *,
    into: Path | str,
    outputs: Sequence[str] = (),
    split: str | None = None,
    labels: Sequence[str] = (),
    views: ExportedViews = "first",
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
        views: what to write of a cache with several views of each image: `first` is view 0, as in read_features; `mean`
            the mean feature over views, as float32; `all` the features of each view, as an array (n, views, sum of
            dimensions) or as a list of lists.
        overwrite: whether to replace files of an older export.

    Raises CacheError, and leaves no file, if the cache is not complete or damaged, if `views` asks for several and it
    has one, if `into` exists, or if the disk is full.

    >>> import featx, numpy
    >>> export = featx.export_cache("photos.h5", into="circles.npy", labels=["circle"])
    >>> export.files, export.rows
    (('circles.npy', 'circles.csv'), 12)
    >>> numpy.load("circles.npy").shape
    (12, 1280)
    """
    into = Path(into)
    _check_format(into)
    with reserve(into, _kind(into), overwrite=overwrite) as target:
        targets = [target, *_lines_beside(into, target)]
        cache = open_complete(Path(path))
        chosen = choose_cached_images(cache, split=split, labels=labels)
        _check_views(cache, views)
        selection = Selection(cache, choose_outputs(cache, outputs), chosen.rows, views)
        if not selection.count:
            raise CacheError(f"{path}: none of these images has a feature; `featx cache info` says why")
        _write(selection, targets)
    files = [into, into.with_suffix(".csv")][: len(targets)]
    return Export(
        cache=str(path),
        files=tuple(map(str, files)),
        rows=selection.count,
        left_out=selection.left_out,
        outputs=selection.dims,
        dtype=str(selection.dtype),
        bytes=sum(file.stat().st_size for file in files),
        views=selection.views,
        view_rule=views,
        left_out_views=len(cache.views) - len(selection.views),
    )


def _check_views(cache: Cache, views: ExportedViews) -> None:
    """Raise CacheError unless the cache has what `views` asks for."""
    if views not in EXPORTED_VIEWS:
        raise CacheError(f"views {views!r} is not known; choose from {', '.join(EXPORTED_VIEWS)}")
    if views != "first" and len(cache.views) == 1:
        raise CacheError(
            f"{cache.path}: has one view of each image, so views {views} cannot be exported; leave --views out, or "
            "extract with --views symmetries or another list of views"
        )


def _write(selection: Selection, targets: Sequence[Target]) -> None:
    """Write all files under other names, then give them theirs, the first one last: once it exists, all do."""
    with ExitStack() as stack:
        fresh = [stack.enter_context(creating(target)) for target in reversed(targets)][::-1]
        if len(fresh) == 1:
            write_parquet(selection, fresh[0])
        else:
            write_npy(selection, matrix=fresh[0], lines=fresh[1])
            _check_lines(targets[1], fresh[1])
        for written, target in reversed([*zip(fresh, targets, strict=True)]):
            target.publish(written)


def _check_format(into: Path) -> None:
    """Raise CacheError if the file cannot be written in the format of its ending."""
    if into.suffix not in (".npy", ".parquet"):
        raise CacheError(f"{into}: its ending is not of a known format; end it in .npy or .parquet")
    if into.suffix == ".parquet":
        check_pyarrow(into)


def _kind(file: Path, *, is_own: Callable[[Path], bool] | None = None) -> Kind:
    """The kind of an exported file: a matrix of features, or Parquet with our metadata."""
    return Kind(
        name="an export of a cache",
        endings=(file.suffix,),
        is_own=is_own or (is_exported_parquet if file.suffix == ".parquet" else is_exported_npy),
        error=CacheError,
        locked=CacheLockedError,
        writing="writing this export",
    )


def _lines_beside(into: Path, matrix: Target) -> list[Target]:
    """The .csv that belongs to the matrix `into`, if it is one; only that of an older such matrix is replaced."""
    if into.suffix != ".npy":
        return []
    beside = into.with_suffix(".csv")
    kind = _kind(beside, is_own=lambda path: is_lines_of(path, matrix.path))
    place = follow(beside, kind)
    lines = Target(place, kind, matrix.overwrite, matrix.lock, identify(place))
    # what has such a header may be of an export that was killed: _check_lines looks at it when the new one is written
    if not (matrix.overwrite and has_header(place)):
        lines.check()
    return [lines]


def _check_lines(lines: Target, fresh: Path) -> None:
    """Raise CacheError if a .csv exists that is not of an older matrix, unless it has the same content as the new one.

    An export that was killed before it gave the matrix its name leaves such a .csv.
    """
    if not (lines.path.is_file() and cmp(lines.path, fresh, shallow=False)):
        lines.check()
