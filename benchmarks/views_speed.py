"""Eight views of each image in one extraction, against eight extractions: their times, and whether features are equal.

    python benchmarks/views_speed.py [--images N] [--repeats N]

Photographs of 640 x 427 pixels as JPEG; a tiny backbone, whose time is that of decoding, and EfficientNet-Lite0. Both
ways run in this process in turn, from listing to the sealed cache. The eight extractions read and decode every image
each time, as they do for anybody who makes views by changing images; they compute view 0 all eight times, whose cost is
that of any other. Then view 0 must have the same features to the last bit.
"""

import argparse
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from networks import LITE0, open_network
from record import keep
from sets import jpegs
from timing import Run, interleave, ratios

from featx.backbones.store import Backbone
from featx.cache import read_features
from featx.extract import extract_features
from featx.inputs import ImageSet, parse_views
from featx.settings import Settings

VIEWS = parse_views("symmetries")
BATCH = 4
"""Given, so that no calibration is timed."""
WANTED = {"tiny": 0.3, LITE0: 0.8}
IMAGES = {"tiny": 256, LITE0: 64}
"""Of each backbone, times what is given."""


@dataclass(frozen=True)
class Bench:
    """A backbone, the images, and where caches are written."""

    backbone: Backbone
    images: ImageSet
    folder: Path

    def at_once(self) -> Path:
        """The cache of all views."""
        return self._extract(self.folder / "views.h5", VIEWS)

    def one_by_one(self) -> Path:
        """The cache of the last of as many extractions as there are views."""
        return [self._extract(self.folder / f"{view}.h5", VIEWS[:1]) for view in VIEWS][-1]

    def _extract(self, into: Path, views: tuple[str, ...]) -> Path:
        settings = Settings(device="cpu", batch_size=BATCH, views=views)
        extract_features(self.images, self.backbone, into=into, settings=settings, overwrite=True)
        return into

    def measure(self, repeats: int) -> dict[str, Any]:
        """Seconds of both ways, their ratios, and the largest difference in view 0."""
        runs = {"views": Run(self.at_once, len(self.images)), "extractions": Run(self.one_by_one, len(self.images))}
        took, gave = interleave(runs, repeats)
        views, alone = (read_features(gave[name]).features for name in runs)
        return {
            "images": len(self.images),
            "took": {name: asdict(seconds) for name, seconds in took.items()},
            "ratio": ratios(took["views"].wall, took["extractions"].wall),
            "largest_difference": float(np.abs(views - alone).max()),
        }


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=float, default=4.0, help="times 64 for Lite0, and times 256 for tiny")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        most = round(given.images * max(IMAGES.values()))
        photos = jpegs(folder / "photos", (640, 427), count=most)
        for name, wanted in WANTED.items():
            images = photos.first(round(given.images * IMAGES[name]))
            bench = Bench(open_network(name, folder).backbone, images, folder)
            found[name] = {"wanted": wanted, **bench.measure(given.repeats)}
            print(name, found[name]["ratio"], flush=True)
    keep("views_speed", {"views": VIEWS, "batch_size": BATCH, "backbones": found})


if __name__ == "__main__":
    main()
