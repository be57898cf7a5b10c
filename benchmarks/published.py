"""Published accuracies: those of raw pixels made again, and those of frozen features beside them.

    python models/export_efficientnet_lite.py --into published/networks --size 128 lite0
    python models/export_efficientnet_lite.py --into published/networks --size 320
    python models/export_efficientnet_lite.py --into published/networks --size 448 lite0
    python benchmarks/published.py [--work FOLDER] [--fashion FOLDER] [--networks FOLDER] [raw] [fashion] [elpv]

Needs the extras `models` and `demo`. Every row that is finished is kept as a line of rows.jsonl in the work folder and
not made again, as are caches: raw pixels take hours.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from cells import describe, extract, measure as measure_cells, partitions, read_blocks, read_cells
from fashion import FOLDER, list_fashion, read_fashion
from raw import BEST, TABLE, measure as measure_raw
from record import keep
from sklearn.model_selection import train_test_split

from featx.backbones.store import load_backbone
from featx.cache import (
    FeatureTable,
    list_outputs,
    read_features,
)
from featx.estimators import (
    FeatureScaler,
    SoftmaxRegression,
    class_scores,
    sweep,
)
from featx.extract import extract_features
from featx.measures import measure, to_probabilities
from featx.settings import BUNDLED

PENALTIES = (10000.0, 3000.0, 1000.0, 300.0, 100.0)
"""Of logistic regression on 60,000 images; the best is no end of them."""
FASHION = "efficientnet-lite0-128"
ELPV = ("efficientnet-lite0-320", "efficientnet-lite0-448", "efficientnet-lite1-320", "efficientnet-lite2-320")
"""Networks, whose layers are taken."""
PUBLISHED = {
    "raw": {row.name: row.accuracy for row in TABLE},
    "fashion": BEST,
    "elpv": {"hand-made features, SVM": 0.824, "VGG-19, fine-tuned": 0.884},
}


class Rows:
    """Rows that are finished, each under its key, kept as JSON lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.found: dict[str, dict[str, Any]] = {row["key"]: row for row in map(json.loads, lines)}

    def get(self, key: str, make: Callable[[], dict[str, Any]]) -> None:
        """Make the row of this key where it is not there."""
        if key not in self.found:
            print(f"{key} ...", flush=True)
            row = {"key": key, **make()}
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            self.found[key] = row
            print(json.dumps(row), flush=True)


def make_raw(rows: Rows, given: argparse.Namespace) -> None:
    """Fashion-MNIST's raw pixels, as published."""
    data = read_fashion(given.fashion)
    for row in TABLE:
        for seed in range(row.shuffles):
            rows.get(f"raw/{row.name}/{seed}", partial(measure_raw, row, seed, data))


def make_fashion(rows: Rows, given: argparse.Namespace) -> None:
    """Fashion-MNIST through frozen backbones, on its own split."""
    images = list_fashion(given.fashion, given.work / "fashion.h5")
    backbones = {
        f"{BUNDLED}, penultimate": load_backbone(BUNDLED),
        f"{FASHION}, layers": describe(given.networks / f"{FASHION}.onnx", given.work / "cards", wide=False),
    }
    for name, backbone in backbones.items():
        cache = given.work / f"fashion-{backbone.name}.h5"
        extract_features(images, backbone, into=cache)
        table = read_features(cache, outputs=list(list_outputs(cache)))
        rows.get(f"fashion/{name}, logistic regression", partial(_measure_fashion, table))


def _measure_fashion(table: FeatureTable) -> dict[str, Any]:
    """Accuracy of logistic regression on the test images, its interval, and the penalty.

    That is chosen on a fifth of the training images, stratified; then the head is fitted on all of them.
    """
    start = time.perf_counter()
    assert table.splits is not None
    train, test = (np.flatnonzero(table.splits == split) for split in (b"train", b"test"))
    labels = table.labels[train]
    scaler = FeatureScaler().fit(features := np.asarray(table.features)[train])
    features = scaler.transform(features)
    fit, validation = train_test_split(np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=0)
    tried = sweep(SoftmaxRegression(), features[fit], labels[fit], features[validation], grid={"l2": PENALTIES})
    right = [(float((scores.argmax(axis=1) == labels[validation]).mean()), params["l2"]) for params, scores in tried]
    head = SoftmaxRegression(l2=max(right)[1]).fit(features, labels)
    scores = class_scores(head, scaler.transform(np.asarray(table.features)[test]))
    found = measure(to_probabilities(scores), table.labels_of(test))
    chosen = {"l2": head.l2, "validation": max(right)[0], "columns": features.shape[1]}
    return {
        "accuracy": found.accuracy,
        "interval": found.accuracy_ci,
        **chosen,
        "seconds": round(time.perf_counter() - start),
    }


def make_elpv(rows: Rows, given: argparse.Namespace) -> None:
    """Solar cells: one penultimate feature alone, the layers of each backbone, and all of them fused."""
    cells = read_cells(given.work)
    found = {name: describe(given.networks / f"{name}.onnx", given.work / "cards") for name in ELPV}
    blocks = {name: read_blocks(extract(backbone, given.work)) for name, backbone in found.items()}
    alone = {f"{ELPV[0]}, penultimate": blocks[ELPV[0]][:1]}
    tried = {"all": tuple(blocks), **{name: (name,) for name in (*alone, *blocks)}}
    for name, names in tried.items():
        for part, split in partitions(cells):
            if name == "all" or not part.startswith("quarter"):
                rows.get(
                    f"elpv/{name}/{part}",
                    partial(measure_cells, [(blocks | alone)[one] for one in names], cells, split),
                )


def main() -> None:
    """Make the rows that were asked for, or all of them, and keep all there are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="raw, fashion, elpv (default: all)")
    parser.add_argument("--work", type=Path, default=Path("published"), help="folder for caches and finished rows")
    parser.add_argument("--fashion", type=Path, default=FOLDER, help="folder of Fashion-MNIST's four .gz files")
    parser.add_argument("--networks", type=Path, default=Path("published/networks"), help="folder of the networks")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    rows = Rows(given.work / "rows.jsonl")
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"unknown part {', '.join(sorted(unknown))}; choose from {', '.join(PARTS)}")
    for part in given.parts or PARTS:
        PARTS[part](rows, given)
    keep("published", {"published": PUBLISHED, "rows": list(rows.found.values())})


PARTS = {"elpv": make_elpv, "fashion": make_fashion, "raw": make_raw}


if __name__ == "__main__":
    main()
