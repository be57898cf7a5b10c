"""What earlier runs left: which of their rows still hold, by name and time of change, and which images they know."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featx.backbones import (
    DESCRIPTIVE,
    SINCE_FIRST,
    Backbone,
)
from featx.cache import (
    DONE,
    MAKERS,
    PENDING,
    Cache,
    Kept,
    Provenance,
    open_cache,
    partial_path,
)
from featx.columns import CHUNK
from featx.errors import CacheError, CacheMismatchError
from featx.extract.pace import REMOTE_WORKERS
from featx.inputs import Fingerprints, ImageSet, fingerprint
from featx.settings import Decode, Storage

STEP = "choose another --into, or give up what is there with --overwrite"
SAMPLE = 32
"""Images that are read to tell whether a set of other names is another set."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Earlier:
    """A cache of an earlier run, and what of it this run may take."""

    cache: Cache
    retry_failed: bool

    def match(self, images: ImageSet) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pairs (earlier row, row of the image set) of images of the same name whose row is acknowledged and intact.

        Those that failed are left out where they are to be tried again.
        """
        old, new = self._pair(images)
        status = self.cache.read("status", old)
        finished = np.flatnonzero(status == DONE if self.retry_failed else status != PENDING)
        intact = finished[self.cache.intact(old[finished])]
        return old[intact], new[intact]

    def _pair(self, images: ImageSet) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        names = self.cache.read("images/name")
        if len(names) == len(images) and np.array_equal(names, images.names):
            return np.arange(len(names)), np.arange(len(names))
        order = np.argsort(names, kind="stable")  # fast where they are sorted, as those of a folder are
        old = order[np.minimum(np.searchsorted(names, images.names, sorter=order), len(names) - 1)]
        new = np.flatnonzero(names[old] == images.names)
        return old[new], new


def find_earlier(
    into: Path,
    backbone: Backbone,
    *,
    decode: Decode,
    storage: Storage,
    retry_failed: bool,
    reuse: Sequence[Path] = (),
) -> list[Earlier]:
    """What earlier runs left here and elsewhere: unfinished first, since that began with what was complete.

    Raises CacheError where a file cannot be read, CacheMismatchError where its rows are not those that
    are asked for: of another backbone, decoding or storage.
    """
    found = []
    for path in dict.fromkeys((partial_path(into), into, *reuse)):
        if path.exists() and ((cache := _open(path)).sealed or np.any(cache.status != PENDING)):
            check_backbone(cache, backbone)
            inside = {"decode": cache.decode, "storage": cache.storage}
            _check(cache, inside, {"decode": decode, "storage": storage})
            found.append(Earlier(cache, retry_failed))
    return found


def _open(path: Path) -> Cache:
    try:
        return open_cache(path)
    except CacheError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno:
            raise  # it may be sound: nobody is told to delete it
        reason = str(error).removeprefix(f"{path}: ").partition("; ")[0]
        raise CacheError(
            f"{path}: cannot be gone on from ({reason}); delete it, or give it up with --overwrite"
        ) from error


def shards_folder(into: Path) -> Path:
    """Where the shards of this cache lie until they are merged."""
    return into.with_name(into.name + ".shards")


def check_images(into: Path, earlier: Sequence[Earlier], images: ImageSet) -> None:
    """Say how many images of the cache that is to be replaced are not in the set now: their rows go.

    Raises CacheMismatchError where the set is a shard of what is there, or shares neither a name with it nor, as far as
    a sample tells, an image.
    """
    for one in earlier[:1]:
        if one.cache.path in (partial_path(into), into):
            _check_images(one.cache, images)


def _check_images(earlier: Cache, images: ImageSet) -> None:
    there = f"{earlier.images} images"
    if images.part_of and earlier.images >= images.part_of > len(images):
        asked = f"a shard of {len(images)}"
        raise CacheMismatchError(earlier.path, what="image set", inside=there, asked=asked, step=STEP)
    names = earlier.read("images/name")
    if images.part_of or np.array_equal(names, images.names):
        return
    gone = (earlier.status == DONE) & ~np.isin(names, images.names)
    if not gone.any():
        return
    first = bytes(names[gone][0]).decode(errors="replace")
    if gone.sum() == np.count_nonzero(earlier.status == DONE) and not _shares_bytes(earlier, images):
        inside, asked = f"{there} such as {first}", f"{len(images)} such as {images.name(0)}, none of them among those,"
        raise CacheMismatchError(earlier.path, what="image set", inside=inside, asked=asked, step=STEP)
    logger.warning(
        "%s: %d of its images are not in this set now, such as %s; rows whose bytes have no other name here go",
        earlier.path,
        gone.sum(),
        first,
    )


def _shares_bytes(earlier: Cache, images: ImageSet) -> bool:
    """Whether one of some images has bytes that the cache knows: all may have been renamed."""
    known = Fingerprints(earlier.read("images/fingerprint"), rows=0, to_come=0)
    for row in np.unique(np.linspace(0, len(images) - 1, SAMPLE).astype(int)).tolist():
        with suppress(OSError):
            if known.find(fingerprint(images.read(row))) is not None:
                return True
    return False


def check_backbone(cache: Cache, backbone: Backbone) -> None:
    """Raise CacheMismatchError, naming the difference, where the cache's features are of another backbone."""
    if cache.backbone == backbone.hash:
        return
    inside, asked = cache.card, backbone.card.to_dict()
    keys = asked.keys() - DESCRIPTIVE if inside["name"] == asked["name"] else ["name"]
    key = next((key for key in asked if key in keys and inside.get(key, SINCE_FIRST.get(key)) != asked[key]), "sha256")
    what = f"{key} of the backbone"
    raise CacheMismatchError(cache.path, what=what, inside=inside.get(key), asked=asked[key], step=STEP)


def check_makers(earlier: Cache, provenance: Provenance) -> None:
    """Raise CacheMismatchError where rows to come would be made otherwise than those that are there."""
    _check(earlier, _makers(earlier), _makers(provenance))


def _makers(of: Cache | Provenance) -> dict[str, str | None]:
    return {"provider": of.provider, **{name: of.versions.get(name) for name in MAKERS}}


def _check(cache: Cache, inside: Mapping[str, str | None], asked: Mapping[str, str | None]) -> None:
    for what, value in inside.items():
        if value != asked[what]:
            option = f"--{what} " if what in ("decode", "storage") else ""
            step = f"run with {option}{value} again, or {STEP}"
            raise CacheMismatchError(cache.path, what=what, inside=value, asked=asked[what], step=step)


def keep_rows(earlier: Sequence[Earlier], images: ImageSet) -> list[Kept]:
    """The rows that still hold, each from the first cache that has it: of the same name, and not changed since.

    Whether an image changed is told by its size and time. One that cannot be reached keeps the row that it had: what is
    extracted is not lost to a disk that is away.
    """
    kept, taken, unreachable = [], np.zeros(len(images), bool), 0
    for one in earlier:
        old, new = one.match(images)
        old, new = old[~taken[new]], new[~taken[new]]
        stats = one.cache.read("images/stat", old)
        told = one.cache.read("images/fingerprint", old).any(axis=1) & (stats[:, 1] != 0)
        same = np.zeros(len(new), bool)
        for place, stat in enumerate(_ask(images, new)):
            same[place] = stat is None or (stat == tuple(stats[place]) and told[place])
            unreachable += stat is None
        kept.append(Kept(one.cache, old[same], new[same], stats[same]))
        taken[new[same]] = True
    if unreachable:
        where = ", ".join(str(one.cache.path) for one in earlier)
        logger.warning("%d images cannot be reached now; they keep the rows that they had in %s", unreachable, where)
    return kept


def _ask(images: ImageSet, rows: NDArray[np.int64]) -> Iterator[tuple[int, int] | None]:
    """What is known now of the images in these rows, None of those out of reach; a network is asked of many at once."""

    def _stat(row: int) -> tuple[int, int] | None:
        try:
            return images.stat(row)
        except OSError:
            return None

    if not images.source.remote:
        yield from map(_stat, map(int, rows))
        return
    with ThreadPoolExecutor(REMOTE_WORKERS, thread_name_prefix="featx-ask") as pool:
        for start in range(0, len(rows), CHUNK):
            yield from pool.map(_stat, rows[start : start + CHUNK].tolist())


class Known(Fingerprints):
    """The images whose bytes are known, those that lie in caches only as long as their rows are intact."""

    def __init__(self, caches: Sequence[Cache], places: NDArray[np.int64], *, to_come: int) -> None:
        self._caches, self._places = caches, places
        marks = [
            cache.read("images/fingerprint", places[places[:, 0] == number, 1]) for number, cache in enumerate(caches)
        ]
        super().__init__(np.concatenate(marks), rows=caches[0].images, to_come=to_come)

    def find(self, mark: bytes) -> int | None:
        """Place of the first image with this fingerprint, or None where there is none whose row can be taken."""
        place = super().find(mark)
        if place is None or place >= len(self._places):
            return place
        number, row = self._places[place]
        return place if self._caches[number].intact(np.array([row]))[0] else None


@dataclass(frozen=True)
class Twins:
    """Images whose bytes are known, and where the feature of each lies: in a cache, or in a row of this very run."""

    known: Known
    caches: tuple[Cache, ...]
    """The one that is written first, then earlier ones."""
    places: NDArray[np.int64]
    """(k, 2): cache and row of every image that was known from the start."""
    pending: int
    """Number of rows that this run computes."""

    def locate(self, twins: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Cache and row (m, 2) of these places of `known`, and which of them this run computes (m,)."""
        start = len(self.places)
        fresh = twins >= start
        located = np.zeros((len(twins), 2), np.int64)
        located[fresh, 1] = twins[fresh] - start
        located[~fresh] = self.places[twins[~fresh]]
        return located, fresh


def find_twins(earlier: Sequence[Earlier], kept: Sequence[Kept], into: Cache) -> Twins:
    """The images that are known from the start, each with a feature that stays where it is while this run writes.

    Those are the rows that the cache to be written has now, and of the other caches those done that were not kept.
    """
    caches, rows = [into], [np.flatnonzero(into.status == DONE)]
    for one, held in zip(earlier, kept, strict=True):
        if one.cache is not into:
            caches.append(one.cache)
            rows.append(np.setdiff1d(np.flatnonzero(one.cache.status == DONE), held.old))
    places = np.concatenate([np.stack([np.full(len(own), place), own], axis=1) for place, own in enumerate(rows)])
    pending = int(np.count_nonzero(into.status == PENDING))
    return Twins(Known(caches, places, to_come=pending), tuple(caches), places, pending)
