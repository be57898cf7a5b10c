"""The pixels that a backbone is given for images, without running it."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from featx.backbones import Backbone
from featx.errors import DecodeError
from featx.inputs import ImageSet, decode_image
from featx.settings import DEFAULTS, Decode


def read_pixels(
    images: ImageSet, rows: Iterable[int], backbone: Backbone, *, decode: Decode = DEFAULTS.decode
) -> dict[int, NDArray[np.uint8]]:
    """The pixels (size, size, 3) of each of these rows that the backbone is given; rows that fail are left out."""
    found = {}
    for row in rows:
        try:
            found[row] = decode_image(images.read_bounded(row), backbone.card.input.pixels, decode=decode)
        except (DecodeError, OSError):
            continue
    return found
