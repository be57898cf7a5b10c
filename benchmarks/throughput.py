"""Extraction with decoding inside, against other ways of doing it and against the most that the machine can do.

    python benchmarks/throughput.py [--device cuda] [--backbones NAME ...] [--repeats N] [--share F]

Needs the extra `bench`; what is missing is left out, and said. featx is timed whole, from listing to the sealed cache;
its peers from the listed images to the array of features. All run in this one process in turn, every repeat beginning
with another one. It takes about twelve minutes on two cores; `--share 0.1` has a look with a tenth of the images.
"""

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from alone import Decoding, Inference, fastest_inference
from cases import CALIBRATED, CALIBRATION, CASES, LEAST, Case, write_sets
from lanes import EXACT, INFERENCE, Lane, open_lanes
from networks import Network, open_network
from peaks import measure_peaks
from peers import PACKAGES, agreeing_peers
from prices import price
from record import keep
from sets import PhotoSet, photographs
from timing import Run, Seconds, interleave, ratios

from featx.backbones.session.nvidia import gpus
from featx.errors import BackboneError
from featx.extract import ExtractionSummary
from featx.hardware import usable_cores
from featx.inputs import ImageSet
from featx.settings import Device

FEATX = "featx"
"""The lane `exact` on the images that peers get."""
INFERRED = {"cpu": 512, "cuda": 8192}
"""Images that inference alone is timed on, at most."""


@dataclass(frozen=True)
class Bench:
    """A network, and how it is measured."""

    network: Network
    folder: Path
    device: Device
    repeats: int
    calibration: ImageSet
    """Images that lower precisions are calibrated on."""
    inferences: dict[str, Inference] = field(default_factory=dict)
    """What inference alone is called -> how it goes fastest: found once."""

    def measure(self, case: Case, photos: PhotoSet) -> dict[str, Any]:
        """What every way of doing it took, and the ratios between them."""
        images, backbone = photos.first(case.images), self.network.backbone
        lanes = open_lanes(case.lanes, backbone, self.calibration, folder=self.folder, device=self.device)
        peers, agreements = self._peers(case, photos, lanes[EXACT]) if case.compared else ({}, {})
        runs = {
            name: Run(partial(lane.extract, partial(photos.first, case.images)), case.images)
            for name, lane in lanes.items()
        }
        took, gave = interleave(runs | self._alone(images, lanes) | peers, self.repeats)
        return {
            **asdict(case),
            "title": photos.title,
            "took": {name: asdict(seconds) for name, seconds in took.items()},
            "lanes": {name: self._tell(lane, gave[name], took[name], took) for name, lane in lanes.items()},
            "prices": {
                name: price(lanes[name], lanes[EXACT], labelled=images.labels is not None) for name in case.lanes[1:]
            },
            "peers": agreements,
            "peer_over_featx": {name: ratios(took[name].wall, took[FEATX].wall) for name in peers},
        }

    def _alone(self, images: ImageSet, lanes: Mapping[str, Lane]) -> dict[str, Run]:
        """The decoding alone and the inference alone that the lanes need."""
        runs = {}
        for lane in lanes.values():
            if lane.decoding not in runs:
                decoding = Decoding.of(images, lane.backbone.card.input.pixels, lane.settings.decode)
                runs[lane.decoding] = Run(decoding.run, len(images))
            if lane.inference not in self.inferences:
                self.inferences[lane.inference] = fastest_inference(lane.backbone, device=self.device)
            inference = self.inferences[lane.inference]
            count = inference.whole(min(len(images), INFERRED[self.device]))
            runs[lane.inference] = Run(partial(inference.run, count), count)
        return runs

    def _tell(
        self, lane: Lane, summary: ExtractionSummary, own: Seconds, took: Mapping[str, Seconds]
    ) -> dict[str, Any]:
        decoding, inference = took[lane.decoding], took[lane.inference]
        return {
            "decoding": lane.decoding,
            "inference": lane.inference,
            "inferred": self.inferences[lane.inference].to_dict(),
            "pace": asdict(summary.pace) if summary.pace else {},
            "stages": summary.stages,
            "bound_by": summary.bound_by,
            "faster_than_exact": ratios(took[EXACT].wall, own.wall),
            "inference_faster_than_exact": ratios(took[INFERENCE].an_image, inference.an_image),
            **over_the_least(own, decoding, inference),
        }

    def _peers(self, case: Case, photos: PhotoSet, exact: Lane) -> tuple[dict[str, Run], dict[str, Any]]:
        """The runs of featx and its peers on the same images, and how near their features are."""
        few, compared = photos.first(LEAST), partial(photos.first, case.compared)
        exact.extract(lambda: few)
        peers, agreements = agreeing_peers(few, self.network, exact.features())
        runs = {name: Run(partial(peer, compared(), self.network), case.compared) for name, peer in peers.items()}
        lane = replace(exact, into=self.folder / "compared.h5")
        return {FEATX: Run(partial(lane.extract, compared), case.compared), **runs}, agreements


def over_the_least(own: Seconds, decoding: Seconds, inference: Seconds) -> dict[str, list[float]]:
    """What an extraction took over the least that it can take, repeat by repeat.

    `ideal`: all cores decode and infer, always busy, and do nothing else; by the clock and in CPU seconds. `slower`:
    the slower of decoding alone and inference alone, which counts where a GPU infers.
    """
    scale = own.images / inference.images
    cpu = [one + scale * other for one, other in zip(decoding.cpu, inference.cpu, strict=True)]
    wall = zip(decoding.wall, inference.wall, strict=True)
    return {
        "over_ideal": ratios(own.wall, [seconds / usable_cores() for seconds in cpu]),
        "cpu_over_ideal": ratios(own.cpu, cpu),
        "over_slower": ratios(own.wall, [max(one, scale * other) for one, other in wall]),
    }


def measure_all(cases: tuple[Case, ...], folder: Path, *, device: Device, repeats: int) -> dict[str, Any]:
    """Every case, and the backbones that cannot be made here, with what is missing."""
    sets, rows, skipped = write_sets(cases, folder), [], {}
    calibration = sets[CALIBRATION].first(CALIBRATED)
    for name in dict.fromkeys(case.backbone for case in cases):
        try:
            bench = Bench(open_network(name, folder), folder, device, repeats, calibration)
        except (BackboneError, ImportError) as error:
            skipped[name] = str(error)
            continue
        for case in (case for case in cases if case.backbone == name):
            print(f"{name} on {case.image_set}: {case.images} images ...", flush=True)
            rows.append(bench.measure(case, sets[case.image_set]))
    return {"rows": rows, "skipped": skipped, "photographs": len(photographs()), "gpus": gpus()}


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
