"""What scoring a source costs: all scores beside one Gram matrix with its eigendecomposition, and the peak memory.

    python benchmarks/scores.py [--rows N] [--columns D] [--classes K] [--repeats R]

Time: each repeat scores float32 features in memory by one score after the other, and by all together; beside it numpy
forms the Gram matrix of the same features in float64 and decomposes it. Memory: a process of its own scores a cache of
some rows and one of ten times as many.
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
from featx.transfer import SCORES, score_transferability

OF_FEATURES = tuple(name for name in SCORES if name not in ("leep", "nce"))
MEASURE = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import scores
table = scores.make_table(Path(sys.argv[2]), classes=10)
found = scores.score_transferability(table, scores=scores.OF_FEATURES)
print(next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def make_features(rows: int, columns: int, *, classes: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Classes that overlap, in columns that are correlated."""
    rng = np.random.default_rng(0)
    labels = rng.integers(classes, size=rows).astype(np.int32)
    mixed = rng.normal(size=(columns, columns)).astype(np.float32) / np.sqrt(columns)
    means = rng.normal(size=(classes, columns)).astype(np.float32) / 10
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
    """Seconds of each score, of all together, and of numpy's Gram matrix and eigendecomposition, in turn."""
    features, labels = make_features(rows, columns, classes=classes)
    table = table_of(features, labels, classes=classes)
    order = np.arange(rows)
    runs: dict[str, list[float]] = {}
    for _ in range(repeats):
        start = time.perf_counter()
        exact = features.astype(np.float64)
        exact -= exact.mean(axis=0)
        np.linalg.eigh(exact.T @ exact)
        del exact
        runs.setdefault("numpy", []).append(time.perf_counter() - start)
        for name, scores in {"all": OF_FEATURES, **{name: (name,) for name in OF_FEATURES}}.items():
            start = time.perf_counter()
            score_transferability(table, scores=scores, rows=order)
            runs.setdefault(name, []).append(time.perf_counter() - start)
        print({name: round(seconds[-1], 2) for name, seconds in runs.items()}, flush=True)
    ratios = [every / one for every, one in zip(runs["all"], runs["numpy"], strict=True)]
    return {"seconds": runs, "all_by_numpy": {"median": median(ratios), "least": min(ratios), "most": max(ratios)}}


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
    print(timed["all_by_numpy"], memory)
    keep("scores", shape | timed | {"memory": memory})


if __name__ == "__main__":
    main()
