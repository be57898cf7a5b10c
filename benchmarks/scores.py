"""What scoring a source costs: its scores beside one Gram matrix with its eigendecomposition, and the peak memory.

    python benchmarks/scores.py [--rows N] [--columns D] [--classes K] [--repeats R] [--memory-rows N]

Time: in each repeat numpy forms the Gram matrix of the features in float64 and decomposes it, and featx computes the
default scores, those that follow from such a matrix, and all that read features, float32 in memory. Memory: a process
of its own computes the default scores of a cache of a tenth of the rows, and of all.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from record import keep

from featx.cache import FeatureTable, Part, Source
from featx.transfer import DEFAULT_SCORES, SCORES, score_transferability

APART = ("nleep", "pactran")
"""Scores that fit a model of their own, step by step."""
OF_FEATURES = tuple(name for name in SCORES if name not in ("leep", "nce"))
MEASURED = {
    "default": DEFAULT_SCORES,
    "all but N-LEEP and PACTran": tuple(name for name in OF_FEATURES if name not in APART),
    "all": OF_FEATURES,
}
MEASURE = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import scores
table = scores.make_table(Path(sys.argv[2]), classes=10)
scores.score_transferability(table)
print(next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def make_features(rows: int, columns: int, *, classes: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Classes that overlap, in columns that are correlated."""
    rng = np.random.default_rng(0)
    labels = rng.integers(classes, size=rows).astype(np.int32)
    mixed = (rng.normal(size=(columns, columns)) / np.sqrt(columns)).astype(np.float32)
    means = (rng.normal(size=(classes, columns)) / 10).astype(np.float32)
    features = rng.normal(size=(rows, columns)).astype(np.float32) @ mixed
    features += means[labels]
    return features, labels


def table_of(features: NDArray[np.float32], labels: NDArray[np.int32], *, classes: int) -> FeatureTable:
    """The table of these rows."""
    card = {"name": "drawn", "dim": features.shape[1], "feature": "pooled"}
    source = Source("0" * 64, "CPUExecutionProvider", card, 0, features.shape[1])
    names = np.char.mod(b"%08d", np.arange(len(labels)))
    order = np.arange(len(labels))
    known = tuple(map(str, range(classes)))
    return FeatureTable((Part(features),), names, known, labels, None, None, None, (source,), order, {}, "drawn")


def make_table(folder: Path, *, classes: int) -> FeatureTable:
    """A table whose features are a memory map, as those of a cache."""
    features = np.load(folder / "features.npy", mmap_mode="r")
    return table_of(features, np.load(folder / "labels.npy"), classes=classes)


def measure_time(rows: int, columns: int, *, classes: int, repeats: int) -> dict[str, Any]:
    """Seconds of the scores, and of numpy's Gram matrix and eigendecomposition, in turn; and of each score alone."""
    features, labels = make_features(rows, columns, classes=classes)
    table = table_of(features, labels, classes=classes)
    runs: dict[str, list[float]] = {name: [] for name in ("numpy", *MEASURED)}
    single: dict[str, list[float]] = {name: [] for name in OF_FEATURES}
    for _ in range(repeats):
        runs["numpy"].append(_time_numpy(features))
        for name, scores in MEASURED.items():
            start = time.perf_counter()
            found = score_transferability(table, scores=scores, rows=np.arange(rows))
            runs[name].append(time.perf_counter() - start)
        for row in found.rows:
            single[row.score].append(row.seconds)
        print({name: round(seconds[-1], 2) for name, seconds in runs.items()}, flush=True)
    ratios = {name: _ratios(runs[name], runs["numpy"]) for name in MEASURED}
    return {"seconds": runs, "seconds_of_score_with_shared": single, "by_numpy": ratios}


def _time_numpy(features: NDArray[np.float32]) -> float:
    start = time.perf_counter()
    exact = features.astype(np.float64)
    exact -= exact.mean(axis=0)
    np.linalg.eigh(exact.T @ exact)
    return time.perf_counter() - start


def _ratios(seconds: list[float], others: list[float]) -> dict[str, float]:
    found = [one / other for one, other in zip(seconds, others, strict=True)]
    return {"median": median(found), "least": min(found), "most": max(found)}


def measure_memory(rows: int, columns: int) -> dict[str, Any]:
    """Peak bytes of a process that scores this number of rows, and a tenth of it."""
    peaks = {}
    for count in (rows // 10, rows):
        with tempfile.TemporaryDirectory() as folder:
            features, labels = make_features(count, columns, classes=10)
            np.save(Path(folder) / "features.npy", features)
            np.save(Path(folder) / "labels.npy", labels)
            del features
            command = [sys.executable, "-c", MEASURE, str(Path(__file__).parent), folder]
            ran = subprocess.run(command, capture_output=True, text=True, check=True)
            peaks[count] = int(ran.stdout)
    small, large = peaks.values()
    return {"peak_bytes": peaks, "ratio": large / small}


def main() -> None:
    """Measure, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--columns", type=int, default=1280)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory-rows", type=int, default=200_000)
    options = parser.parse_args()
    shape = {"rows": options.rows, "columns": options.columns, "classes": options.classes}
    timed = measure_time(options.rows, options.columns, classes=options.classes, repeats=options.repeats)
    memory = measure_memory(options.memory_rows, options.columns)
    print(timed["by_numpy"], memory)
    keep("scores", shape | timed | {"memory": memory})


if __name__ == "__main__":
    main()
