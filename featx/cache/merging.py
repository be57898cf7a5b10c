"""Merges complete caches into one, with the rows of one cache after those of the other."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.cache.costs import cost_of
from featx.cache.creating import Provenance, creating, lay_out, provenance_of
from featx.cache.file import BLOCK_ROWS, DECISIVE_PACKAGES, Cache, StoredColumn, blocks, partial_path
from featx.cache.locking import lock_cache
from featx.cache.opening import open_cache
from featx.cache.reading import open_complete
from featx.cache.verifying import checked_rows
from featx.cache.writing import CacheWriter, finish
from featx.columns import NO_LABEL, as_texts, sort_classes
from featx.errors import CacheError, CacheMismatchError
from featx.hashing import Column
from featx.targets import Target

ALL_OR_NONE = ("split", "group", "domain", "weight")
"""Image columns that either all caches must have, or none, since they decide which images are held out."""


def merge_caches(sources: Sequence[Path | str], *, into: Path | str, overwrite: bool = False) -> Cache:
    """Merge complete caches, of shards or of different image sets, into the cache `into`, and return it.

    Rows are copied in the order of the caches, and checked against their checksums. All shards of an image set, in
    their order, give the cache of the whole set. After an error nothing is written.

    Args:
        sources: paths of the caches.
        into: path of the merged cache.
        overwrite: whether to replace an existing cache.

    Raises:
        CacheMismatchError: the features or image columns of two caches are not of one kind.
        CacheError: a cache is not complete or damaged, two caches have the same image, or `into` exists.

    >>> import featx
    >>> images = featx.list_images("photos")
    >>> backbone = featx.load_backbone("efficientnet-lite0")
    >>> for index in range(2):
    ...     _ = featx.extract_features(images.shard(index, 2), backbone, into=f"{index}.h5", reuse=["photos.h5"])
    >>> _ = featx.merge_caches(["0.h5", "1.h5"], into="merged.h5")
    >>> featx.describe_cache("merged.h5").done
    60
    """
    paths = [*map(Path, sources)]
    _check_paths(paths, Path(into))
    with lock_cache(Path(into), overwrite=overwrite, may_exist=False) as target:
        return merge_into(target, paths)


def merge_into(target: Target, paths: Sequence[Path]) -> Cache:
    """Merge complete caches into this target, which is held already. Raises as merge_caches does."""
    caches = [open_complete(path) for path in paths]
    _check_same_kind(caches)
    _check_disjoint(caches)
    with creating(target) as fresh:
        started = min(str(cache.attributes.get("started", "")) for cache in caches)
        lay_out(fresh, _join_columns(caches), _join_provenance(caches), started=started)
        _copy(caches, open_cache(fresh))
        merged = finish(fresh, target)
    partial = partial_path(target.path)
    with suppress(CacheError):  # what appeared there in the meantime is not ours to remove
        target.check(partial, may_exist=True)
        partial.unlink(missing_ok=True)
    return merged


def _check_paths(sources: Sequence[Path], into: Path) -> None:
    if not sources:
        raise CacheError(f"{into}: nothing to merge; name at least one cache")
    target = into.resolve()
    seen: set[Path] = set()
    for path in sources:
        place = path.resolve()
        if place == target:
            raise CacheError(f"{path}: cannot be merged into itself; choose another --into")
        if place in seen:
            raise CacheError(f"{path}: is named twice; name each cache once")
        seen.add(place)


def _check_same_kind(caches: Sequence[Cache]) -> None:
    """Raise CacheMismatchError, naming both files, if their features or image columns are not of one kind."""
    first = caches[0]
    expected = _kind(first)
    for other in caches[1:]:
        for what, found in _kind(other).items():
            if found != expected[what]:
                asked = f"{expected[what]}, as in {first.path},"
                raise CacheMismatchError(
                    other.path, what=what, inside=found, asked=asked, step="merge only caches of one kind"
                )


def _kind(cache: Cache) -> dict[str, object]:
    """What all merged caches must have in common, by name."""
    return {
        "backbone": f"{cache.card['name']} ({cache.backbone[:12]})",
        "outputs": ", ".join(f"{name} ({dim})" for name, dim in cache.outputs.items()),
        "storage": cache.storage,
        "views": ",".join(cache.views),
        "provider": cache.provider,
        "precision": cache.attributes.get("precision"),
        "decode": cache.decode,
        **{f"version of {name}": cache.versions.get(name, "none") for name in DECISIVE_PACKAGES},
        **{f"column {name}": "present" if f"images/{name}" in cache.fields else "missing" for name in ALL_OR_NONE},
    }


def _check_disjoint(caches: Sequence[Cache]) -> None:
    """Raise CacheError, naming image and files, if two caches have the same image; takes 16 bytes per image."""
    keys = np.concatenate([_hash_names(cache, rows) for cache in caches for rows in blocks(cache.images, BLOCK_ROWS)])
    keys.sort()
    suspects = set(keys[1:][keys[1:] == keys[:-1]].tolist())
    seen: dict[bytes, Path] = {}
    for cache, name in _names_like(caches, suspects) if suspects else ():
        if name in seen:
            raise CacheError(
                f"{cache.path}: image {name.decode(errors='replace')} is in {seen[name]} too; "
                "merge only caches without common images"
            )
        seen[name] = cache.path


def _hash_names(cache: Cache, rows: slice) -> NDArray[np.int64]:
    names = cache.read("images/name", rows).tolist()
    return np.fromiter(map(hash, names), np.int64, len(names))


def _names_like(caches: Sequence[Cache], suspects: set[int]) -> Iterator[tuple[Cache, bytes]]:
    """The names with one of these hashes, and their caches."""
    for cache in caches:
        for rows in blocks(cache.images, BLOCK_ROWS):
            yield from ((cache, name) for name in cache.read("images/name", rows).tolist() if hash(name) in suspects)


def _join_provenance(caches: Sequence[Cache]) -> Provenance:
    """The provenance of the first cache, with all devices and versions that computed rows of any cache."""
    found = [provenance_of(cache) for cache in caches]
    every = [provenance.versions for provenance in found]
    packages = dict.fromkeys(package for versions in every for package in versions)
    joined = {
        package: _distinct(versions[package] for versions in every if package in versions) for package in packages
    }
    return replace(found[0], device=_distinct(provenance.device for provenance in found), versions=joined)


def _distinct(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))


def _join_columns(caches: Sequence[Cache]) -> dict[str, Column]:
    """The columns of all images, by dataset: texts as wide as the widest, labels as positions in all classes."""
    given = ["images/name", *(f"images/{name}" for name in ALL_OR_NONE if f"images/{name}" in caches[0].fields)]
    joined: dict[str, Column] = {name: _Joined.of([StoredColumn(cache, name) for cache in caches]) for name in given}
    classes = _join_classes(caches)
    if any("images/label" in cache.fields for cache in caches):
        joined["images/label"] = _Joined.of([_Labels.of(cache, classes) for cache in caches])
    return joined | ({"labels/name": as_texts(classes)} if classes else {})


def _join_classes(caches: Sequence[Cache]) -> tuple[str, ...]:
    """The classes of all caches: in their own order if the caches agree, else sorted as in an image set."""
    lists = {cache.classes for cache in caches if cache.classes}
    return lists.pop() if len(lists) == 1 else sort_classes({name for classes in lists for name in classes})


@dataclass(frozen=True)
class _Labels:
    """The labels of one cache as positions in the classes of all caches; -1 if the cache has no labels."""

    cache: Cache
    positions: NDArray[np.int32]
    """Position of each of its own classes, then NO_LABEL, which the label -1 indexes."""
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
            raise CacheError(
                f"{self.cache.path}: a label is not one of its {len(self.positions) - 1} classes; "
                "restore it or extract it again"
            )
        return np.asarray(self.positions[labels])


@dataclass(frozen=True)
class _Joined:
    """The columns of several caches as one column, which is read when it is sliced."""

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
        values = np.empty(stop - start, self.dtype)
        offset = 0
        for part in self.parts:
            low = max(start - offset, 0)
            high = min(stop - offset, len(part))
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
            writer.add_cost(cost_of(cache))
            start += cache.images
