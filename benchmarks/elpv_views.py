"""ELPV by the rule of its paper: do frozen layers, averaged over views, beat the network that was fine-tuned there?

    python models/export_efficientnet_lite.py --into views/networks --size 320 lite0 lite2
    python benchmarks/elpv_views.py [--work FOLDER] [--networks FOLDER]

Needs the extras `models` and `demo`. Candidates are the layers of two networks, alone and fused, from view 0 and as
the mean over the eight symmetries of a square. The one whose training rows are classified best when each is left out,
on average over splits 0 to 4, is chosen; test rows of these splits choose nothing. Then all candidates are measured on
splits 10 to 19 of the same images, which no study had looked at, and on the contiguous quarters.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from cells import Cells, Features, Rows, all_pictures, describe, distances, fit, read_cells
from record import keep
from scipy.stats import t as student

from featx.backbones.store import Backbone
from featx.cache import list_outputs, read_features
from featx.extract import extract_features
from featx.inputs import parse_views
from featx.settings import Settings, ViewRule

NETWORKS = ("efficientnet-lite0-320", "efficientnet-lite2-320")
RULES: tuple[ViewRule, ...] = ("first", "mean")
CHOOSING = range(5)
REPORTED = range(10, 20)
VGG = 0.884
"""Accuracy of the fine-tuned VGG-19 on its one split (Deitsch et al. 2019, table 3)."""


def read_means(cache: Path, rule: ViewRule) -> list[Features]:
    """The outputs of the backbone, (n, d) each, from view 0 or as the mean over views."""
    return [np.asarray(read_features(cache, outputs=[output], views=rule).features) for output in list_outputs(cache)]


def extract(backbone: Backbone, folder: Path) -> Path:
    """The cache of the cells' pictures with the eight symmetries."""
    cache = folder / f"elpv-{backbone.name}-views.h5"
    settings = Settings(views=parse_views("symmetries"))
    extract_features(all_pictures(folder), backbone, into=cache, settings=settings, storage="float16")
    return cache


def partitions(cells: Cells) -> Iterator[tuple[str, tuple[Rows, Rows]]]:
    """Name and rows of the splits to choose on, of those to report, and of every quarter in turn."""
    for seed in (*CHOOSING, *REPORTED):
        yield f"split {seed}", cells.split(seed)
    for index in range(4):
        yield f"quarter {index + 1}", cells.quarter(index)


def measure(caches: Mapping[str, Path], cells: Cells) -> Iterator[dict[str, Any]]:
    """Yields a row for each candidate on each split: how it does when rows are left out, and on the test rows."""
    splits = dict(partitions(cells))
    for rule in RULES:
        far: dict[tuple[str, str], Features] = {}
        for name, cache in caches.items():
            blocks = read_means(cache, rule)
            far |= {(name, part): distances(blocks, train) for part, (train, _) in splits.items()}
        for names, part in product([*((name,) for name in caches), tuple(caches)], splits):
            joined = np.mean([far[name, part] for name in names], axis=0)
            row = {"networks": names, "views": rule, "split": part, **fit(joined, cells, splits[part])}
            print(row, flush=True)
            yield row


def choose(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The candidate that does best on left-out training rows, on average over the splits to choose on."""
    kept = [row for row in rows if row["split"] in [f"split {seed}" for seed in CHOOSING]]
    candidates = {(tuple(row["networks"]), row["views"]) for row in kept}
    means = {
        key: float(np.mean([row["left_out"] for row in kept if (tuple(row["networks"]), row["views"]) == key]))
        for key in candidates
    }
    (names, rule), value = max(means.items(), key=lambda item: item[1])
    return {"networks": names, "views": rule, "left_out": value}


def summarise(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each candidate, its accuracy on the splits to report, and on the quarters.

    Two intervals at 95 %: `interval` is for another split of the same kind, with the variance of Nadeau & Bengio (2003)
    for splits that share training rows; `plain_interval` takes the splits as independent, and so is too short.
    """
    found = []
    for names, rule in dict.fromkeys((tuple(row["networks"]), row["views"]) for row in rows):
        own = {row["split"]: row["accuracy"] for row in rows if (tuple(row["networks"]), row["views"]) == (names, rule)}
        values = np.array([own[f"split {seed}"] for seed in REPORTED])
        quarters = [own[f"quarter {index + 1}"] for index in range(4)]
        found.append(
            {
                "networks": names,
                "views": rule,
                "mean": float(values.mean()),
                "interval": around(values, shared=1 / 3),
                "plain_interval": around(values, shared=0.0),
                "above_vgg": int((values > VGG).sum()),
                "quarters": float(np.mean(quarters)),
            }
        )
    return found


def around(values: Features, *, shared: float) -> tuple[float, float]:
    """The t interval of the mean, whose variance has the part `shared` of the variance of one value besides."""
    error = float(values.std(ddof=1)) * (1 / len(values) + shared) ** 0.5
    half = float(student.ppf(0.975, len(values) - 1)) * error
    return float(values.mean()) - half, float(values.mean()) + half


def main() -> None:
    """Extract, measure and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("views"), help="folder for caches")
    parser.add_argument("--networks", type=Path, default=Path("views/networks"), help="folder of the networks")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    cells = read_cells(given.work)
    caches = {
        name: extract(describe(given.networks / f"{name}.onnx", given.work / "cards"), given.work) for name in NETWORKS
    }
    rows = list(measure(caches, cells))
    keep("elpv_views", {"published": VGG, "chosen": choose(rows), "summary": summarise(rows), "rows": rows})


if __name__ == "__main__":
    main()
