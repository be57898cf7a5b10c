"""Checks previous caches against a new run, and finds the rows that it can keep."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featx.backbones import DESCRIPTIVE, LATER_KEYS, Backbone
from featx.cache import DECISIVE_PACKAGES, DONE, PENDING, Cache, KeptRows, Provenance, open_cache, partial_path
from featx.columns import CHUNK
from featx.errors import CacheError, CacheMismatchError
from featx.extract.pace import REMOTE_WORKERS
from featx.inputs import Fingerprints, ImageSet, fingerprint
from featx.settings import Settings, Storage

NEXT_STEP = "choose another --into, or let `featx extract --overwrite` replace the cache"
IMAGES_COMPARED = 32
"""Number of images that are read to find out whether a set with other names has the same images."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreviousCache:
    """An existing cache, complete or not, from which this run may take rows."""

    cache: Cache
    retry_failed: bool
    """Whether failed images are tried again, so that their rows are not taken."""

    def match(self, images: ImageSet) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows (n,) of this cache that are acknowledged and intact, and rows (n,) of the images with the same names."""
        old, new = self._pair(images)
        status = self.cache.read("status", old)
        finished = np.flatnonzero(status == DONE if self.retry_failed else status != PENDING)
        intact = finished[self.cache.intact(old[finished])]
        return old[intact], new[intact]

    def _pair(self, images: ImageSet) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows (n,) of this cache, and rows (n,) of the image set that have the same names."""
        names = self.cache.read("images/name")
        if len(names) == len(images) and np.array_equal(names, images.names):
            return np.arange(len(names)), np.arange(len(names))
        order = np.argsort(names, kind="stable")  # fast if they are sorted, as those of a folder are
        old = order[np.minimum(np.searchsorted(names, images.names, sorter=order), len(names) - 1)]
        new = np.flatnonzero(names[old] == images.names)
        return old[new], new


def find_previous(
    into: Path,
    backbone: Backbone,
    *,
    settings: Settings,
    storage: Storage,
    retry_failed: bool,
    reuse: Sequence[Path | str] = (),
) -> list[PreviousCache]:
    """The caches from which rows may be taken: first the unfinished one, which has the rows of the complete one too.

    Raises CacheError if a file cannot be read, CacheMismatchError if its features are of another backbone, decode mode,
    storage or list of views.
    """
    found = []
    for path in dict.fromkeys((partial_path(into), into, *map(Path, reuse))):
        if not path.exists():
            continue
        cache = _open(path)
        if cache.sealed or np.any(cache.status != PENDING):
            check_backbone(cache, backbone)
            inside = {"decode": cache.decode, "storage": cache.storage, "views": ",".join(cache.views)}
            asked = {"decode": settings.decode, "storage": storage, "views": ",".join(settings.views)}
            _check(cache, inside, asked)
            found.append(PreviousCache(cache, retry_failed))
    return found


def _open(path: Path) -> Cache:
    try:
        return open_cache(path)
    except CacheError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno:
            raise  # the file may be sound, so the message must not say to delete it
        reason = str(error).removeprefix(f"{path}: ").partition("; ")[0]
        raise CacheError(f"{path}: cannot be resumed ({reason}); delete it, or replace it with --overwrite") from error


def check_images(into: Path, previous: Sequence[PreviousCache], images: ImageSet) -> None:
    """Warn of images in the cache to be replaced that are no longer in the image set, since their rows are dropped.

    Raises CacheMismatchError if the image set is a shard of the images in the cache, or if it has no name in common
    with the cache and, in a sample, no image either.
    """
    if previous and previous[0].cache.path in (partial_path(into), into):
        _check_images(previous[0].cache, images)


def _check_images(previous: Cache, images: ImageSet) -> None:
    inside = f"{previous.images} images"
    if images.part_of and previous.images >= images.part_of > len(images):
        asked = f"a shard of {len(images)}"
        raise CacheMismatchError(previous.path, what="image set", inside=inside, asked=asked, step=NEXT_STEP)
    names = previous.read("images/name")
    if images.part_of or np.array_equal(names, images.names):
        return
    done = previous.status == DONE
    gone = names[done & ~np.isin(names, images.names)]
    if not len(gone):
        return
    first = bytes(gone[0]).decode(errors="replace")
    if len(gone) == np.count_nonzero(done) and not _shares_bytes(previous, images):
        inside = f"{inside} such as {first}"
        asked = f"{len(images)} such as {images.name(0)}, none of them among those,"
        raise CacheMismatchError(previous.path, what="image set", inside=inside, asked=asked, step=NEXT_STEP)
    logger.warning(
        "%s: %d of its images are not in this image set, such as %s; "
        "their rows are dropped unless an image with the same bytes has another name",
        previous.path,
        len(gone),
        first,
    )


def _shares_bytes(previous: Cache, images: ImageSet) -> bool:
    """Whether the cache has the bytes of one of some sampled images, as all images may have been renamed."""
    known = Fingerprints(previous.read("images/fingerprint"), rows=0, to_come=0)
    for row in np.unique(np.linspace(0, len(images) - 1, IMAGES_COMPARED).astype(int)).tolist():
        with suppress(OSError):
            if known.find(fingerprint(images.read_bounded(row))) is not None:
                return True
    return False


def check_backbone(cache: Cache, backbone: Backbone) -> None:
    """Raise CacheMismatchError, naming the difference, if the cache's features are of another backbone."""
    if cache.backbone == backbone.hash:
        return
    inside = cache.card
    asked = backbone.card.to_dict()
    keys = asked.keys() - DESCRIPTIVE if inside["name"] == asked["name"] else ["name"]
    key = next((key for key in asked if key in keys and inside.get(key, LATER_KEYS.get(key)) != asked[key]), "sha256")
    what = f"{key} of the backbone"
    raise CacheMismatchError(cache.path, what=what, inside=inside.get(key), asked=asked[key], step=NEXT_STEP)


def check_runtime(previous: Cache, provenance: Provenance) -> None:
    """Raise CacheMismatchError if another provider, or other versions of packages, would compute the new rows."""
    _check(previous, _runtime(previous), _runtime(provenance))


def _runtime(source: Cache | Provenance) -> dict[str, str | None]:
    return {"provider": source.provider, **{name: source.versions.get(name) for name in DECISIVE_PACKAGES}}


def _check(cache: Cache, inside: Mapping[str, str | None], asked: Mapping[str, str | None]) -> None:
    """Raise CacheMismatchError if a value inside the cache is not the one that was asked for."""
    for what, value in inside.items():
        if value != asked[what]:
            option = f"--{what} " if what in ("decode", "storage", "views") else ""
            step = f"run with {option}{value} again, or {NEXT_STEP}"
            raise CacheMismatchError(cache.path, what=what, inside=value, asked=asked[what], step=step)


def keep_rows(previous: Sequence[PreviousCache], images: ImageSet) -> list[KeptRows]:
    """The rows that stay as they are: of images with the same name, size and time, each from the first such cache.

    An image that cannot be reached keeps its row, so that features are not lost while a disk is not mounted.
    """
    kept = []
    taken = np.zeros(len(images), bool)
    unreachable = 0
    for source in previous:
        old, new = source.match(images)
        free = ~taken[new]
        old = old[free]
        new = new[free]
        stats = source.cache.read("images/stat", old)
        comparable = source.cache.read("images/fingerprint", old).any(axis=1) & (stats[:, 1] != 0)
        same = np.zeros(len(new), bool)
        for place, stat in enumerate(_stats(images, new)):
            same[place] = stat is None or (stat == tuple(stats[place]) and comparable[place])
            unreachable += stat is None
        kept.append(KeptRows(source.cache, old[same], new[same], stats[same]))
        taken[new[same]] = True
    if unreachable:
        caches = ", ".join(str(source.cache.path) for source in previous)
        logger.warning("%d images cannot be reached; they keep their rows of %s", unreachable, caches)
    return kept


def _stats(images: ImageSet, rows: NDArray[np.int64]) -> Iterator[tuple[int, int] | None]:
    """Yields size and time of the images in these rows, None if one cannot be reached; over a network many at once."""

    def _stat(row: int) -> tuple[int, int] | None:
        try:
            return images.stat(row)
        except OSError:
            return None

    if not images.source.remote:
        yield from map(_stat, map(int, rows))
        return
    with ThreadPoolExecutor(REMOTE_WORKERS, thread_name_prefix="featx-stat") as pool:
        for start in range(0, len(rows), CHUNK):
            yield from pool.map(_stat, rows[start : start + CHUNK].tolist())
