"""Solar cells, EfficientNet-Lite0: are the features those of a plain loop, and how well do the heads do?

    python benchmarks/elpv.py

Needs the extra `demo`. Label rule: defective where the probability of a defect is above 0.5, unweighted. Five splits: a
stratified quarter held out, seeds 0 to 4.
"""

import tempfile
from pathlib import Path

import numpy as np
from plain import agreement, plain_features
from record import keep

from featx.backbones.store import load_backbone
from featx.cache import FeatureTable, read_features
from featx.demo import (
    DEMO_HEADS,
    list_cells,
)
from featx.extract import extract_features
from featx.heads import train_head
from featx.settings import BUNDLED, Settings

SEEDS = range(5)


def accuracies(table: FeatureTable, head: str) -> dict[str, object]:
    """Accuracy of a head on every split, its mean and standard deviation, and seconds to tune and fit."""
    results = [train_head(table, head, seed=seed)[1] for seed in SEEDS]
    found = [result.metrics.accuracy for result in results]
    return {
        "head": head,
        "accuracy": found,
        "intervals": [result.metrics.accuracy_ci for result in results],
        "mean": float(np.mean(found)),
        "standard_deviation": float(np.std(found, ddof=1)),
        "params": [result.params for result in results],
        "seconds": float(np.median([result.seconds for result in results])),
    }


def main() -> None:
    """Measure and keep."""
    backbone = load_backbone(BUNDLED)
    with tempfile.TemporaryDirectory() as folder:
        images = list_cells(Path(folder) / "elpv.csv")
        extract_features(images, backbone, into=Path(folder) / "c.h5", settings=Settings(device="cpu"))
        table = read_features(Path(folder) / "c.h5")
        same = agreement(np.asarray(table.features), plain_features(images, backbone, batch=1))
        rows = [accuracies(table, head) for head in DEMO_HEADS]
    keep("elpv", {"images": len(images), "agreement_with_plain_loop": same, "heads": rows})


if __name__ == "__main__":
    main()
