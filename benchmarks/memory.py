"""Peak memory of extracting 200,000 images against 20,000, and how fast everything but the model is.

    python benchmarks/memory.py [--repeats N] [--few N] [--many N]

The images are files of a few bytes, all different; the backbone is a mean and a matrix (tiny.py): what is measured is
the flow itself. Every run is a process of its own, as its peak is that of the whole process.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from record import keep
from tiny import SIZE, write_tiny

from featx.backbones.store import load_backbone
from featx.cache import verify_cache
from featx.extract import extract_features
from featx.inputs import list_images
from featx.settings import Settings

A_FOLDER = 1000


def write_images(root: Path, start: int, stop: int) -> None:
    """Files of 16 x 16 pixels, each with its number in them, a thousand in a folder."""
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    for number in range(start, stop):
        pixels[0, 0], pixels[0, 1] = np.frombuffer(number.to_bytes(6, "little"), np.uint8).reshape(2, 3)
        folder = root / f"{number // A_FOLDER:05}"
        if number % A_FOLDER == 0:
            folder.mkdir(parents=True)
        Image.fromarray(pixels).save(folder / f"{number:08}.ppm")


def peak_bytes() -> int:
    """The most memory that this process has had; what getrusage tells includes the process that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def run(root: Path, models: Path, into: Path) -> dict[str, float]:
    """Extract, then say what it took; called in a process of its own."""
    start = time.perf_counter()
    images = list_images(root)
    listed = time.perf_counter()
    summary = extract_features(images, load_backbone("tiny", folder=models), into=into, settings=Settings("cpu"))
    done = time.perf_counter()
    assert summary.failed == 0
    peak = peak_bytes()
    again = time.perf_counter()
    assert verify_cache(into) == []
    return {
        "images": len(images),
        "peak_bytes": peak,
        "list_seconds": listed - start,
        "extract_seconds": done - listed,
        "verify_seconds": time.perf_counter() - again,
        "file_bytes": into.stat().st_size,
    }


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--few", type=int, default=20_000)
    parser.add_argument("--many", type=int, default=200_000)
    parser.add_argument("--run", nargs=3, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        print(json.dumps(run(*arguments.run)))
        return
    rows: dict[str, list[dict[str, float]]] = {"few": [], "many": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_tiny(folder)
        for key, count in (("few", arguments.few), ("many", arguments.many)):
            write_images(folder / key, 0, count)
        for repeat in range(arguments.repeats):
            for key, found in rows.items():
                into = folder / f"{key}{repeat}.h5"
                command = [sys.executable, __file__, "--run", str(folder / key), str(folder), str(into)]
                found.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
                into.unlink()
    ratios = [many["peak_bytes"] / few["peak_bytes"] for few, many in zip(rows["few"], rows["many"], strict=True)]
    keep("memory", {"ratio": ratios, **rows})


if __name__ == "__main__":
    main()
