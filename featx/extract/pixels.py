"""The pixels that a backbone is given for images, without running it."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from featx.backbones import Backbone
from featx.errors import DecodeError
from featx.inputs import ImageSet, decode_views
from featx.settings import CENTER, DEFAULTS, Decode


def read_pixels(
    images: ImageSet,
    rows: Iterable[int],
    backbone: Backbone,
    *,
    views: Sequence[str] = (CENTER,),
    decode: Decode = DEFAULTS.decode,
) -> dict[int, NDArray[np.uint8]]:
    """The views (views, size, size, 3) of these rows that the backbone is given; rows that fail are left out."""
    spec = backbone.card.input.pixels
    found = {}
    for row in rows:
        try:
            found[row] = decode_views(images.read_bounded(row), spec, views, decode=decode)
        except (DecodeError, OSError):
            continue
    return found
