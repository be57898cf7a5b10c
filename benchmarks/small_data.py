"""A few hundred images: tuning in folds against a single fifth, the MLP against scikit-learn's, wrong labels found.

    python benchmarks/small_data.py [tuning] [mlp] [labels] [--splits N] [--heads A,B] [--fashion FOLDER]

`tuning` draws images to learn from, and tests on the rest (at most 1,000): every head by `--tuning auto` and by
`--tuning validation`, which is what featx 0.1.0 did, on the same splits. Differences are paired. ELPV needs the
extra `demo`; its features are kept in the folder `--work`. `mlp` and `labels` use scikit-learn's digits, and `labels`
Fashion-MNIST too. Constants of featx that were chosen on such data were chosen with other seeds than these.
"""

import argparse
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from fashion import FOLDER, read_fashion
from numpy.typing import NDArray
from record import keep, read
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import average_precision_score
from sklearn.neural_network import MLPClassifier

from featx.backbones import load_backbone
from featx.cache import FeatureTable, Part, Source, read_features
from featx.demo import list_cells
from featx.estimators import MLP, FeatureScaler
from featx.extract import extract_features
from featx.heads import HEADS, find_label_errors, train_head
from featx.settings import BUNDLED
from featx.tables import make_splits

Data = tuple[NDArray[np.float32], NDArray[np.int32]]
"""Features (n, d) and class numbers (n,)."""
SETS = {"digits": 200, "cancer": 150, "elpv": 300}
"""Images to learn from."""
MOST_TESTED = 1000
MLP_ROWS = (30, 100, 160, 300, 600, 1000, 1400)
"""Numbers of rows to learn from; the rest of the 1,797 digits is tested."""
FLAWS = ((0.05, "any other class"), (0.1, "any other class"), (0.05, "one other class"), (0.1, "one other class"))
"""Shares of wrong labels, and what they are changed to."""
IMAGES = 800
"""Number of images among which wrong labels are looked for."""


def read_digits() -> Data:
    """1,797 digits of 8 x 8 pixels."""
    rows, labels = load_digits(return_X_y=True)
    return rows.astype(np.float32), labels.astype(np.int32)


def read_cancer() -> Data:
    """569 measured tumours."""
    rows, labels = load_breast_cancer(return_X_y=True)
    return rows.astype(np.float32), labels.astype(np.int32)


def read_elpv(work: Path) -> Data:
    """2,624 solar cells through EfficientNet-Lite0."""
    cache = work / "elpv-lite0.h5"
    if not cache.exists():
        extract_features(list_cells(work / "elpv.csv"), load_backbone(BUNDLED), into=cache)
    table = read_features(cache)
    return np.asarray(table.features), table.labels


def make_table(data: Data, *, name: str, splits: NDArray[np.bytes_] | None = None) -> FeatureTable:
    """The table of these rows."""
    rows, labels = data
    card = {"name": name, "dim": rows.shape[1], "feature": "pooled"}
    source = Source("0" * 64, "CPUExecutionProvider", card, 0, rows.shape[1])
    names = np.array([f"{row:05}".encode() for row in range(len(rows))])
    classes = tuple(map(str, range(int(labels.max()) + 1)))
    order = np.arange(len(rows))
    table = FeatureTable((Part(rows),), names, classes, labels, None, None, None, (source,), order, {}, name)
    return replace(table, splits=splits)


def draw(data: Data, count: int, *, seed: int) -> Data:
    """`count` rows at random, each at most once."""
    rows = np.random.default_rng(seed).permutation(len(data[1]))[:count]
    return data[0][rows], data[1][rows]


def compare_tunings(name: str, data: Data, heads: Sequence[str], *, seed: int) -> Iterator[dict[str, Any]]:
    """Test accuracy, log loss and CPU seconds of each head and tuning on one split."""
    count = SETS[name]
    drawn = draw(data, count + MOST_TESTED, seed=seed)
    splits = np.where(np.arange(len(drawn[1])) < count, b"train", b"test")
    table = make_table(drawn, name=name, splits=splits)
    split = make_splits(table, "official", seed=seed)[0]
    for head in heads:
        for tuning in ("auto", "validation"):
            start = time.process_time()
            _, result = train_head(table, head, split=split, tuning=tuning, seed=seed, jobs=1)
            spent = time.process_time() - start
            metrics = result.metrics
            about = {"set": name, "seed": seed, "head": head, "tuning": tuning, "tuned": result.tuning}
            yield about | {"accuracy": metrics.accuracy, "log_loss": metrics.log_loss, "cpu_seconds": spent}


def conclude(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What `auto` gains over `validation`, and what it costs: for each head, for each set, and over all rows."""
    found: dict[str, Any] = {"by_head": {}, "by_set": {}}
    for kind, place in (("head", "by_head"), ("set", "by_set")):
        for value in dict.fromkeys(row[kind] for row in rows):
            found[place][value] = _gain([row for row in rows if row[kind] == value])
    return found | {"all": _gain(rows)}


def _gain(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The mean gain in points of accuracy with its standard error, and the costs.

    Gains are averaged over the heads of a split first: these share their test rows, so that splits are what varies.
    """
    sides = [{key_of(row): row for row in rows if row["tuning"] == tuning} for tuning in ("auto", "validation")]
    by_split: dict[tuple[str, int], list[float]] = {}
    for key, row in sides[0].items():
        gain = 100 * (row["accuracy"] - sides[1][key]["accuracy"])
        by_split.setdefault((row["set"], row["seed"]), []).append(gain)
    means = [float(np.mean(gains)) for gains in by_split.values()]
    seconds, losses = (
        [sum(row[what] for row in side.values()) for side in sides] for what in ("cpu_seconds", "log_loss")
    )
    return {
        "points": float(np.mean(means)),
        "standard_error": float(np.std(means, ddof=1) / np.sqrt(len(means))) if len(means) > 1 else float("nan"),
        "cpu_ratio": seconds[0] / seconds[1],
        "log_loss_difference": (losses[0] - losses[1]) / len(sides[0]),
        "splits": len(means),
    }


def key_of(row: dict[str, Any]) -> tuple[str, int, str]:
    """Set, seed and head: rows with equal ones differ in their tuning only."""
    return row["set"], row["seed"], row["head"]


def compare_networks(data: Data, *, seed: int) -> Iterator[dict[str, Any]]:
    """Test accuracies of featx's MLP and of scikit-learn's with one layer of 100, on standardised rows."""
    order = np.random.default_rng(seed).permutation(len(data[1]))
    for count in MLP_ROWS:
        fitted, tested = order[:count], order[count:]
        scaler = FeatureScaler().fit(data[0][fitted])
        rows, others = scaler.transform(data[0][fitted]), scaler.transform(data[0][tested])
        ours = MLP(seed=seed).fit(rows, data[1][fitted])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            theirs = MLPClassifier((100,), random_state=seed).fit(rows, data[1][fitted])
        accuracies = (float((one.predict(others) == data[1][tested]).mean()) for one in (ours, theirs))
        yield {"rows": count, "seed": seed, **dict(zip(("featx", "scikit-learn"), accuracies, strict=True))}


def spoil(labels: NDArray[np.int32], share: float, kind: str, *, seed: int) -> NDArray[np.int32]:
    """The labels with this share of them changed: each to any other class, or always to one other class of its own."""
    rng = np.random.default_rng(seed)
    classes = int(labels.max()) + 1
    rows = rng.choice(len(labels), round(share * len(labels)), replace=False)
    order = rng.permutation(classes)
    other = np.empty(classes, np.int32)
    other[order] = np.roll(order, 1)
    spoilt = labels.copy()
    drawn = (labels[rows] + rng.integers(1, classes, len(rows))) % classes
    spoilt[rows] = other[labels[rows]] if kind == "one other class" else drawn
    return spoilt


def find_errors(name: str, data: Data, *, seed: int) -> Iterator[dict[str, Any]]:
    """Average precision of the ranking of wrong labels, and of its parts alone."""
    drawn = draw(data, IMAGES, seed=seed)
    for share, kind in FLAWS:
        spoilt = spoil(drawn[1], share, kind, seed=seed)
        found = find_label_errors(make_table((drawn[0], spoilt), name=name))
        wrong = np.flatnonzero(spoilt != drawn[1])
        is_wrong = np.isin([int(error.name) for error in found], wrong)
        ranks = {
            "featx": [error.score for error in found],
            "self_confidence": [-error.self_confidence for error in found],
            "neighbour_share": [-error.neighbour_share for error in found],
        }
        precisions = {kind: float(average_precision_score(is_wrong, scores)) for kind, scores in ranks.items()}
        yield {"set": name, "seed": seed, "share": share, "changed_to": kind, **precisions}


def measure_tuning(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """All rows of the comparison of tunings."""
    sets = {"digits": read_digits(), "cancer": read_cancer(), "elpv": read_elpv(options.work)}
    for seed in range(options.splits):
        for name, data in sets.items():
            yield from compare_tunings(name, data, options.heads.split(","), seed=seed)


def measure_networks(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """All rows of the comparison of networks."""
    for seed in range(options.seeds):
        yield from compare_networks(read_digits(), seed=seed)


def measure_labels(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """All rows of the search for wrong labels."""
    images, labels = read_fashion(options.fashion)["train"]
    fashion = images.reshape(len(images), -1).astype(np.float32), labels.astype(np.int32)
    for seed in range(options.seeds):
        yield from find_errors("fashion", fashion, seed=seed)
        yield from find_errors("digits", read_digits(), seed=seed)


PARTS = {"tuning": measure_tuning, "mlp": measure_networks, "labels": measure_labels}


def main() -> None:
    """Measure the parts asked for, print each row, and keep the rows beside those of the other parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS])
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--heads", default=",".join(HEADS))
    parser.add_argument("--fashion", type=Path, default=FOLDER)
    parser.add_argument("--work", type=Path, default=Path("small-data"))
    options = parser.parse_args()
    options.work.mkdir(exist_ok=True)
    for part in options.parts or PARTS:
        rows = []
        for row in PARTS[part](options):
            print(row, flush=True)
            rows.append(row)
        kept = {name: found for name, found in (read("small_data") or {}).items() if name in PARTS}
        keep("small_data", kept | {part: {"rows": rows} | (conclude(rows) if part == "tuning" else {})})


if __name__ == "__main__":
    main()
