"""Defines the session of an opened backbone, a function from pixels to features."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featx.backbones.card import Output
from featx.backbones.session.nvidia import HostMemory

Pixels = NDArray[np.uint8]
Features = NDArray[np.float32]


@dataclass(frozen=True)
class FeatureSession:
    """An opened backbone: called with pixels, it returns features; with several devices, each call uses a free one."""

    provider: str
    """The execution provider that runs the model, as caches record it."""
    name: str
    outputs: tuple[Output, ...]
    """The outputs whose features are the columns of the result, side by side."""
    step: int | None
    """Number of images in each run of the model if that is fixed, so that batches are divided; else None."""
    batch: int | None
    """Batch size of the graph itself if that is fixed; else None."""
    size: int
    """Height and width of the images in pixels."""
    streams: int
    """Number of concurrent calls, each from its own thread, that keep the devices busy."""
    run: Callable[[Pixels], Features]
    on_cpu: bool = True
    """Whether it runs on the cores that also decode images."""
    device: str = ""
    """The hardware, in words."""
    zeros: Callable[[tuple[int, ...]], Pixels] = field(default=HostMemory().zeros, repr=False)

    def new_buffer(self, count: int) -> Pixels:
        """Zeros (count, size, size, 3) in memory that the device reads without another copy."""
        return self.zeros((count, self.size, self.size, 3))

    def __call__(self, pixels: Pixels) -> Features:
        """Features (batch, sum of dims) float32 of pixels (batch, size, size, 3). Raises InferenceError."""
        if self.step is None:
            return self.run(pixels)
        blocks = [pixels[start : start + self.step] for start in range(0, len(pixels), self.step)]
        blocks = blocks or [pixels]
        return np.concatenate([self.run(padded(block, self.batch or self.step))[: len(block)] for block in blocks])


def padded(pixels: NDArray[Any], batch: int) -> NDArray[Any]:
    """The pixels, followed by images of zeros up to a whole batch."""
    lacking = batch - len(pixels)
    return np.concatenate([pixels, np.zeros((lacking, *pixels.shape[1:]), pixels.dtype)]) if lacking else pixels
