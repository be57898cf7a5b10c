"""Decoding alone and inference alone, each with every core: what no extraction can do without.

The files are in memory before decoding is timed. Inference is timed on pixels of noise, with as many calls at once,
threads each and images a batch as went fastest in a short trial.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from featx.backbones import FeatureSession, open_session
from featx.backbones.store import Backbone
from featx.hardware import usable_cores
from featx.inputs import ImageSet, PixelSpec, Stored
from featx.inputs.decode import decode_image
from featx.settings import Decode, Device

BATCHES = {"cpu": (2, 4, 16), "cuda": (16, 64, 256)}
TRIAL_SECONDS = 0.5
TRIALS = 3
"""Of each way to call a session, in turns: a machine that is slowed down for a second should not choose."""


@dataclass(frozen=True)
class Decoding:
    """Files in memory, to be decoded as the specification asks."""

    files: list[Stored]
    spec: PixelSpec
    decode: Decode

    @classmethod
    def of(cls, images: ImageSet, spec: PixelSpec, decode: Decode) -> "Decoding":
        """With every file of the image set."""
        return cls([images.read(row) for row in range(len(images))], spec, decode)

    def run(self) -> None:
        """Decode all, one thread a core."""
        with ThreadPoolExecutor(usable_cores()) as pool:
            for _ in pool.map(lambda file: decode_image(file, self.spec, decode=self.decode), self.files):
                pass


@dataclass(frozen=True)
class Inference:
    """A session, and how it is called."""

    session: FeatureSession
    threads: int
    batch: int

    def run(self, images: int) -> None:
        """Run this number of images of noise, in whole batches, as many at once as the session runs best."""
        with ThreadPoolExecutor(self.session.streams) as pool:
            for _ in pool.map(self.session, repeat(self._noise, images // self.batch)):
                pass

    def whole(self, images: int) -> int:
        """This number of images, less those of a batch that they would not fill."""
        return max(1, images // self.batch) * self.batch

    def to_dict(self) -> dict[str, int]:
        """How it is called, as plain JSON values."""
        return {"streams": self.session.streams, "threads": self.threads, "batch_size": self.batch}

    @cached_property
    def _noise(self) -> NDArray[np.uint8]:
        pixels = self.session.new_buffer(self.batch)
        pixels[:] = np.random.default_rng(0).integers(0, 256, pixels.shape, np.uint8)
        return pixels

    def images_per_second(self) -> float:
        """In a short trial, after a run that warms it up."""
        images, done = self.batch * self.session.streams, 0
        self.run(images)
        start = time.perf_counter()
        while time.perf_counter() - start < TRIAL_SECONDS:
            self.run(images)
            done += images
        return done / (time.perf_counter() - start)


def fastest_inference(backbone: Backbone, *, device: Device) -> Inference:
    """The one of a small grid that does most images a second, in the median of some trials."""
    ways = list(_grid(backbone, device))
    rates = np.median([[way.images_per_second() for way in ways] for _ in range(TRIALS)], axis=0)
    return ways[int(rates.argmax())]


def _grid(backbone: Backbone, device: Device) -> Iterator[Inference]:
    cores = usable_cores()
    for streams in sorted({1, cores}) if device == "cpu" else (2,):
        threads = max(1, cores // streams)
        session = open_session(backbone, device=device, threads=threads, streams=streams)
        yield from (Inference(session, threads, batch) for batch in BATCHES[device])
