"""ELPV by the rule of its paper, through frozen backbones whose many layers are fused.

Deitsch et al., Solar Energy 185 (2019), arXiv 1807.02894: a cell is defective where its probability p of a defect is
above 0, and weighs p; functional where p is 0, and weighs 1. Accuracies are weighted so. Three quarters train,
stratified by p and by the kind of cell.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import elpv_dataset
import numpy as np
import onnx
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from featx.backbones.store import Backbone, load_backbone
from featx.cache import list_outputs, read_features
from featx.convert.adding import Description, add_backbone
from featx.convert.preprocessing import Preprocessing
from featx.demo import list_cells
from featx.extract import extract_features
from featx.inputs import ImageSet, list_images

SPLITS, FRESH = range(5), range(5, 10)
"""Those on which layers and heads were settled, and as many, of the same images, that nobody looked at before."""
GAMMAS = (0.5, 1.0)
"""Of the RBF kernel of distances whose mean is 2."""
PENALTIES = tuple(10.0 ** np.arange(-3, 1.5, 0.5))

Features = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Cells:
    """What is true of the cells."""

    probability: NDArray[np.float64]
    kind: NDArray[np.str_]
    """mono or poly."""

    @property
    def defective(self) -> NDArray[np.int64]:
        """(n,): 1 where a defect is at all probable."""
        return (self.probability > 0).astype(np.int64)

    @property
    def weight(self) -> NDArray[np.float64]:
        """(n,): how sure that is."""
        return np.where(self.probability > 0, self.probability, 1.0)

    def accuracy(self, scores: NDArray[np.float64], rows: Rows) -> float:
        """Weighted accuracy of scores (m,) of these rows, defective where above 0."""
        weight = self.weight[rows]
        return float(weight[(scores > 0) == self.defective[rows]].sum() / weight.sum())

    def split(self, seed: int) -> tuple[Rows, Rows]:
        """Training and test rows, three to one, stratified by probability and kind."""
        strata = [f"{p:.2f} {kind}" for p, kind in zip(self.probability, self.kind, strict=True)]
        train, test = train_test_split(np.arange(len(strata)), test_size=0.25, stratify=strata, random_state=seed)
        return train, test

    def quarter(self, index: int) -> tuple[Rows, Rows]:
        """All other rows, and one quarter of them in the order in which modules were cut into cells."""
        parts = np.array_split(np.arange(len(self.probability)), 4)
        return np.concatenate([part for place, part in enumerate(parts) if place != index]), parts[index]


def read_cells(folder: Path) -> Cells:
    """What is known of the cells, whose manifest is written into the folder."""
    list_cells(folder / "cells.csv")
    text = (_pictures() / "labels.csv").read_text(encoding="utf-8")
    rows = [line.split() for line in text.splitlines() if line.strip()]
    return Cells(np.round(3 * np.array([float(p) for _, p, _ in rows])) / 3, np.array([kind for *_, kind in rows]))


def _pictures() -> Path:
    return Path(elpv_dataset.__file__).parent / "data"


def describe(model: Path, models: Path, *, wide: bool = True) -> Backbone:
    """The backbone of many layers, which takes images whole.

    Its outputs are its feature, the strongest places of its last map, and for every residual block the sum at its end
    and, unless not `wide`, the widest map inside it, each as mean and as maximum.
    """
    name = f"{model.stem}-layers"
    if not (models / f"{name}.toml").exists():
        graph = onnx.load(str(model)).graph
        size = graph.input[0].type.tensor_type.shape.dim[-1].dim_value
        tensors = [node.output[0] for node in graph.node]
        sums = [tensor for tensor in tensors if tensor.endswith("/Add_output_0")]
        inside = [tensor.replace("Add_output_0", "_swish_1/Clip_output_0") for tensor in sums] if wide else []
        last = "/_swish_1/Clip_output_0"
        pooled = [f"{tensor}:{pool}" for tensor in (*sums, *inside) for pool in ("mean", "max")]
        pixels = Preprocessing(size=size, resize=size, mean=(127.0,) * 3, std=(128.0,) * 3, filter="bicubic")
        outputs = ("features", f"{last}:max", *([f"{last}:gem"] if wide else []), *pooled)
        add_backbone(model, Description(name=name, outputs=outputs, pixels=pixels), into=models)
    return load_backbone(name, folder=models)


def extract(backbone: Backbone, folder: Path) -> Path:
    """The cache of the cells' pictures."""
    cache = folder / f"elpv-{backbone.name}.h5"
    extract_features(all_pictures(folder), backbone, into=cache)
    return cache


def all_pictures(folder: Path) -> ImageSet:
    """All cells, by the manifest that `read_cells` wrote into the folder."""
    return list_images(folder / "cells.csv", root=_pictures())


def list_pictures(folder: Path, count: int) -> ImageSet:
    """About this many cells, which follow each other; their manifest is written into the folder."""
    list_cells(folder / "cells.csv")
    images = list_images(folder / "cells.csv", root=_pictures())
    return images.shard(0, max(1, len(images) // count))


def extract_part(backbone: Backbone, images: ImageSet, folder: Path) -> Path:
    """The cache of these cells."""
    cache = folder / f"{backbone.name}.h5"
    extract_features(images, backbone, into=cache)
    return cache


def read_blocks(cache: Path) -> list[Features]:
    """The outputs of the backbone, (n, d) each."""
    return [np.asarray(read_features(cache, outputs=[output]).features) for output in list_outputs(cache)]


def distances(blocks: Sequence[Features], train: Rows, *, most: float = np.inf) -> Features:
    """(n, n): square distances of rows standardised on training rows, every block having an equal say.

    A number that is more than `most` standard deviations from the mean counts as that far away.
    """
    parts = []
    for block in blocks:
        known = block[train]
        deviation = known.std(axis=0)
        kept = deviation > 1e-8
        standardised = (block[:, kept] - known[:, kept].mean(axis=0)) / deviation[kept]
        parts.append(standardised.clip(-most, most) / np.sqrt(kept.sum() * len(blocks)))
    rows = np.concatenate(parts, axis=1)
    products = rows @ rows.T
    norms = products.diagonal()
    return np.asarray((norms[:, None] + norms - 2 * products).clip(0), np.float32)


def fit(far: Features, cells: Cells, split: tuple[Rows, Rows]) -> dict[str, Any]:
    """Weighted accuracy of kernel ridge regression on the test rows, with the kernel 1 + exp(-gamma x distance).

    Gamma and penalty are those whose scores of training rows, each fitted without it, are the most accurate; these are
    exact, from one eigendecomposition for all penalties.
    """
    train, test = split
    root, truth = np.sqrt(cells.weight[train]), 2.0 * cells.defective[train] - 1
    best: dict[str, Any] = {"left_out": -1.0}
    for gamma in GAMMAS:
        kernel = 1 + np.exp(-gamma * far)
        values, vectors = np.linalg.eigh(np.outer(root, root) * kernel[np.ix_(train, train)])
        turned = vectors.T @ (root * truth)
        for l2 in PENALTIES:
            inverse = 1 / (values.clip(0) + l2)
            dual = vectors @ (inverse * turned)
            left_out = cells.accuracy(truth - dual / (vectors**2 @ inverse * root), train)
            if left_out > best["left_out"]:
                scores = kernel[np.ix_(test, train)] @ (root * dual)
                best = {"left_out": left_out, "gamma": gamma, "l2": l2, "accuracy": cells.accuracy(scores, test)}
    return best


def partitions(cells: Cells) -> Iterator[tuple[str, tuple[Rows, Rows]]]:
    """Name and rows of every split, and of every quarter in turn."""
    for seed in (*SPLITS, *FRESH):
        yield f"{'split' if seed in SPLITS else 'fresh'} {seed}", cells.split(seed)
    for index in range(4):
        yield f"quarter {index + 1}", cells.quarter(index)


def measure(backbones: Sequence[Sequence[Features]], cells: Cells, split: tuple[Rows, Rows]) -> dict[str, Any]:
    """The accuracy on the test rows of these backbones, each having an equal say in the distances, and seconds."""
    start = time.perf_counter()
    far = np.mean([distances(blocks, split[0]) for blocks in backbones], axis=0)
    columns = sum(block.shape[1] for blocks in backbones for block in blocks)
    return {"columns": columns, **fit(far, cells, split), "seconds": round(time.perf_counter() - start)}
