"""Extraction with decoding inside, against other ways of doing it and against the most that the machine can do.

    python benchmarks/throughput.py [--device cuda] [--backbones NAME ...] [--repeats N] [--share F]

Needs the extra `bench`; what is missing is left out, and said. featx is timed whole, from listing to the sealed cache;
its peers from the listed images to the array of features. All run in this one process in turn, every repeat beginning
with another one. It takes about twelve minutes on two cores; `--share 0.1` has a look with a tenth of the images.
"""

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from alone import Decoding, Inference, fastest_inference
from cases import CASES, LEAST, Case, write_sets
from lanes import Lane, open_lanes
from networks import Network, open_network
from peaks import measure_peaks
from peers import PACKAGES, agreeing_peers
from record import keep
from sets import PhotoSet
from timing import Run, Seconds, interleave, ratios

from featx.errors import BackboneError
from featx.provenance import usable_cores
from featx.settings import Device

DECODING, INFERENCE, EXACT, FEATX = "decoding alone", "inference alone", "exact", "featx"
"""What is timed beside the other lanes and the peers; the last is the lane `exact` on the images that peers get."""
INFERRED = 512
"""Images that inference alone is timed on, at most."""


@dataclass(frozen=True)
class Bench:
    """A network, and how it is measured."""

    network: Network
    inference: Inference
    lanes: Mapping[str, Lane]
    repeats: int

    def measure(self, case: Case, photos: PhotoSet) -> dict[str, Any]:
        """What every way of doing it took, and the ratios between them."""
        peers, told = self._peers(case, photos) if case.compared else ({}, {})
        took, gave = interleave(self._alone(case, photos) | self._lanes(case, photos) | peers, self.repeats)
        return {
            **asdict(case),
            "title": photos.title,
            "inference": self.inference.to_dict(),
            "took": {name: asdict(seconds) for name, seconds in took.items()},
            "lanes": {name: {"stages": gave[name].stages, "bound_by": gave[name].bound_by} for name in self.lanes},
            "peers": told,
            **over_the_least(took),
            "exact_over_lane": {name: ratios(took[EXACT].wall, took[name].wall) for name in self.lanes},
            "peer_over_featx": {name: ratios(took[name].wall, took[FEATX].wall) for name in peers},
        }

    def _alone(self, case: Case, photos: PhotoSet) -> dict[str, Run]:
        decoding = Decoding.of(photos.first(case.images), self.network.backbone.card)
        count = self.inference.whole(min(case.images, INFERRED))
        return {
            DECODING: Run(decoding.run, case.images),
            INFERENCE: Run(partial(self.inference.run, count), count),
        }

    def _lanes(self, case: Case, photos: PhotoSet) -> dict[str, Run]:
        images = partial(photos.first, case.images)
        return {name: Run(partial(lane.extract, images), case.images) for name, lane in self.lanes.items()}

    def _peers(self, case: Case, photos: PhotoSet) -> tuple[dict[str, Run], dict[str, Any]]:
        """The runs of featx and its peers on the same images, and how near their features are."""
        few, exact = photos.first(LEAST), self.lanes[EXACT]
        peers, told = agreeing_peers(few, self.network, exact.features(few))
        compared = partial(photos.first, case.compared)
        runs = {name: Run(partial(peer, compared(), self.network), case.compared) for name, peer in peers.items()}
        return {FEATX: Run(partial(exact.extract, compared), case.compared), **runs}, told


def over_the_least(took: Mapping[str, Seconds]) -> dict[str, list[float]]:
    """Wall seconds of the lane `exact` over the least that it can take.

    `ideal`: all cores decode and infer, always busy, and do nothing else. `slower`: the slower of decoding alone and
    inference alone, which counts where a GPU infers.
    """
    decoding, inference, exact = took[DECODING], took[INFERENCE], took[EXACT]
    scale = decoding.images / inference.images
    cpu = zip(decoding.cpu, inference.cpu, strict=True)
    wall = zip(decoding.wall, inference.wall, strict=True)
    return {
        "exact_over_ideal": ratios(exact.wall, [(one + scale * other) / usable_cores() for one, other in cpu]),
        "exact_over_slower": ratios(exact.wall, [max(one, scale * other) for one, other in wall]),
    }


def measure_all(cases: tuple[Case, ...], folder: Path, *, device: Device, repeats: int) -> dict[str, Any]:
    """Every case, and the backbones that cannot be made here, with what is missing."""
    sets, rows, skipped = write_sets(cases, folder), [], {}
    for name in dict.fromkeys(case.backbone for case in cases):
        try:
            network = open_network(name, folder)
        except (BackboneError, ImportError) as error:
            skipped[name] = str(error)
            continue
        inference = fastest_inference(network.backbone, device=device)
        bench = Bench(network, inference, open_lanes(network.backbone, folder, device=device), repeats)
        for case in (case for case in cases if case.backbone == name):
            print(f"{name} on {case.image_set}: {case.images} images ...", flush=True)
            rows.append(bench.measure(case, sets[case.image_set]))
    return {"rows": rows, "skipped": skipped}


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=list(CASES), default="cpu")
    parser.add_argument("--backbones", nargs="+", metavar="NAME")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0)
    arguments = parser.parse_args()
    cases = tuple(
        case.share(arguments.share)
        for case in CASES[arguments.device]
        if not arguments.backbones or case.backbone in arguments.backbones
    )
    with tempfile.TemporaryDirectory() as name:
        found = measure_all(cases, Path(name), device=arguments.device, repeats=arguments.repeats)
        if any(row["peers"] for row in found["rows"]):
            found["peak_bytes"] = measure_peaks(Path(name))
    keep("throughput" if arguments.device == "cpu" else f"throughput-{arguments.device}", found, beside=PACKAGES)


if __name__ == "__main__":
    main()
