"""Fine-tuning the last blocks of a network against its frozen features, on few and on many images.

    python benchmarks/domain_sets.py DIR --sets fashion
    python benchmarks/finetuning.py DIR [--parts elpv,fashion,elpv-w] [--splits N] [--threads N]

Needs the extras `demo` and `finetune`. EfficientNet-Lite0 cut before its last two blocks, the eight symmetries.
Solar cells by the simple rule (defective above one half), and a part of Fashion-MNIST; and solar cells by the rule of
their paper, weighted, on splits 10 and on of `elpv_views.py`. On each split 620
images, stratified, are the test set; 300, 1,000 or 2,000 of the others are learned from, a fifth of them as
validation images. The backbone is written in any case, so that it can be measured on test images; whether
it would have been written is what validation images say. All maps are computed once, as every run knows the same
images by their bytes. Rows that are finished are kept as lines of DIR/finetuning/rows.jsonl and not made again.
"""

import argparse
import csv
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from cells import all_pictures, read_cells
from numpy.typing import NDArray
from published import Rows as KeptRows
from record import keep
from sklearn.model_selection import train_test_split

from featx.backbones.store import load_backbone
from featx.finetuning import FineTuning, finetune_backbone
from featx.finetuning.preparing import Preparing
from featx.inputs import ImageSet, list_images, parse_views
from featx.measures import corrected_t_test
from featx.settings import BUNDLED, TUNING_STORAGE, Settings

CUT = "/_blocks.13/Add_output_0"
TESTED = 620
"""Test images of each split; of the 2,624 cells, 2,004 are left to learn from."""
FIRST_FRESH = 10
"""The first split by the paper's rule that no study had looked at."""
VALIDATION_SHARE = 0.2
FASHION_IMAGES = 2700
SETTINGS = Settings(views=parse_views("symmetries"))


def cells(folder: Path) -> ImageSet:
    """The solar cells."""
    read_cells(folder)
    return all_pictures(folder)


def fashion(folder: Path) -> ImageSet:
    """The first images of the part of Fashion-MNIST that `domain_sets.py` wrote, whose classes are mixed."""
    written = folder.parent / "domains" / "fashion" / "all"
    head, *lines = (written / "images.csv").read_text(encoding="utf-8").splitlines()
    some = folder / "fashion.csv"
    some.write_text("\n".join([head, *lines[:FASHION_IMAGES], ""]), encoding="utf-8")
    return list_images(some, root=str(written))


def weighted_cells(folder: Path) -> ImageSet:
    """The solar cells with the labels and weights of their paper."""
    known = read_cells(folder)
    images = all_pictures(folder)
    labels = known.defective.astype(np.int32)
    return replace(images, classes=("functional", "defective"), labels=labels, weights=known.weight.astype(np.float32))


Rows = NDArray[np.int64]


def some_tested(images: ImageSet, folder: Path, seed: int) -> tuple[Rows, Rows]:
    """The rows to learn from and TESTED test rows, stratified."""
    rows = np.arange(len(images))
    rest, test = train_test_split(rows, test_size=TESTED, stratify=images.labels, random_state=seed)
    return rest, test


def a_quarter_tested(images: ImageSet, folder: Path, seed: int) -> tuple[Rows, Rows]:
    """The rows to learn from and the test rows of a split by the paper's rule."""
    return read_cells(folder).split(FIRST_FRESH + seed)


@dataclass(frozen=True)
class Part:
    """What is measured together."""

    known: str
    """The name of its images among those whose maps are known."""
    images: Callable[[Path], ImageSet]
    split: Callable[[ImageSet, Path, int], tuple[Rows, Rows]]
    counts: Sequence[int]
    """Numbers of images to learn from."""


PARTS: Mapping[str, Part] = {
    "elpv": Part("elpv", cells, some_tested, (300, 1000, 2000)),
    "fashion": Part("fashion", fashion, some_tested, (300, 1000, 2000)),
    "elpv-w": Part("elpv", weighted_cells, a_quarter_tested, (1968,)),
}


@dataclass(frozen=True)
class Bench:
    """A part with its images, whose maps are all known, and where runs work."""

    name: str
    images: ImageSet
    folder: Path

    @property
    def known(self) -> Path:
        """The folder with the maps and layers of all images."""
        return self.folder / f"{PARTS[self.name].known}-known"

    def prepare(self) -> None:
        """Compute the maps and layers of all images, which runs then share."""
        backbone = load_backbone(BUNDLED)
        preparing = Preparing(backbone, self.images, CUT, "stratified", 0, SETTINGS, TUNING_STORAGE, self.known)
        preparing.run(lambda done: None)
        preparing.extract_layers(lambda done: None)

    def run(self, count: int, seed: int) -> dict[str, Any]:
        """The accuracies on the test images of this split, of the network tuned on this number of the others."""
        work = self.folder / f"{self.name}-{count}-{seed}"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        for cache in self.known.glob("*.h5"):
            os.link(cache, work / cache.name)
        found = finetune_backbone(
            load_backbone(BUNDLED),
            self._manifest(work, count, seed),
            tensor=CUT,
            name="tuned",
            into=work / "models",
            work=work,
            hold_out="official",
            force=True,
            seed=seed,
        )
        shutil.rmtree(work)
        return describe(found)

    def _manifest(self, work: Path, count: int, seed: int) -> ImageSet:
        """The images of one run, with their parts of the split."""
        labels, weights = self.images.labels, self.images.weights
        assert labels is not None
        rest, test = PARTS[self.name].split(self.images, self.folder, seed)
        if count < len(rest):
            rest, _ = train_test_split(rest, train_size=count, stratify=labels[rest], random_state=seed)
        train, validation = train_test_split(rest, test_size=VALIDATION_SHARE, stratify=labels[rest], random_state=seed)
        path = work / "images.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["path", "label", "split", *(["weight"] if weights is not None else [])])
            for part, rows in (("train", train), ("validation", validation), ("test", test)):
                for row in sorted(rows):
                    weight = [] if weights is None else [weights[row]]
                    writer.writerow([self.images.name(row), self.images.classes[labels[row]], part, *weight])
        return list_images(path, root=self._root)

    @property
    def _root(self) -> str:
        """The folder that the names of images are relative to."""
        return str(self.images.source.root)  # type: ignore[attr-defined]


def describe(found: FineTuning) -> dict[str, Any]:
    """What a run found, as plain values."""
    measured = {name: getattr(found, name) for name in ("frozen", "tuned", "layers", "both")}
    return {
        **{name: None if one is None else one.accuracy for name, one in measured.items()},
        "n": found.tuned.n,
        "images": found.images,
        "won_on_validation": found.wins,
        "validation_difference": found.validation.difference,
        "comparisons": [[one.a, one.b, one.difference, one.interval, one.p] for one in found.comparisons],
        "seconds": found.seconds,
    }


def summarise(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each set and number of images, mean accuracies and paired differences over splits."""
    found = []
    for part, count in dict.fromkeys((row["part"], row["count"]) for row in rows):
        own = [row for row in rows if (row["part"], row["count"]) == (part, count)]
        scores = {name: [row[name] for row in own] for name in ("frozen", "tuned", "layers", "both")}
        learned = [row["images"]["train"] + row["images"]["validation"] for row in own]
        means = {name: float(np.mean(values)) for name, values in scores.items()}
        pairs = [("tuned", "frozen"), ("tuned", "layers"), ("both", "layers")]
        tested = corrected_t_test(scores, pairs, train=learned, test=[row["n"] for row in own]) if len(own) > 1 else ()
        differences = [[one.a, one.b, one.difference, one.interval, one.p_holm] for one in tested]
        found.append({"part": part, "count": count, "splits": len(own), **means, "differences": differences})
    return found


def count_harm(rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """How many backbones would have been written, and how many of these lose on test images, also beyond chance."""
    written = [row for row in rows if row["won_on_validation"]]
    against_frozen = [row["comparisons"][0] for row in written]
    return {
        "runs": len(rows),
        "written": len(written),
        "worse": sum(difference < 0 for _, _, difference, _, _ in against_frozen),
        "worse_beyond_chance": sum(
            difference < 0 and p is not None and p < 0.05 for _, _, difference, _, p in against_frozen
        ),
    }


def main() -> None:
    """Measure what is missing, and keep all there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    given = parser.parse_args()
    import torch

    torch.set_num_threads(given.threads)
    folder = given.folder / "finetuning"
    folder.mkdir(parents=True, exist_ok=True)
    rows = KeptRows(folder / "rows.jsonl")
    for part in given.parts.split(","):
        bench = Bench(part, PARTS[part].images(folder), folder)
        bench.prepare()
        for seed in range(given.splits):
            for count in PARTS[part].counts:
                about = {"part": part, "count": count, "seed": seed}
                rows.get(f"{part}/{count}/{seed}", partial(_row, about, partial(bench.run, count, seed)))
    found = list(rows.found.values())
    keep("finetuning", {"cut": CUT, "summary": summarise(found), "harm": count_harm(found), "rows": found})


def _row(about: dict[str, Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    return {**about, **make()}


if __name__ == "__main__":
    main()
