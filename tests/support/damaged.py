"""Damages files that hold images, many times, in a process of its own: lists and reads each, and says how it went.

    python -m tests.support.damaged COUNT SEED FILE ...

Prints one line of JSON for each file: how often it was refused, how many images were read, how many failed.
"""

import json
import random
import resource
import sys
from pathlib import Path

from featx.errors import ImageSetError
from featx.inputs import list_images

MEMORY = 4 << 30
"""Bytes of address space: a header that lies about its size must not make anything take more."""


def damage(data: bytes, rng: random.Random) -> bytes:
    """The bytes cut short, or with some bits flipped or bytes overwritten, mostly where headers are."""
    if rng.random() < 0.2:
        return data[: rng.randrange(len(data))]
    spoilt = bytearray(data)
    start, stop = rng.choice([(0, 600), (len(data) - 1500, len(data)), (0, len(data))])
    for _ in range(rng.choice([1, 1, 2, 16])):
        place = rng.randrange(max(start, 0), min(stop, len(data)))
        spoilt[place] = rng.choice([spoilt[place] ^ 1 << rng.randrange(8), 0, 255, rng.randrange(256)])
    return bytes(spoilt)


def try_out(path: Path) -> tuple[int, int, int]:
    """Whether the file is refused, how many of its images are read, how many fail; anything else is raised."""
    try:
        images = list_images(path)
    except ImageSetError:
        return 1, 0, 0
    read = failed = 0
    for row in range(min(len(images), 1000)):
        try:
            images.stat(row)
            images.read(row)
            read += 1
        except (OSError, MemoryError):
            failed += 1
    return 0, read, failed


def main(path: Path, count: int, seed: int) -> None:
    """Try so many damages of the file."""
    rng, data = random.Random(seed), path.read_bytes()
    told = [0, 0, 0]
    for _ in range(count):
        spoilt = path.with_stem("spoilt")
        spoilt.write_bytes(damage(data, rng))
        told = [sum(pair) for pair in zip(told, try_out(spoilt), strict=True)]
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for file in sys.argv[3:]:
        main(Path(file), int(sys.argv[1]), int(sys.argv[2]))
