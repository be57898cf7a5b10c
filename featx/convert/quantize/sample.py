"""An image set in; decoded images of it to calibrate with, and others on which agreement is measured, out."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featx.errors import DecodeError, ImageSetError
from featx.inputs import ImageSet, PixelSpec, decode_image, fingerprint

HELD_OUT_EVERY = 3
"""Every third image is held out."""


@dataclass(frozen=True)
class Sample:
    """Pixels of different images, those to calibrate with and those that are held out."""

    calibration: NDArray[np.uint8]
    """(n, size, size, 3)."""
    held_out: NDArray[np.uint8]
    """(m, size, size, 3)."""
    hash: str
    """sha256 over the fingerprints of all of them."""
    notes: tuple[str, ...]
    """Where there are fewer than were asked for, and which could not be read."""


def draw_sample(images: ImageSet, spec: PixelSpec, *, count: int) -> Sample:
    """So many images to calibrate with and half as many held out, evenly spaced and decoded as `spec` says.

    Images of equal bytes are taken once. Raises ImageSetError where not even one of each can be read.
    """
    wanted = count + count // (HELD_OUT_EVERY - 1)
    pixels, digest, failed = [], hashlib.sha256(), list[str]()
    for mark, decoded in _decode(images, spec, wanted):
        if isinstance(decoded, str):
            failed.append(decoded)
        else:
            digest.update(mark)
            pixels.append(decoded)
    if len(pixels) < HELD_OUT_EVERY:
        why = f"; {failed[0]}" if failed else ""
        raise ImageSetError(
            f"{len(pixels)} different images can be read but quantising needs at least {HELD_OUT_EVERY}{why}; "
            "name more with --images"
        )
    held_out = np.arange(len(pixels)) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
    everything = np.stack(pixels)
    notes = [f"{len(failed)} images left out, the first: {failed[0]}"] if failed else []
    if len(pixels) < wanted:
        notes.append(f"{len(pixels)} different images, held-out ones among them, of the {wanted} that were asked for")
    return Sample(everything[~held_out], everything[held_out], digest.hexdigest(), tuple(notes))


def _decode(images: ImageSet, spec: PixelSpec, count: int) -> Iterator[tuple[bytes, NDArray[np.uint8] | str]]:
    """Fingerprint and pixels of evenly spaced images, or what is wrong with one."""
    seen = set[bytes]()
    for row in np.unique(np.linspace(0, len(images) - 1, count).round().astype(int)).tolist():
        try:
            stored = images.read(row)
            mark = fingerprint(stored)
            if mark not in seen:
                yield mark, decode_image(stored, spec)
            seen.add(mark)
        except (OSError, DecodeError) as error:
            yield b"", f"{images.name(row)}: {error}"
