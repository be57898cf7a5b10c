"""Gives the tail what it is trained on: maps of views from a cache, or the pixels of images, decoded each time."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from featx.backbones import Card
from featx.cache import Part
from featx.convert import model_input
from featx.errors import DecodeError, FineTuningError, one_line
from featx.hardware import usable_cores
from featx.inputs import ImageSet, decode_views
from featx.settings import Settings

Rows = NDArray[np.int64]


class TailInputs(Protocol):
    """What the tail is trained on, one array for each view of each image."""

    @property
    def views(self) -> int:
        """Number of views of each image."""

    def take(self, rows: Rows, views: Rows) -> NDArray[np.float32]:
        """The array of one view (n,) of each of these rows (n,) of the table, side by side (n, ...)."""


@dataclass(frozen=True)
class CachedMaps:
    """The maps at a cut, which stay in the file of the cache until a batch needs them."""

    part: Part
    shape: tuple[int, ...]
    """Of one map."""

    @property
    def views(self) -> int:
        """Number of views of each image."""
        return len(self.part.known_views)

    def take(self, rows: Rows, views: Rows) -> NDArray[np.float32]:
        """The maps (n, *shape) of one view (n,) of each of these rows (n,) of the table."""
        located = self.part.locate(rows)
        stored = self.part.values[located] if self.part.values.ndim == 2 else self.part.values[located, views]
        return stored.astype(np.float32).reshape(len(rows), *self.shape)


@dataclass(frozen=True)
class DecodedImages:
    """The images themselves, decoded anew whenever a batch needs them."""

    images: ImageSet
    positions: Rows
    """(rows of the table,): the position of each row in the image set."""
    card: Card
    names: Sequence[str]
    """The names of the views."""
    settings: Settings

    @property
    def views(self) -> int:
        """Number of views of each image."""
        return len(self.names)

    def take(self, rows: Rows, views: Rows) -> NDArray[np.float32]:
        """What the model takes (n, 3, size, size), or in its own layout.

        Raises FineTuningError if an image cannot be read again.
        """
        with ThreadPoolExecutor(self.settings.workers or usable_cores()) as pool:
            pixels = list(pool.map(self._decode, rows.tolist(), views.tolist()))
        return np.asarray(model_input(self.card, np.stack(pixels)), np.float32)

    def _decode(self, row: int, view: int) -> NDArray[np.uint8]:
        position = int(self.positions[row])
        try:
            stored = self.images.read_bounded(position)
            views = decode_views(
                stored,
                self.card.input.pixels,
                [self.names[view]],
                max_pixels=self.settings.max_pixels,
                decode=self.settings.decode,
            )
        except (DecodeError, OSError) as error:
            raise FineTuningError(
                f"{bytes(self.images.names[position]).decode()}: could be read before, but not now "
                f"({one_line(error)}); run the same command again"
            ) from error
        return np.asarray(views[0])
