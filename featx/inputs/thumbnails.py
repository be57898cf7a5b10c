"""Thumbnails: small pictures of some images of an image set, for pages that people look at."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from featx.columns import CHUNK
from featx.errors import DecodeError
from featx.hardware import usable_cores
from featx.inputs.decode import decode_thumbnail
from featx.inputs.sets.image_set import ImageSet

THUMBNAIL_SIZE = 96
"""Most pixels of the width and height of a thumbnail."""
REMOTE_THREADS = 16
"""Images that are read at the same time over a network, where threads mostly wait."""


def read_thumbnails(
    images: ImageSet, names: Iterable[str], *, size: int = THUMBNAIL_SIZE, exif_orientation: bool = False
) -> Mapping[str, bytes | None]:
    """A JPEG of each named image, at most `size` pixels wide and high, by its name, in the order of the names.

    It is None if the image set has no image of this name, or if the image is gone or cannot be decoded. Images are
    decoded with the limits of an extraction. They show what the backbone sees, uncropped: transparent images are laid
    over white, and the EXIF orientation is only applied if `exif_orientation` says so, as cards do.

    >>> import featx
    >>> from featx.inputs import read_thumbnails
    >>> found = read_thumbnails(featx.list_images("photos"), ["circle/000.png", "gone.png"], size=32)
    >>> {name: thumbnail and thumbnail[:2].hex() for name, thumbnail in found.items()}
    {'circle/000.png': 'ffd8', 'gone.png': None}
    """
    wanted = list(dict.fromkeys(names))
    rows = _find_rows(images.names, wanted)
    read = partial(_read, images, size=size, exif_orientation=exif_orientation)
    with ThreadPoolExecutor(REMOTE_THREADS if images.source.remote else usable_cores()) as pool:
        found = dict(zip(rows, pool.map(read, rows.values()), strict=True))
    return {name: found.get(name) for name in wanted}


def _find_rows(names: NDArray[np.bytes_], wanted: Iterable[str]) -> dict[str, int]:
    """The row of each wanted name that is there; a chunk at a time, as the names may be many."""
    missing = {name.encode(errors="surrogatepass"): name for name in wanted}
    rows = dict[str, int]()
    for start in range(0, len(names), CHUNK):
        if not missing:
            break
        chunk = names[start : start + CHUNK].tolist()
        for name in missing.keys() & set(chunk):
            rows[missing.pop(name)] = start + chunk.index(name)
    return rows


def _read(images: ImageSet, row: int, *, size: int, exif_orientation: bool) -> bytes | None:
    """The thumbnail of the image in this row; None if it cannot be read or decoded."""
    try:
        stored = images.read_bounded(row)
        return decode_thumbnail(stored, size=size, exif_orientation=exif_orientation)
    except (OSError, DecodeError, MemoryError):
        return None
