"""featx's own ways from images to features, timed whole."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featx.backbones import Backbone
from featx.cache import read_features
from featx.extract import ExtractionSummary, extract_features
from featx.images import ImageSet
from featx.settings import Device, Settings


@dataclass(frozen=True)
class Lane:
    """A backbone and settings, everything that calibration chooses left to it."""

    backbone: Backbone
    settings: Settings
    into: Path

    def extract(self, images: Callable[[], ImageSet]) -> ExtractionSummary:
        """List and extract, into a cache that is written anew."""
        return extract_features(images(), self.backbone, into=self.into, settings=self.settings, overwrite=True)

    def features(self, images: ImageSet) -> NDArray[np.float32]:
        """Features (n, dim) of these images."""
        self.extract(lambda: images)
        return np.asarray(read_features(self.into).features)


def open_lanes(backbone: Backbone, folder: Path, *, device: Device) -> dict[str, Lane]:
    """Lanes by name, `exact` first."""
    return {"exact": Lane(backbone, Settings(device=device), folder / "exact.h5")}
