"""Defines how an image becomes the numbers that a model takes."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from featx.settings import Channels, CropMode, Filter

MOST_SIDE = 2**14
"""Largest height and width of an image that a model takes, and before its crop."""
_LARGEST = 1e6
_SMALLEST = 1e-6

Side = Annotated[int, Meta(gt=0, le=MOST_SIDE, description=f"a whole number above 0, at most {MOST_SIDE}")]
_Mean = Annotated[float, Meta(ge=-_LARGEST, le=_LARGEST)]
_Deviation = Annotated[float, Meta(ge=_SMALLEST, le=_LARGEST)]
Means = Annotated[
    tuple[_Mean, ...],
    Meta(
        min_length=3,
        max_length=3,
        description=f"three finite numbers on the scale 0 to 255, at most {_LARGEST:g}",
    ),
]
Deviations = Annotated[
    tuple[_Deviation, ...],
    Meta(
        min_length=3,
        max_length=3,
        description=f"three numbers above 0 on the scale 0 to 255, at least {_SMALLEST:g}",
    ),
]


@dataclass(frozen=True, kw_only=True)
class PixelSpec:
    """How an image becomes the numbers that a model takes: resized, cropped, its channels ordered and normalised."""

    size: Side
    """Height and width in pixels of what the model takes, after the crop."""
    channels: Channels = "RGB"
    """Order of the channels, also in `mean` and `std`; for L (grey) only their first numbers are used."""
    resize: Side
    """Pixels of the shorter side before the centre crop; of both sides if `crop_mode` is squash."""
    crop_mode: CropMode = "center"
    filter: Filter = "bicubic"
    mean: Means
    """Mean of each channel, on the scale 0 to 255, which is subtracted from the pixels."""
    std: Deviations
    """Standard deviation of each channel, on the scale 0 to 255, by which the difference is divided."""
    exif_orientation: bool = False
    """Whether the image is turned upright as its EXIF orientation says."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (size, size, 3) of a decoded image, which is always RGB in uint8."""
        return (self.size, self.size, 3)
