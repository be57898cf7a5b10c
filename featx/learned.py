"""Remembers the images that a backbone was fine-tuned on, in a few thousand letters of its card.

A Bloom filter (Bloom, CACM 13, 1970) of their fingerprints: an image that was learned from is always recognised. A few
others are recognised by mistake: fewer than 1 in 1,000 for up to 13,000 images, and more for larger sets, as the size
is limited. A test then has fewer images, but never one that was learned from.
"""

import base64
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BITS_OF_AN_IMAGE = 15
"""Bits for each image, with which fewer than 0.1 % of other images are recognised by mistake."""
MOST_BYTES = 24 * 1024
"""Largest filter, so that a card stays small."""
MOST_HASHES = 128
"""Most bits of one image; a filter of a single image has its 11."""
_AND = ";"
"""Between the memories of a backbone that was tuned again."""
_HALVES = 2
"""The 64-bit halves of a fingerprint, which are two independent hashes."""


def remember_images(fingerprints: NDArray[np.uint8]) -> str:
    """A text that recognises the images with these fingerprints (n, 16).

    >>> import numpy as np
    >>> from featx.learned import recognise_images, remember_images
    >>> marks = np.random.default_rng(0).integers(0, 256, (40, 16), np.uint8)
    >>> memory = remember_images(marks[:20])
    >>> recognise_images(memory, marks).sum()
    np.int64(20)
    """
    count = max(1, len(fingerprints))
    size = min(MOST_BYTES, max(1, math.ceil(BITS_OF_AN_IMAGE * count / 8)))
    hashes = max(1, round(8 * size / count * math.log(2)))
    bits = np.zeros(8 * size, bool)
    for places in _places(fingerprints, hashes, 8 * size):
        bits[places] = True
    return f"{hashes}:{base64.b64encode(np.packbits(bits).tobytes()).decode()}"


def recognise_images(memory: str, fingerprints: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(n,): whether the text recognises each image by its fingerprint (n, 16); an empty text recognises none.

    Raises ValueError if the text is not one of `remember_images`.
    """
    if not memory:
        return np.zeros(len(fingerprints), bool)
    found = [_recognise(one, fingerprints) for one in memory.split(_AND)]
    return np.asarray(np.logical_or.reduce(found))


def join_memories(first: str, second: str) -> str:
    """A text that recognises the images of both; either may be empty."""
    return _AND.join(filter(None, (first, second)))


def _recognise(memory: str, fingerprints: NDArray[np.uint8]) -> NDArray[np.bool_]:
    hashes, _, coded = memory.partition(":")
    bits = np.unpackbits(np.frombuffer(base64.b64decode(coded, validate=True), np.uint8)).astype(bool)
    if not len(bits) or not 0 < int(hashes) <= min(MOST_HASHES, len(bits)):
        raise ValueError("not a memory of images")
    found = np.ones(len(fingerprints), bool)
    for places in _places(fingerprints, int(hashes), len(bits)):
        found &= bits[places]
    return found


def _places(fingerprints: NDArray[np.uint8], hashes: int, bits: int) -> Iterator[NDArray[np.uint64]]:
    """Yields a bit (n,) of each image for each hash, by double hashing (Kirsch and Mitzenmacher, ESA 2006)."""
    first, second = np.ascontiguousarray(fingerprints).view("<u8").reshape(-1, _HALVES).T
    for step in range(hashes):
        yield (first + np.uint64(step) * (second | np.uint64(1))) % np.uint64(bits)
