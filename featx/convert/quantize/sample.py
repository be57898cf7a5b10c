"""Draws images of a set for quantisation: some to measure ranges on, others to measure agreement on."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featx.errors import DecodeError, ImageSetError
from featx.inputs import ImageSet, PixelSpec, decode_image, fingerprint

_HELD_OUT_EVERY = 3
"""One of this many images is held out."""


@dataclass(frozen=True)
class Sample:
    """Pixels of different images: some to calibrate with, others that are held out."""

    calibration: NDArray[np.uint8]
    """(n, size, size, 3)."""
    held_out: NDArray[np.uint8]
    """(m, size, size, 3)."""
    hash: str
    """The sha256 over the fingerprints of all these images."""
    notes: tuple[str, ...]
    """Notes for the user: on images that were skipped, and if there are fewer than asked for."""


def draw_sample(images: ImageSet, spec: PixelSpec, *, count: int) -> Sample:
    """Draw `count` images to calibrate with and half as many held-out ones, evenly spaced, decoded as `spec` says.

    Images with equal bytes are taken once. Raises ImageSetError if fewer than three can be read.
    """
    wanted = count + count // (_HELD_OUT_EVERY - 1)
    pixels = []
    digest = hashlib.sha256()
    failed = list[str]()
    for mark, decoded in _decode(images, spec, wanted):
        if isinstance(decoded, str):
            failed.append(decoded)
        else:
            digest.update(mark)
            pixels.append(decoded)
    if len(pixels) < _HELD_OUT_EVERY:
        why = f"; {failed[0]}" if failed else ""
        raise ImageSetError(
            f"{len(pixels)} different images can be read but quantising needs at least {_HELD_OUT_EVERY}{why}; "
            "give more with --images"
        )
    held_out = np.arange(len(pixels)) % _HELD_OUT_EVERY == _HELD_OUT_EVERY - 1
    everything = np.stack(pixels)
    notes = [f"{len(failed)} images skipped, the first: {failed[0]}"] if failed else []
    if len(pixels) < wanted:
        notes.append(f"{len(pixels)} different images, held-out ones included, instead of the {wanted} asked for")
    return Sample(everything[~held_out], everything[held_out], digest.hexdigest(), tuple(notes))


def _decode(images: ImageSet, spec: PixelSpec, count: int) -> Iterator[tuple[bytes, NDArray[np.uint8] | str]]:
    """Yields fingerprint and pixels of evenly spaced images, or a message if an image fails."""
    seen = set[bytes]()
    for row in np.unique(np.linspace(0, len(images) - 1, count).round().astype(int)).tolist():
        try:
            stored = images.read_bounded(row)
            mark = fingerprint(stored)
            if mark not in seen:
                yield mark, decode_image(stored, spec)
            seen.add(mark)
        except (OSError, DecodeError) as error:
            yield b"", f"{images.name(row)}: {error}"
