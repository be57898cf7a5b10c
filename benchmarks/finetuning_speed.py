"""One epoch of the last blocks from cached maps, beside the same training whose frozen blocks run in every epoch.

    python benchmarks/finetuning_speed.py [--images N] [--repeats N] [--threads N]

EfficientNet-Lite0, cut behind block 13. The same weights are trained in all ways, by the same loop, batches and seed:
from the maps that a cache holds of eight views of each image, read from its file batch by batch; from maps that ONNX
Runtime computes anew for every batch; and by torch throughout, which computes the frozen blocks without gradients. The
last two are given pixels that are in memory already, without the decoding that they would need. Beside them: torch
throughout with all weights trained. All run in this process in turn; making the cache, which
happens once, is timed too.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from record import keep
from sets import jpegs
from timing import Run, Seconds, interleave, ratios

from featx.backbones import Backbone, FeatureSession, find_cut, load_backbone, map_backbone, open_session
from featx.cache import read_features
from featx.convert import model_input
from featx.estimators import LinearScores
from featx.extract import extract_features
from featx.finetuning.maps import CachedMaps, Rows, TailInputs
from featx.finetuning.network import read_network
from featx.finetuning.plan import Plan
from featx.finetuning.state import StateFile
from featx.finetuning.tail import build_tail
from featx.finetuning.training import Examples, Training
from featx.hardware import usable_cores
from featx.inputs import ImageSet, decode_image, parse_views
from featx.labels import Labels
from featx.settings import Settings

LITE0, CUT = "efficientnet-lite0", "/_blocks.13/Add_output_0"
VIEWS = parse_views("symmetries")
CACHED, RUNTIME, TORCH, ALL = "cached maps", "frozen part in ONNX Runtime", "torch throughout", "torch, all weights"
WANTED = {RUNTIME: 2.0, TORCH: 5.0}
CLASSES = 2


@dataclass(frozen=True)
class ComputedMaps:
    """Maps that ONNX Runtime computes anew from the pixels of each batch."""

    pixels: NDArray[np.uint8]
    session: FeatureSession
    shape: tuple[int, ...]
    views: int = 1

    def take(self, rows: Rows, views: Rows) -> NDArray[np.float32]:
        """The maps (n, *shape) of these rows."""
        return self.session(self.pixels[rows]).reshape(len(rows), *self.shape)


@dataclass(frozen=True)
class Inputs:
    """What the model takes of the pixels of each batch."""

    pixels: NDArray[np.uint8]
    backbone: Backbone
    views: int = 1

    def take(self, rows: Rows, views: Rows) -> NDArray[np.float32]:
        """The normalised images (n, 3, size, size) of these rows."""
        return np.asarray(model_input(self.backbone.card, self.pixels[rows]), np.float32)


@dataclass(frozen=True)
class Bench:
    """Images, and the folder of the cache."""

    images: ImageSet
    folder: Path
    threads: int
    """Of torch, and of ONNX Runtime."""

    @cached_property
    def backbone(self) -> Backbone:
        """The network."""
        return load_backbone(LITE0)

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """All images, decoded."""
        spec = self.backbone.card.input.pixels
        return np.stack([decode_image(self.images.read_bounded(row), spec) for row in range(len(self.images))])

    @property
    def cache(self) -> Path:
        """The file with the maps."""
        return self.folder / "maps.h5"

    def make_cache(self) -> None:
        """Compute the maps of all views."""
        settings = Settings(device="cpu", views=VIEWS)
        backbone = map_backbone(self.backbone, CUT)
        extract_features(self.images, backbone, into=self.cache, settings=settings, storage="float16", overwrite=True)

    def ways(self) -> dict[str, Callable[[], object]]:
        """One epoch of each way of training."""
        shape = find_cut(self.backbone, CUT).shape
        session = open_session(map_backbone(self.backbone, CUT), device="cpu", threads=self.threads)
        maps = CachedMaps(read_features(self.cache).parts[0], shape)
        whole = Inputs(self.pixels, self.backbone)
        return {
            CACHED: self._epoch(maps, self._network(CUT)),
            RUNTIME: self._epoch(ComputedMaps(self.pixels, session, shape), self._network(CUT)),
            TORCH: self._epoch(whole, self._frozen()),
            ALL: self._epoch(whole, self._network(self.backbone.card.input.name)),
        }

    def _network(self, tensor: str) -> Any:
        return read_network(self.backbone, tensor)

    def _frozen(self) -> Any:
        """The whole network, of which only the weights behind the cut are trained."""
        network = self._network(self.backbone.card.input.name)
        trained = set(self._network(CUT).initializers.values())
        for parameter, name in network.initializers.items():
            network.get_parameter(parameter).requires_grad_(name in trained)
        return network

    def _epoch(self, inputs: TailInputs, network: Any) -> Callable[[], object]:
        count = len(self.images)
        labels = Labels(tuple("ab"), np.arange(count) % CLASSES)
        examples = Examples(np.arange(count), labels)
        tail = build_tail(network, LinearScores.zeros(CLASSES, self.backbone.card.dim))

        def run() -> object:
            with tempfile.TemporaryDirectory(dir=self.folder) as place:
                return Training(tail, inputs, examples, Plan(epochs=1)).run(StateFile(Path(place) / "state", "one"))

        return run


def measure(bench: Bench, repeats: int) -> dict[str, Any]:
    """Seconds of all ways, and how much longer the others take than cached maps do."""
    making = Seconds(len(bench.images))
    making.time(bench.make_cache)
    runs = {name: Run(way, len(bench.images)) for name, way in bench.ways().items()}
    interleave(runs, 1)  # compiles, and reads the cache into memory as a first epoch does
    took, _ = interleave(runs, repeats)
    return {
        "images": len(bench.images),
        "views": VIEWS,
        "cut": CUT,
        "threads": bench.threads,
        "making": asdict(making),
        "bytes": bench.cache.stat().st_size,
        "took": {name: asdict(seconds) for name, seconds in took.items()},
        "ratios": {name: ratios(took[name].wall, took[CACHED].wall) for name in took if name != CACHED},
        "wanted": WANTED,
    }


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=usable_cores())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        bench = Bench(jpegs(folder / "photos", (640, 427), count=given.images).list(), folder, given.threads)
        found = measure(bench, given.repeats)
    for name, seconds in found["took"].items():
        print(
            name, [round(one, 2) for one in seconds["wall"]], [round(one, 2) for one in found["ratios"].get(name, [])]
        )
    keep("finetuning_speed", found, beside=["torch"])


if __name__ == "__main__":
    main()
