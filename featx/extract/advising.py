"""What the stages of a run took in; what kept it from being faster, and what would help, out."""

import time
from contextlib import suppress

from featx.backbones import Card
from featx.errors import DecodeError
from featx.extract.batches import StageClock
from featx.extract.pace import Pace
from featx.hardware import usable_cores
from featx.inputs import ImageSet, decode_image
from featx.settings import Decode, Settings

WORTHWHILE = 1.1
"""What makes a run less than so many times faster is not advised."""
ENOUGH = 0.8
"""Where threads were at work for a smaller share of the cores, more of them would help."""
SAMPLE = 16
"""Images that are decoded once more, both ways, to tell what the other way would give, unless that takes long:"""
SHARE = 0.01
"""more than this share of the work that was done."""


def advise(
    clock: StageClock, images: ImageSet, card: Card, *, pace: Pace, settings: Settings, on_cpu: bool
) -> tuple[str, ...]:
    """What the run was busy with, and what would make it faster."""
    stage, cores, busy = clock.bound_by, usable_cores(), clock.cpu_seconds / clock.elapsed
    working = clock.seconds["decode"] + (pace.threads * clock.seconds["infer"] if on_cpu else 0)
    spare = working / clock.elapsed < ENOUGH * cores
    others = not spare and busy < ENOUGH * cores
    load = f"{busy:.1f} of {cores} cores busy{', other programs had the rest' if others else ''}"
    if stage == "read":
        return load, f"images come too slowly for {pace.workers} threads: more --workers, or a faster disk, would help"
    if stage == "write":
        return load, "a faster disk for the cache would help"
    if spare and (on_cpu or stage == "decode"):
        return load, "more --workers, --streams or --threads would use the other cores"
    if stage == "decode":
        return load, _advise_decoding(clock, images, card, settings)
    return load, _advise_model(clock, card, on_cpu=on_cpu)


def _advise_decoding(clock: StageClock, images: ImageSet, card: Card, settings: Settings) -> str:
    if settings.decode == "exact" and not images.source.remote:
        gain = _gain(images, card, settings, most=SHARE * clock.cpu_seconds)
        saved = clock.cpu["decode"] * (1 - 1 / gain)
        if (faster := clock.cpu_seconds / (clock.cpu_seconds - saved)) >= WORTHWHILE:
            return f"--decode fast would give about {faster:.1f}×"
    return "more cores, or smaller images, would help"


def _gain(images: ImageSet, card: Card, settings: Settings, *, most: float) -> float:
    """How many times faster the fast lane decodes some images of the set, found in about so many seconds at most."""
    seconds: dict[Decode, float] = {"exact": 0.0, "fast": 0.0}
    for row in range(0, len(images), max(1, len(images) // SAMPLE)):
        with suppress(DecodeError, OSError, MemoryError):
            stored = images.read(row)
            for lane in seconds:
                start = time.thread_time()
                decode_image(stored, card, max_pixels=settings.max_pixels, decode=lane)
                seconds[lane] += time.thread_time() - start
        if sum(seconds.values()) > most:
            break
    return seconds["exact"] / seconds["fast"] if all(seconds.values()) else 1.0


def _advise_model(clock: StageClock, card: Card, *, on_cpu: bool) -> str:
    share = 1 - sum(clock.cpu[stage] for stage in ("read", "decode", "write")) / clock.cpu_seconds
    limit, more, fewer = (
        (f"{share:.0%} of the work is the model", "a GPU", "an int8 backbone (featx backbones quantize)")
        if on_cpu
        else ("the device is the limit", "one more", "a float16 backbone (featx backbones quantize)")
    )
    return f"{limit}: {more}, or {fewer if card.computes_in == 'float32' else 'a smaller backbone'}, would help"
