"""What an image costs: the seconds for which the backbone kept the device busy with it, measured while extracting."""

import zlib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from featx.cache.file import Cache

COST = "cost"
"""The dataset: seconds an image, the numbers of images and of cores, and the crc32 of these; zeros if unknown."""
COST_SHAPE = (4,)


@dataclass(frozen=True)
class Cost:
    """How long the backbone kept the device busy with an image, on average; reading and decoding do not count."""

    seconds_per_image: float
    """Over all views of the image that are used."""
    images: int
    """Number of images over which that is the mean."""
    cores: int
    """Number of cores that it ran on; 0 if it ran on something else than a processor."""
    provider: str
    device: str

    @property
    def where(self) -> tuple[str, str, int]:
        """What must agree for two costs to be comparable."""
        return self.provider, self.device, self.cores

    def values(self) -> NDArray[np.float64]:
        """The content of the dataset."""
        known = np.array([self.seconds_per_image, self.images, self.cores])
        return np.append(known, zlib.crc32(known.tobytes()))


def scale_cost(cost: Cost | None, *, views: int, of: int) -> Cost | None:
    """The cost of `views` views of an image, from a cost that was measured over `of` views of it."""
    return cost and replace(cost, seconds_per_image=cost.seconds_per_image * views / of)


def has_cost(cache: Cache) -> bool:
    """Whether the file has room for the cost; caches of older versions have none."""
    place = cache.fields.get(COST)
    return place is not None and place.dtype == np.float64 and place.shape == COST_SHAPE


def cost_of(cache: Cache) -> Cost | None:
    """What an image has cost, or None if the cache does not say."""
    if not has_cost(cache):
        return None
    values = cache.read(COST)
    seconds, images, cores, checksum = values.tolist()
    if zlib.crc32(values[:3].tobytes()) != checksum or not images:
        return None  # unknown, or half of a write
    return Cost(seconds, int(images), int(cores), cache.provider, str(cache.attributes.get("device", "")))


def add_costs(first: Cost | None, second: Cost) -> Cost:
    """The mean cost over the images of both; where they were measured differently, the one of more images."""
    if first is None:
        return second
    if first.where != second.where:
        return max(first, second, key=lambda cost: cost.images)
    images = first.images + second.images
    total = first.seconds_per_image * first.images + second.seconds_per_image * second.images
    return replace(first, seconds_per_image=total / images, images=images)
