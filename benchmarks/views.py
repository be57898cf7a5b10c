"""What views are worth: heads that choose by validation how to use the eight symmetries, against view 0 alone.

    python benchmarks/domain_sets.py DIR --sets emoji,fashion
    python benchmarks/views.py DIR [--parts A,B]

Needs the extra `demo`. EfficientNet-Lite0, ten splits, a stratified quarter held out each time. Solar cells by two
label rules: by that of their paper a cell is defective where the probability of a defect is above 0 and weighs as
much, and a functional one weighs 1 (w); by the simple rule it is defective above one half, unweighted (s). Emoji of
one vendor and a part of Fashion-MNIST have an upright direction, so views may do nothing or harm there, and the
choice must notice. Rows that are finished are kept as lines of DIR/views/rows.jsonl and not made again.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from cells import read_cells
from published import Rows
from record import keep

from featx.backbones.store import load_backbone
from featx.cache import FeatureTable, read_features
from featx.demo import list_cells
from featx.extract import extract_features
from featx.heads import train_head
from featx.inputs import ImageSet, list_images, parse_views
from featx.measures import corrected_t_test
from featx.settings import BUNDLED, Settings

HEADS = ("logreg", "rbf-svm", "knn")
SEEDS = range(10)
MOST = 1500
"""About this many images of a set, so that its part takes minutes."""
TEST, TRAIN = 1, 3
"""Shares of the images in each split."""


def cells(folder: Path) -> ImageSet:
    """The solar cells."""
    return list_cells(folder / "elpv.csv")


def pictures(name: str, domain: str, folder: Path) -> ImageSet:
    """Images of one domain of a set that `domain_sets.py` wrote: about MOST of them, as they follow each other."""
    images = list_images(folder.parent / "domains" / name / domain / "images.csv")
    return images.shard(0, max(1, len(images) // MOST))


def as_in_the_paper(table: FeatureTable, folder: Path) -> FeatureTable:
    """The cells with the labels and weights of their paper."""
    known = read_cells(folder)
    rows = table.positions
    labels = known.defective[rows].astype(np.int32)
    weights = known.weight[rows].astype(np.float32)
    return replace(table, classes=("functional", "defective"), labels=labels, weights=weights)


def as_it_is(table: FeatureTable, folder: Path) -> FeatureTable:
    """The table with its own labels."""
    return table


Labelling = Callable[[FeatureTable, Path], FeatureTable]
PARTS: Mapping[str, tuple[str, Callable[[Path], ImageSet], Labelling]] = {
    "elpv-w": ("elpv", cells, as_in_the_paper),
    "elpv-s": ("elpv", cells, as_it_is),
    "emoji": ("emoji", partial(pictures, "emoji", "noto"), as_it_is),
    "fashion": ("fashion", partial(pictures, "fashion", "all"), as_it_is),
}
"""Part -> its cache, its images, and its labels."""


def table_of(part: str, folder: Path) -> FeatureTable:
    """The table of a part, at view 0, from a cache with all views, which is made if it does not exist."""
    name, images, labelled = PARTS[part]
    cache = folder / f"{name}.h5"
    if not cache.exists():
        settings = Settings(views=parse_views("symmetries"))
        extract_features(images(folder), load_backbone(BUNDLED), into=cache, settings=settings)
    return labelled(read_features(cache), folder)


def measure(table: FeatureTable, head: str, seed: int) -> dict[str, Any]:
    """What `auto` chose on this split, its accuracy on the test images, and that minus the accuracy of view 0."""
    _, result = train_head(table, head, views="auto", seed=seed, jobs=1)
    used = result.views
    assert used is not None
    difference = 0.0 if used.rule == "first" else used.difference
    return {
        "rule": used.rule,
        "validated": dict(used.validated),
        "accuracy": result.metrics.accuracy,
        "difference": difference,
        "p": used.p,
    }


def summarise(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each part and head, the mean gain over splits with its interval, which knows that splits share images."""
    found = []
    for part, head in dict.fromkeys((row["part"], row["head"]) for row in rows):
        own = [row for row in rows if (row["part"], row["head"]) == (part, head)]
        accuracies = [row["accuracy"] for row in own]
        scores = {"auto": accuracies, "first": [row["accuracy"] - row["difference"] for row in own]}
        found.append(
            {
                "part": part,
                "head": head,
                "splits": len(own),
                "rules": {rule: sum(row["rule"] == rule for row in own) for rule in ("first", "mean", "rows")},
                "accuracy": float(np.mean(accuracies)),
                "gain": float(np.mean([row["difference"] for row in own])),
                **_tested(scores),
            }
        )
    return found


def _tested(scores: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """The corrected resampled t-test of `auto` against view 0; nothing where all splits have equal scores."""
    splits = len(scores["auto"])
    if splits < 2 or scores["auto"] == scores["first"]:
        return {"interval": None, "p": None}
    train, test = [TRAIN] * splits, [TEST] * splits
    (found,) = corrected_t_test(scores, [("auto", "first")], train=train, test=test)
    return {"interval": found.interval, "p": found.p}


def main() -> None:
    """Measure what is missing, and keep all there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parts", default=",".join(PARTS))
    given = parser.parse_args()
    folder = given.folder / "views"
    folder.mkdir(parents=True, exist_ok=True)
    read_cells(folder)
    rows = Rows(folder / "rows.jsonl")
    for part in given.parts.split(","):
        table = table_of(part, folder)
        for seed in SEEDS:
            for head in HEADS:
                about = {"part": part, "head": head, "seed": seed}
                rows.get(f"{part}/{head}/{seed}", partial(_row, about, partial(measure, table, head, seed)))
    found = list(rows.found.values())
    keep("views", {"views": parse_views("symmetries"), "summary": summarise(found), "rows": found})


def _row(about: dict[str, Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    return {**about, **make()}


if __name__ == "__main__":
    main()
