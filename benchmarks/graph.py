"""What graph surgery finds and costs: the zoo graphs of the onnx wheel, a second output, pixels inside the graph.

    python benchmarks/graph.py [--images N] [--repeats N]

Needs the extra `demo`. Everything that is compared runs in one process, interleaved; ratios are taken repeat by repeat.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx.utils import extract_model
from record import keep

from featx.backbones import FeatureSession, inspect_model, open_session, select_outputs
from featx.backbones.store import Backbone, load_backbone
from featx.convert.adding import (
    Description,
    describe_model,
)
from featx.demo import list_cells
from featx.extract import FeatureStream
from featx.extract.pace import Pace
from featx.hardware import usable_cores
from featx.inputs import ImageSet
from featx.settings import BUNDLED, DEFAULTS

ZOO = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
SECOND_OUTPUT = "/_blocks.10/Add_output_0:gem"
PACE = Pace(16, streams=1, threads=usable_cores(), workers=usable_cores())


def zoo_rows() -> list[dict[str, Any]]:
    """For every zoo graph, exported at batch 1: its feature, and how far 3 images at once are from one at a time."""
    rows = []
    for path in sorted(ZOO.glob("*.onnx")):
        found = inspect_model(path)
        card, _ = describe_model(path, Description(name=path.stem))
        session = open_session(Backbone(card, path), device="cpu")
        pixels = np.random.default_rng(0).integers(
            0, 256, (3, card.input.pixels.size, card.input.pixels.size, 3), np.uint8
        )
        alone = np.concatenate([session(pixels[place : place + 1]) for place in range(3)])
        rows.append(
            {
                "model": path.stem.removeprefix("light_"),
                "feature": found.feature_output,
                "pool": found.feature_pool,
                "dim": card.dim,
                "certain": found.certain,
                "batch_freed": session.batch is None,
                "batch_difference": float(np.abs(session(pixels) - alone).max() / np.abs(alone).max()),
            }
        )
    return rows


def cpu_seconds(run: Callable[[], object]) -> dict[str, float]:
    """Wall seconds and the process's own CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def interleaved(runs: dict[str, Callable[[], object]], repeats: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of every run, in turn; the first turn warms up and is not counted. Every other turn goes backwards."""
    found: dict[str, dict[str, list[float]]] = {name: {"wall": [], "cpu": []} for name in runs}
    for turn in range(repeats + 1):
        for name in list(runs)[:: 1 if turn % 2 else -1]:
            for clock, seconds in cpu_seconds(runs[name]).items():
                if turn:
                    found[name][clock].append(seconds)
    return found


def two_outputs(backbone: Backbone, repeats: int) -> dict[str, Any]:
    """Seconds of inference with the feature alone, and with a second output in the same pass."""
    both = select_outputs(backbone, [backbone.card.feature, SECOND_OUTPUT])
    sessions = {"one": open_session(backbone, device="cpu"), "two": open_session(both, device="cpu")}
    pixels = np.random.default_rng(0).integers(
        0, 256, (16, backbone.card.input.pixels.size, backbone.card.input.pixels.size, 3), np.uint8
    )

    def passes(session: FeatureSession) -> Callable[[], object]:
        return lambda: [session(pixels) for _ in range(8)]

    found = interleaved({name: passes(session) for name, session in sessions.items()}, repeats)
    return {"outputs": [output.name for output in both.card.all_outputs], **ratios(found, "two", "one")}


def ratios(found: dict[str, dict[str, list[float]]], over: str, under: str) -> dict[str, Any]:
    """The seconds, and `over` divided by `under`, repeat by repeat, by both clocks."""
    return {
        "seconds": found,
        "ratio": {
            clock: [a / b for a, b in zip(found[over][clock], found[under][clock], strict=True)]
            for clock in ("wall", "cpu")
        },
    }


def cut_alone(backbone: Backbone, folder: Path) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """The same backbone, cut at the same tensor by onnx itself, from floats to features."""
    card, cut = backbone.card, folder / "cut.onnx"
    extract_model(str(backbone.path), str(cut), [card.input.name], [card.feature])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(cut), options, providers=["CPUExecutionProvider"])
    return lambda images: np.asarray(session.run(None, {card.input.name: images})[0])


def normalised(pixels: NDArray[np.uint8], backbone: Backbone) -> NDArray[np.float32]:
    """What numpy makes of pixels, batch by batch."""
    mean, std = (
        np.array(values, np.float32) for values in (backbone.card.input.pixels.mean, backbone.card.input.pixels.std)
    )
    return np.ascontiguousarray(((pixels.astype(np.float32) - mean) / std).transpose(0, 3, 1, 2))


def pixels_inside(backbone: Backbone, images: ImageSet, repeats: int) -> dict[str, Any]:
    """Seconds of reading, decoding and inferring, normalised inside the graph and by numpy; and of each part alone."""
    with tempfile.TemporaryDirectory() as folder:
        cut = cut_alone(backbone, Path(folder))
        by_numpy = FeatureSession(
            provider="CPUExecutionProvider",
            name=backbone.name,
            outputs=backbone.card.all_outputs,
            step=None,
            batch=None,
            size=backbone.card.input.pixels.size,
            streams=1,
            run=lambda pixels: cut(normalised(pixels, backbone)),
        )
        sessions = {"graph": open_session(backbone, device="cpu"), "numpy": by_numpy}
        size = backbone.card.input.pixels.size
        batch = np.random.default_rng(0).integers(0, 256, (PACE.batch_size, size, size, 3), np.uint8)
        same = float(np.abs(sessions["graph"](batch) - sessions["numpy"](batch)).max())

        def whole(session: FeatureSession) -> Callable[[], object]:
            stream = FeatureStream(images, backbone, DEFAULTS, session, PACE)
            return lambda: [None for _ in stream.batches()]

        def alone(session: FeatureSession) -> Callable[[], object]:
            return lambda: [session(batch) for _ in range(len(images) // len(batch))]

        runs = {name: whole(session) for name, session in sessions.items()}
        runs |= {f"{name}, inference alone": alone(session) for name, session in sessions.items()}
        ready = normalised(batch, backbone)
        runs["floats ready, inference alone"] = lambda: [cut(ready) for _ in range(len(images) // len(batch))]
        found = interleaved(runs, repeats)
    bound = ratios(found, "numpy, inference alone", "floats ready, inference alone")["ratio"]
    model_alone = ratios(found, "numpy, inference alone", "graph, inference alone")["ratio"]
    whole_run = ratios(found, "numpy", "graph")
    return {
        "images": len(images),
        "largest_difference": same,
        **whole_run,
        "ratio_inference_alone": model_alone,
        "bound": bound,
    }


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=480)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    backbone = load_backbone(BUNDLED)
    with tempfile.TemporaryDirectory() as folder:
        cells = list_cells(Path(folder) / "elpv.csv")
        images = replace(cells, names=cells.names[: arguments.images], labels=None, classes=())
        measured = {
            "backbone": BUNDLED,
            "zoo": zoo_rows(),
            "two_outputs": two_outputs(backbone, arguments.repeats),
            "pixels_inside": pixels_inside(backbone, images, arguments.repeats),
        }
    keep("graph", measured)


if __name__ == "__main__":
    main()
