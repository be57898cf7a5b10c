"""What an opened model is: called with pixels, it returns features."""

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
    """An opened model: called with pixels, it returns features; of several devices, each call takes a free one."""

    provider: str
    """The execution provider that the session really got."""
    name: str
    outputs: tuple[Output, ...]
    """The outputs whose columns stand side by side in what is returned."""
    step: int | None
    """The number of images that are run at once where that is not free; None where it is."""
    batch: int | None
    """The number of images that it takes at once where its graph is fixed at one; None where it takes any."""
    size: int
    """Height and width of its pixels."""
    streams: int
    """The number of calls at once that are worth it, each from a thread of its own."""
    run: Callable[[Pixels], Features]
    on_cpu: bool = True
    """Whether it runs on the cores that decode, too."""
    device: str = ""
    """The hardware, in words."""
    zeros: Callable[[tuple[int, ...]], Pixels] = field(default=HostMemory().zeros, repr=False)

    def new_buffer(self, count: int) -> Pixels:
        """Zeros (count, size, size, 3): memory from which pixels reach the device without a further copy."""
        return self.zeros((count, self.size, self.size, 3))

    def __call__(self, pixels: Pixels) -> Features:
        """Features (batch, sum of dims) float32 of pixels (batch, size, size, 3). Raises InferenceError."""
        if self.step is None:
            return self.run(pixels)
        blocks = [pixels[start : start + self.step] for start in range(0, len(pixels), self.step)]
        blocks = blocks or [pixels]
        return np.concatenate([self.run(filled(block, self.batch or self.step))[: len(block)] for block in blocks])


def filled(pixels: NDArray[Any], batch: int) -> NDArray[Any]:
    """The pixels and as many images of zeros as the batch lacks."""
    lacking = batch - len(pixels)
    return np.concatenate([pixels, np.zeros((lacking, *pixels.shape[1:]), pixels.dtype)]) if lacking else pixels
