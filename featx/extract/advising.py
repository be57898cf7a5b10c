"""Gives advice at the end of a run: which stage limited it, and what would make it faster."""

import time
from contextlib import suppress

import numpy as np

from featx.backbones import Card
from featx.errors import DecodeError, ImageSetError
from featx.extract.clock import StageClock
from featx.extract.pace import Pace
from featx.hardware import usable_cores
from featx.inputs import ImageSet, PixelSpec, Stored, check_views, decode_views
from featx.settings import DECODES, Decode, Settings

WORTHWHILE = 1.1
"""Advice is given if the run would be at least this many times faster."""
BUSY = 0.8
"""More threads would help if they worked for less than this share of the cores' time."""
LEAST_SECONDS = 0.25
"""A run shorter than this says nothing about disks."""
DECODED_AGAIN = 16
"""Number of images that are decoded once more, in both ways, to estimate the gain of fast decoding."""
DECODING_SHARE = 0.01
"""The estimate ends early when it has taken this share of the CPU time of the run."""


def advise(
    clock: StageClock, images: ImageSet, card: Card, *, pace: Pace, settings: Settings, on_cpu: bool
) -> tuple[str, ...]:
    """How busy the cores were, and what would make the run faster, unless it was too short to tell."""
    stage = clock.bound_by
    cores = usable_cores()
    busy = clock.cpu_seconds / clock.elapsed
    working = clock.seconds["decode"] + (pace.threads * clock.seconds["infer"] if on_cpu else 0)
    spare = working / clock.elapsed < BUSY * cores
    others = not spare and busy < BUSY * cores
    load = f"{busy:.1f} of {cores} cores busy{', other programs had the rest' if others else ''}"
    if clock.elapsed < LEAST_SECONDS and stage in ("read", "write"):
        return (load,)
    if stage == "read":
        return load, f"images come too slowly for {pace.workers} threads: more --workers, or a faster disk, would help"
    if stage == "write":
        return load, "a faster disk for the cache would help"
    if spare and (on_cpu or stage == "decode"):
        return load, "more --workers, --streams or --threads would use the other cores"
    if stage == "decode":
        return load, _advise_decoding(clock, images, card.input.pixels, settings)
    return load, _advise_model(clock, card, on_cpu=on_cpu)


def _advise_decoding(clock: StageClock, images: ImageSet, spec: PixelSpec, settings: Settings) -> str:
    if settings.decode == "exact" and not images.source.remote and may_be_fast(spec, settings):
        gain = _gain_of_fast_decoding(images, spec, settings, most=DECODING_SHARE * clock.cpu_seconds)
        saved = clock.cpu["decode"] * (1 - 1 / gain)
        faster = clock.cpu_seconds / (clock.cpu_seconds - saved)
        if faster >= WORTHWHILE:
            return f"--decode fast would give about {faster:.1f}×"
    return "more cores, or smaller images, would help"


def may_be_fast(spec: PixelSpec, settings: Settings) -> bool:
    """Whether all views can be made with `--decode fast`."""
    try:
        check_views(settings.views, spec, decode="fast")
    except ImageSetError:
        return False
    return True


def _gain_of_fast_decoding(images: ImageSet, spec: PixelSpec, settings: Settings, *, most: float) -> float:
    """How many times faster some images of the set are decoded with `--decode fast`; takes about `most` seconds.

    An image whose pixels are the same either way counts as decoded equally fast.
    """
    seconds: dict[Decode, float] = {"exact": 0.0, "fast": 0.0}
    for row in range(0, len(images), max(1, len(images) // DECODED_AGAIN)):
        with suppress(DecodeError, OSError, MemoryError):
            for decode, spent in _seconds_to_decode(images.read_bounded(row), spec, settings).items():
                seconds[decode] += spent
        if sum(seconds.values()) > most:
            break
    return seconds["exact"] / seconds["fast"] if all(seconds.values()) else 1.0


def _seconds_to_decode(stored: Stored, spec: PixelSpec, settings: Settings) -> dict[Decode, float]:
    """CPU seconds to make the views of an image in both ways."""
    seconds: dict[Decode, float] = {}
    pixels = {}
    for decode in DECODES:
        start = time.thread_time()
        pixels[decode] = decode_views(stored, spec, settings.views, max_pixels=settings.max_pixels, decode=decode)
        seconds[decode] = time.thread_time() - start
    same = np.array_equal(pixels["exact"], pixels["fast"])
    return dict.fromkeys(seconds, sum(seconds.values())) if same else seconds


def _advise_model(clock: StageClock, card: Card, *, on_cpu: bool) -> str:
    if on_cpu:
        share = 1 - sum(clock.cpu[stage] for stage in ("read", "decode", "write")) / clock.cpu_seconds
        limit = f"{share:.0%} of the work is the model: a GPU"
        lower = "an int8 backbone (featx backbones quantize)"
    else:
        limit = "the device is the limit: one more"
        lower = "a float16 backbone (featx backbones quantize)"
    return f"{limit}, or {lower if card.computes_in == 'float32' else 'a smaller backbone'}, would help"
