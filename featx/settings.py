"""What one can choose: how to extract, and the words of a card. Imports nothing."""

from dataclasses import dataclass
from typing import Literal, get_args

BUNDLED = "efficientnet-lite0"
"""The backbone that comes with featx."""

Device = str
"""What `--device` takes: auto, cpu, cuda, cuda:1, cuda:0,cuda:1, tensorrt, openvino, ...; featx.devices reads it."""
Decode = Literal["exact", "fast"]
DECODES: tuple[Decode, ...] = get_args(Decode)


@dataclass(frozen=True)
class Settings:
    """How to read, decode and run images; `device` and `decode` change what comes out, all else how fast it comes."""

    device: Device = "auto"
    """`auto` takes CUDA where a session really gets it; `cuda:0,cuda:1` takes both."""
    batch_size: int | None = None
    """Images that are run at once; None for what a short calibration finds fastest."""
    streams: int | None = None
    """Batches that are run at the same time; None for what a short calibration finds fastest."""
    threads: int | None = None
    """Threads of the CPU for each of these; None for a fair share of the cores."""
    workers: int | None = None
    """Threads that read and decode; None for one a core."""
    max_pixels: int = 89_478_485
    """An image of more pixels fails: the size at which Pillow suspects a decompression bomb."""
    decode: Decode = "exact"
    """`fast` reads a JPEG at a half, a quarter or an eighth of its size where that covers what the card resizes to."""


DEFAULTS = Settings()

Storage = Literal["float32", "float16"]
STORAGES: tuple[Storage, ...] = get_args(Storage)
DEFAULT_STORAGE: Storage = "float32"
"""The type in which a cache keeps features; float16 halves it and keeps three digits."""

FILTERS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
CROP_MODES = ("center", "squash")
CHANNELS = ("RGB", "BGR", "L")
"""What a card may say of these, and so the options by which one is made."""

LowerPrecision = Literal["int8", "float16"]
LOWER_PRECISIONS: tuple[LowerPrecision, ...] = get_args(LowerPrecision)
"""What a backbone can be quantised to."""
CALIBRATING = 128
"""Images with which the ranges of its numbers are measured."""
