"""Complete caches in; one cache that holds their rows, one cache after the other, out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.cache.creating import (
    Provenance,
    creating,
    lay_out,
    provenance_of,
)
from featx.cache.file import (
    BLOCK_ROWS,
    MAKERS,
    Cache,
    StoredColumn,
    blocks,
    partial_path,
)
from featx.cache.locking import check_overwrite, locked
from featx.cache.opening import open_cache
from featx.cache.reading import open_complete
from featx.cache.verifying import checked_rows
from featx.cache.writing import CacheWriter, finish
from featx.columns import (
    NO_LABEL,
    as_texts,
    sort_classes,
)
from featx.errors import CacheError, CacheMismatchError
from featx.hashing import Column

AGAIN = "restore it or extract it again"
STEP = "merge only caches that were made alike"
GIVEN = ("split", "group", "weight")
"""Columns that all caches have, or none: they decide what is held out."""


def merge_caches(sources: Sequence[Path | str], *, into: Path | str, overwrite: bool = False) -> Cache:
    """The complete cache `into` of the images of these complete caches, in this order: shards of a set, or sets apart.

    Every row is copied as it is stored, and checked against its checksum on the way; all shards of an image set, in
    their order, make the cache of the whole. Nothing is written where it raises: CacheMismatchError where they were not
    made alike, CacheError where one is not complete or not whole, an image is in two of them, or `into` is there and
    `overwrite` is not given.
    """
    paths, into = [*map(Path, sources)], Path(into)
    into = into.resolve() if into.is_symlink() else into
    _check_paths(paths, into)
    with locked(into):
        check_overwrite(into, overwrite=overwrite)
        caches = [open_complete(path) for path in paths]
        _check_alike(caches)
        _check_disjoint(caches)
        with creating(into) as fresh:
            started = min(str(cache.attributes.get("started", "")) for cache in caches)
            lay_out(fresh, _join_columns(caches), _join_provenance(caches), started=started)
            _copy(caches, open_cache(fresh))
            made = finish(fresh, into)
        partial_path(into).unlink(missing_ok=True)
        return made


def _check_paths(sources: Sequence[Path], into: Path) -> None:
    if not sources:
        raise CacheError(f"{into}: nothing to merge; name at least one cache")
    target, seen = into.resolve(), set[Path]()
    for path in sources:
        if (place := path.resolve()) == target:
            raise CacheError(f"{path}: is to be merged into itself; choose another --into")
        if place in seen:
            raise CacheError(f"{path}: is named twice; name each cache once")
        seen.add(place)


def _check_alike(caches: Sequence[Cache]) -> None:
    """Raise CacheMismatchError, naming both files and sides, where features or columns are not of one kind."""
    first = caches[0]
    expected = _kind(first)
    for other in caches[1:]:
        for what, found in _kind(other).items():
            if found != expected[what]:
                asked = f"{expected[what]}, as in {first.path},"
                raise CacheMismatchError(other.path, what=what, inside=found, asked=asked, step=STEP)


def _kind(cache: Cache) -> dict[str, object]:
    """What the rows of one cache have in common."""
    return {
        "backbone": f"{cache.card['name']} ({cache.backbone[:12]})",
        "outputs": ", ".join(f"{name} ({dim})" for name, dim in cache.outputs.items()),
        "storage": cache.storage,
        "provider": cache.provider,
        "precision": cache.attributes.get("precision"),
        "decode": cache.decode,
        **{f"version of {name}": cache.versions.get(name, "none") for name in MAKERS},
        **{f"column {name}": "there" if f"images/{name}" in cache.fields else "missing" for name in GIVEN},
    }


def _check_disjoint(caches: Sequence[Cache]) -> None:
    """Raise CacheError, naming image and files, where an image is in two caches; 16 bytes an image are held."""
    keys = np.concatenate([_hash_names(cache, rows) for cache in caches for rows in blocks(cache.images, BLOCK_ROWS)])
    keys.sort()
    suspects = set(keys[1:][keys[1:] == keys[:-1]].tolist())
    seen: dict[bytes, Path] = {}
    for cache, name in _names_like(caches, suspects) if suspects else ():
        if name in seen:
            raise CacheError(
                f"{cache.path}: image {name.decode(errors='replace')} is in {seen[name]} too; merge only disjoint sets"
            )
        seen[name] = cache.path


def _hash_names(cache: Cache, rows: slice) -> NDArray[np.int64]:
    names = cache.read("images/name", rows).tolist()
    return np.fromiter(map(hash, names), np.int64, len(names))


def _names_like(caches: Sequence[Cache], suspects: set[int]) -> Iterator[tuple[Cache, bytes]]:
    """The names whose hash is among these, with their caches."""
    for cache in caches:
        for rows in blocks(cache.images, BLOCK_ROWS):
            yield from ((cache, name) for name in cache.read("images/name", rows).tolist() if hash(name) in suspects)


def _join_provenance(caches: Sequence[Cache]) -> Provenance:
    """That of the first; where several devices or versions had a part in the rows, it names them all."""
    all_ = [provenance_of(cache) for cache in caches]
    packages = dict.fromkeys(package for one in all_ for package in one.versions)
    versions = {name: _distinct(one.versions[name] for one in all_ if name in one.versions) for name in packages}
    return replace(all_[0], device=_distinct(one.device for one in all_), versions=versions)


def _distinct(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))


def _join_columns(caches: Sequence[Cache]) -> dict[str, Column]:
    """What is known of all images, by dataset: text as wide as the widest, labels of all classes."""
    given = ["images/name", *(f"images/{name}" for name in GIVEN if f"images/{name}" in caches[0].fields)]
    joined: dict[str, Column] = {name: _Joined.of([StoredColumn(cache, name) for cache in caches]) for name in given}
    classes = _join_classes(caches)
    if any("images/label" in cache.fields for cache in caches):
        joined["images/label"] = _Joined.of([_Labels.of(cache, classes) for cache in caches])
    return joined | ({"labels/name": as_texts(classes)} if classes else {})


def _join_classes(caches: Sequence[Cache]) -> tuple[str, ...]:
    """The classes of all caches: as they stand where the caches agree, else in the order of any image set."""
    lists = {cache.classes for cache in caches if cache.classes}
    return lists.pop() if len(lists) == 1 else sort_classes({name for classes in lists for name in classes})


@dataclass(frozen=True)
class _Labels:
    """The labels of one cache as positions in the classes of all; none where the cache has none."""

    cache: Cache
    positions: NDArray[np.int32]
    """Of each of its own classes; behind them, where -1 finds it, that of no class."""
    dtype = np.dtype(np.int32)

    @classmethod
    def of(cls, cache: Cache, classes: Sequence[str]) -> "_Labels":
        """The labels of this cache."""
        place = {name: index for index, name in enumerate(classes)}
        return cls(cache, np.array([*(place[name] for name in cache.classes), NO_LABEL], np.int32))

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of rows."""
        return (self.cache.images,)

    def __len__(self) -> int:
        return self.cache.images

    def __getitem__(self, rows: slice) -> NDArray[np.int32]:
        if "images/label" not in self.cache.fields:
            return np.full(rows.stop - rows.start, NO_LABEL, np.int32)
        labels = self.cache.read("images/label", rows)
        if labels.max() > len(self.positions) - 2 or labels.min() < NO_LABEL:
            raise CacheError(f"{self.cache.path}: a label is none of its {len(self.positions) - 1} classes; {AGAIN}")
        return np.asarray(self.positions[labels])


@dataclass(frozen=True)
class _Joined:
    """Columns one after the other, in the place of an array that is only sliced."""

    parts: Sequence[Column]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, parts: Sequence[Column]) -> "_Joined":
        """These columns, in the widest of their types."""
        return cls(parts, np.dtype(max((part.dtype for part in parts), key=lambda dtype: dtype.itemsize).str))

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of rows."""
        return (len(self),)

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        start, stop, _ = rows.indices(len(self))
        values, offset = np.empty(stop - start, self.dtype), 0
        for part in self.parts:
            low, high = max(start - offset, 0), min(stop - offset, len(part))
            if low < high:
                values[low + offset - start : high + offset - start] = part[low:high]
            offset += len(part)
        return values


def _copy(caches: Sequence[Cache], into: Cache) -> None:
    start = 0
    with CacheWriter(into) as writer:
        for cache in caches:
            for rows in cache.blocks():
                writer.put(np.arange(start + rows.start, start + rows.stop), checked_rows(cache, rows))
            start += cache.images
