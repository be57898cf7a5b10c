"""Extraction against a plain loop that decodes, then infers: same images, backbone and process, interleaved.

    python benchmarks/throughput.py [--images N] [--repeats N]

Needs the extra `demo`. featx is timed whole, from listing to the sealed cache; the plain loop until the array.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from plain import plain_features
from record import keep

from featx.backbones import load_backbone
from featx.demo import BACKBONE, list_cells
from featx.extract import extract_features
from featx.images import ImageSet
from featx.provenance import usable_cores
from featx.settings import Settings


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Wall seconds, and the share of all cores that was busy."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return wall, cpu / wall / usable_cores()


def first(images: ImageSet, count: int) -> ImageSet:
    """The first images of the set."""
    return replace(images, names=images.names[:count], labels=None, classes=())


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    backbone = load_backbone(BACKBONE)
    walls: dict[str, list[float]] = {"featx": [], "serial, batch 1": [], "serial, batch 16": []}
    busy: dict[str, list[float]] = {name: [] for name in walls}
    with tempfile.TemporaryDirectory() as folder:
        images = first(list_cells(Path(folder) / "elpv.csv"), arguments.images)
        runs: dict[str, Callable[[], object]] = {
            "featx": lambda: extract_features(
                images, backbone, into=Path(folder) / "c.h5", settings=Settings(device="cpu"), overwrite=True
            ),
            "serial, batch 1": lambda: plain_features(images, backbone, batch=1),
            "serial, batch 16": lambda: plain_features(images, backbone, batch=16),
        }
        for _ in range(arguments.repeats):
            for name, run in runs.items():
                wall, share = timed(run)
                walls[name].append(wall)
                busy[name].append(share)
    keep("throughput", summary(len(images), walls, busy))


def summary(count: int, walls: dict[str, list[float]], busy: dict[str, list[float]]) -> dict[str, object]:
    """Medians, and how many times faster featx was, repeat by repeat."""
    rows = [
        {
            "name": name,
            "images_per_second": count / float(np.median(seconds)),
            "cores_busy": float(np.median(busy[name])),
            "featx_is_faster_by": [other / own for own, other in zip(walls["featx"], seconds, strict=True)],
            "seconds": seconds,
        }
        for name, seconds in walls.items()
    ]
    return {"images": count, "backbone": BACKBONE, "image_set": "ELPV, 300 x 300 grey PNG", "rows": rows}


if __name__ == "__main__":
    main()
