"""ELPV by the rule of its paper: do frozen layers, averaged over views, beat the network that was fine-tuned there?

    python models/export_efficientnet_lite.py --into views/networks lite0
    python models/export_efficientnet_lite.py --into views/networks --size 320 lite0 lite2
    python benchmarks/elpv_views.py [--work FOLDER] [--networks FOLDER]

Needs the extras `models` and `demo`. A candidate is a recipe on the layers of some networks, from view 0 or as the mean
over the eight symmetries of a square. Recipe `plain` is that of `published.py`. Recipe `roots` was found by leaving
training rows of splits 0 to 2 out: of the square roots of what is pooled from maps of a sixteenth and less of the
image's sides, standardised and cut at three deviations, with the probability of a defect as the target.

The candidate whose training rows are classified best when each is left out, on average over splits 0 to 4, is chosen;
test rows of these splits choose nothing. Then all candidates are measured on splits 10 to 19 of the same images, which
no study had looked at, and on the contiguous quarters. Rows that are finished are kept as lines of rows.jsonl in the
folder and not made again.
"""

import argparse
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from cells import Cells, Features, Rows, all_pictures, describe, distances, fit, read_cells
from published import Rows as KeptRows
from record import keep
from scipy.stats import t as student

from featx.backbones.store import Backbone
from featx.cache import list_outputs, read_features
from featx.extract import extract_features
from featx.inputs import parse_views
from featx.settings import Settings, ViewRule

SMALL, LARGE, WIDE = "efficientnet-lite0", "efficientnet-lite0-320", "efficientnet-lite2-320"
FIRST_BLOCK = {SMALL: 5, LARGE: 5, WIDE: 7}
"""Network -> the first block whose map has at most a sixteenth of the image's sides."""
CANDIDATES: Sequence[tuple[str, tuple[str, ...], ViewRule]] = (
    ("plain", (LARGE,), "first"),
    ("plain", (WIDE,), "first"),
    ("plain", (LARGE, WIDE), "first"),
    ("plain", (LARGE,), "mean"),
    ("plain", (WIDE,), "mean"),
    ("plain", (LARGE, WIDE), "mean"),
    ("roots", (SMALL,), "mean"),
    ("roots", (LARGE,), "mean"),
    ("roots", (WIDE,), "mean"),
    ("roots", (SMALL, LARGE), "mean"),
    ("roots", (SMALL, LARGE, WIDE), "mean"),
)
"""Recipe, networks, and use of views."""
PENALTIES = tuple(10.0 ** np.arange(-2.5, 0.75, 0.25))
MOST_DEVIATIONS = 3.0
CHOOSING = range(5)
REPORTED = range(10, 20)
VGG = 0.884
"""Accuracy of the fine-tuned VGG-19 on its one split (Deitsch et al. 2019, table 3)."""


@dataclass(frozen=True)
class Layers:
    """The cached layers of one network by one recipe."""

    name: str
    cache: Path
    recipe: str
    rule: ViewRule

    @cached_property
    def blocks(self) -> list[Features]:
        """The outputs (n, d) each, from view 0 or as the mean over views."""
        found = {name: self._read(name) for name in list_outputs(self.cache)}
        if self.recipe == "plain":
            return [*found.values()]
        late = [block for name, block in found.items() if _block_number(name) >= FIRST_BLOCK[self.name]]
        return [np.sign(block) * np.sqrt(np.abs(block)) for block in late]

    def distances(self, train: Rows) -> Features:
        """(n, n): square distances of standardised rows."""
        most = np.inf if self.recipe == "plain" else MOST_DEVIATIONS
        return distances(self.blocks, train, most=most)

    def _read(self, output: str) -> Features:
        return np.asarray(read_features(self.cache, outputs=[output], views=self.rule).features)


def _block_number(output: str) -> float:
    """The number of the residual block whose map is pooled; infinite for what comes after all blocks."""
    found = re.search(r"_blocks\.(\d+)/", output)
    return int(found[1]) if found else np.inf


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


def fit_roots(far: Features, cells: Cells, split: tuple[Rows, Rows]) -> dict[str, Any]:
    """Weighted accuracy of kernel ridge regression on the test rows, whose target is the probability of a defect.

    The target of a functional cell is -1. Where the mean of the target is above 0, `defective` is right with more
    weight than `functional`, so that its sign is what the weighted rule asks for.
    """
    train, test = split
    kernel = 1 + np.exp(-2 * far / far[np.ix_(train, train)].mean(dtype=np.float64))
    target = np.where(cells.defective[train] > 0, 1, -1) * cells.weight[train]
    values, vectors = np.linalg.eigh(kernel[np.ix_(train, train)].astype(np.float64))
    turned = vectors.T @ target
    best: dict[str, Any] = {"left_out": -1.0}
    for l2 in PENALTIES:
        inverse = 1 / (values.clip(0) + l2)
        dual = vectors @ (inverse * turned)
        left_out = cells.accuracy(target - dual / (vectors**2 @ inverse), train)
        if left_out > best["left_out"]:
            scores = kernel[np.ix_(test, train)] @ dual
            best = {"left_out": left_out, "l2": l2, "accuracy": cells.accuracy(scores, test)}
    return best


FITS: Mapping[str, Callable[[Features, Cells, tuple[Rows, Rows]], dict[str, Any]]] = {"plain": fit, "roots": fit_roots}


def measure(layers: Sequence[Layers], cells: Cells, split: tuple[Rows, Rows]) -> dict[str, Any]:
    """How a candidate does when rows are left out, and on the test rows; networks have an equal say."""
    far = np.mean([one.distances(split[0]) for one in layers], axis=0)
    return FITS[layers[0].recipe](far, cells, split)


def measure_all(caches: Mapping[str, Path], cells: Cells, rows: KeptRows) -> None:
    """Make the rows that are missing: of each candidate on each split."""
    for recipe, names, rule in CANDIDATES:
        layers = [Layers(name, caches[name], recipe, rule) for name in names]
        for part, split in partitions(cells):
            about = {"recipe": recipe, "networks": names, "views": rule, "split": part}
            key = f"{recipe}/{'+'.join(names)}/{rule}/{part}"
            rows.get(key, partial(_row, about, partial(measure, layers, cells, split)))


def _row(about: dict[str, Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    return {**about, **make()}


def candidate_of(row: Mapping[str, Any]) -> tuple[str, tuple[str, ...], str]:
    """The candidate that a row is about."""
    return row["recipe"], tuple(row["networks"]), row["views"]


def choose(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The candidate that does best on left-out training rows, on average over the splits to choose on."""
    kept = [row for row in rows if row["split"] in [f"split {seed}" for seed in CHOOSING]]
    means = {
        candidate: float(np.mean([row["left_out"] for row in kept if candidate_of(row) == candidate]))
        for candidate in dict.fromkeys(map(candidate_of, kept))
    }
    (recipe, names, rule), value = max(means.items(), key=lambda item: item[1])
    return {"recipe": recipe, "networks": names, "views": rule, "left_out": value}


def summarise(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each candidate, its accuracy on the splits to report, and on the quarters.

    Two intervals at 95 %: `interval` is for another split of the same kind, with the variance of Nadeau & Bengio (2003)
    for splits that share training rows; `plain_interval` takes the splits as independent, and so is too short.
    """
    found = []
    for candidate in dict.fromkeys(map(candidate_of, rows)):
        own = {row["split"]: row for row in rows if candidate_of(row) == candidate}
        values = np.array([own[f"split {seed}"]["accuracy"] for seed in REPORTED])
        quarters = [own[f"quarter {index + 1}"]["accuracy"] for index in range(4)]
        recipe, names, rule = candidate
        found.append(
            {
                "recipe": recipe,
                "networks": names,
                "views": rule,
                "left_out": float(np.mean([own[f"split {seed}"]["left_out"] for seed in CHOOSING])),
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
    parser.add_argument("--work", type=Path, default=Path("views"), help="folder for caches and rows")
    parser.add_argument("--networks", type=Path, default=Path("views/networks"), help="folder of the networks")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    cells = read_cells(given.work)
    caches = {
        name: extract(describe(given.networks / f"{name}.onnx", given.work / "cards"), given.work)
        for name in FIRST_BLOCK
    }
    kept = KeptRows(given.work / "rows.jsonl")
    measure_all(caches, cells, kept)
    rows = list(kept.found.values())
    keep("elpv_views", {"published": VGG, "chosen": choose(rows), "summary": summarise(rows), "rows": rows})


if __name__ == "__main__":
    main()
