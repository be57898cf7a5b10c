"""What the tests of image sets share: their columns as Python has them."""

import numpy as np
from numpy.typing import NDArray

from featx.inputs import ImageSet


def names(images: ImageSet) -> list[str]:
    """Every name, in the order of the set."""
    return [images.name(row) for row in range(len(images))]


def labels(images: ImageSet) -> list[int]:
    """Every label; fails where there are none."""
    assert images.labels is not None
    return [int(label) for label in images.labels]


def texts(column: NDArray[np.bytes_] | None) -> list[str]:
    """A column of bytes as text; fails where it was not given."""
    assert column is not None
    return [bytes(value).decode() for value in column]
