"""Every head and fusion as one ONNX file: its probabilities against featx predict's, its bytes, and its time.

    python benchmarks/deployed.py --part differences
    python benchmarks/deployed.py --part speed

Solar cells (ELPV), EfficientNet-Lite0 alone, and fused with a backbone of another size. The parts are kept in one file.
"""

import argparse
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from cells import extract_part, list_pictures
from networks import LITE0
from record import keep, read
from timing import Run, interleave, ratios

from featx.backbones import load_backbone, open_model, open_session
from featx.cache import FeatureTable
from featx.deploy import Deployed, deploy_head
from featx.heads import FUSIONS, HEADS, STACKED, STACKED_HEADS, Head, find_recipe, train_head
from featx.inputs import ImageSet
from featx.tables import fuse_tables, read_tables

OTHER = "gradient-histogram"
"""A backbone of another size, so that the file has two inputs."""
IMAGES = 800
"""Cells that heads are trained and measured on; 200 of them are compared."""
BATCH = 8
REPEATS = 15
SLOWEST = "mlp"
"""The head that takes longest to train comes last."""


@dataclass(frozen=True)
class Data:
    """Cells, and their features by one backbone and by two."""

    images: ImageSet
    alone: FeatureTable
    fused: FeatureTable

    def cases(self) -> Iterator[tuple[str, str, FeatureTable]]:
        """Head, fusion and features of every file: each head alone, and on two backbones with each fusion."""
        heads = sorted(HEADS, key=lambda name: name == SLOWEST)
        for head in heads:
            yield head, "", self.alone
        for head in heads:
            own = [""] if find_recipe(head).fusion else [*FUSIONS, *([STACKED] if head in STACKED_HEADS else [])]
            for fusion in own:
                yield head, fusion, self.fused


def prepare(folder: Path) -> Data:
    """The cells, whose features are computed."""
    images = list_pictures(folder, IMAGES)
    caches = [extract_part(load_backbone(name), images, folder) for name in (LITE0, OTHER)]
    return Data(images, read_tables(caches[:1])[0], fuse_tables(read_tables(caches)))


def train(head: str, fusion: str, table: FeatureTable) -> Head:
    """The head, tuned on the validation rows of the table."""
    return train_head(table, head, fusion=fusion, tuning="validation")[0]


def differences(data: Data, folder: Path) -> Iterator[dict[str, Any]]:
    """A row for each file: how far its probabilities are from featx's, and its bytes."""
    for head, fusion, table in data.cases():
        fitted = train(head, fusion, table)
        found = deploy_head(fitted, into=folder / "m.onnx", images=data.images, overwrite=True)
        yield _named(head, fusion, table) | _measured(found)


def _named(head: str, fusion: str, table: FeatureTable) -> dict[str, Any]:
    return {"head": head, "fusion": fusion, "backbones": len(table.sources)}


def _measured(found: Deployed) -> dict[str, Any]:
    return {
        "largest_difference": found.largest_difference,
        "images": found.images,
        "bytes": found.size,
        "inputs": [tensor.name for tensor in found.inputs],
        "opset": found.opset,
    }


def speed(data: Data, folder: Path) -> Iterator[dict[str, Any]]:
    """A row for each head on one backbone, and for each fusion of one head: the ratio of its time to the backbones'."""
    for head, fusion, table in data.cases():
        if table is data.fused and head not in ("logreg", "pca-svm"):
            continue
        found = deploy_head(train(head, fusion, table), into=folder / "m.onnx", overwrite=True)
        yield _named(head, fusion, table) | {"ratios": _time(found, [source.name for source in table.sources])}


def _time(found: Deployed, names: Sequence[str]) -> list[float]:
    """Seconds of the file over those of its backbones alone, in turn, on the same pixels."""
    model = open_model(found.path, device="cpu")
    sessions = [open_session(load_backbone(name), device="cpu") for name in names]
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 256, (BATCH, one.size, one.size, 3), np.uint8) for one in sessions]
    outputs = [tensor.name for tensor in found.outputs]
    runs = {
        "file": Run(lambda: model.run(pixels, outputs=outputs)),
        "backbones": Run(lambda: [session(given) for session, given in zip(sessions, pixels, strict=True)]),
    }
    interleave(runs, 2)
    took, _ = interleave(runs, REPEATS)
    return ratios(took["file"].wall, took["backbones"].wall)


def main() -> None:
    """Measure one part, and keep it beside the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["differences", "speed"], required=True)
    part = parser.parse_args().part
    logging.getLogger("featx").setLevel(logging.ERROR)
    kept = {name: rows for name, rows in (read("deployed") or {}).items() if name in ("differences", "speed")}
    with TemporaryDirectory() as place:
        folder = Path(place)
        data = prepare(folder)
        kept[part] = []
        for row in {"differences": differences, "speed": speed}[part](data, folder):
            kept[part].append(row)
            print(row, flush=True)
            keep("deployed", {"backbone_bytes": load_backbone(LITE0).path.stat().st_size, "batch": BATCH, **kept})


if __name__ == "__main__":
    main()
