"""featx's own ways from images to features: exact, with faster decoding, in fewer bits; and what each of them needs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featx.backbones.store import Backbone, load_backbone
from featx.cache import read_features
from featx.convert import quantize_backbone
from featx.extract import ExtractionSummary, extract_features
from featx.inputs import ImageSet
from featx.settings import (
    DEFAULTS,
    LOWER_PRECISIONS,
    Device,
    Settings,
)

EXACT, FAST, INT8, FLOAT16 = "exact", "fast", "int8", "float16"
DECODING, INFERENCE = "decoding alone", "inference alone"
"""What these are called for the lane `exact`."""


@dataclass(frozen=True)
class Lane:
    """A backbone and settings, everything that calibration chooses left to it."""

    backbone: Backbone
    settings: Settings
    into: Path

    @property
    def decoding(self) -> str:
        """What its decoding alone is called."""
        decode = self.settings.decode
        return DECODING + (f", {decode}" if decode != DEFAULTS.decode else "")

    @property
    def inference(self) -> str:
        """What its inference alone is called."""
        card = self.backbone.card
        return INFERENCE + (f", {card.computes_in}" if card.quantized else "")

    def extract(self, images: Callable[[], ImageSet]) -> ExtractionSummary:
        """List and extract, into a cache that is written anew."""
        return extract_features(images(), self.backbone, into=self.into, settings=self.settings, overwrite=True)

    def features(self) -> NDArray[np.float32]:
        """Features (n, dim) that it extracted last."""
        return np.asarray(read_features(self.into).features)


def open_lanes(
    names: Sequence[str], backbone: Backbone, images: ImageSet, *, folder: Path, device: Device
) -> dict[str, Lane]:
    """Lanes by name; those of fewer bits are calibrated on these images unless they lie in the folder."""
    return {
        name: Lane(
            _in_precision(name, backbone, images, folder),
            Settings(device=device, decode="fast" if name == FAST else DEFAULTS.decode),
            folder / f"{name}.h5",
        )
        for name in names
    }


def _in_precision(lane: str, backbone: Backbone, images: ImageSet, folder: Path) -> Backbone:
    """The backbone as it is, but in a lane that is called after a precision."""
    for precision in LOWER_PRECISIONS:
        if lane == precision:
            name = f"{backbone.name}-{precision}"
            if (folder / f"{name}.toml").exists():
                return load_backbone(name, folder=folder)
            return quantize_backbone(backbone, images, name=name, precision=precision, into=folder).backbone
    return backbone
