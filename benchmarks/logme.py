"""LogME: featx beside the published algorithm, by time and by value.

    python benchmarks/logme.py [--rows N] [--columns D] [--classes K] [--repeats R] [--public LogME.py]

Each repeat runs, in turn and on one thread, featx's `log_evidence` without an intercept, as published, and the
algorithm of You et al. 2021 (arXiv 2102.11005) written down here from the paper: the singular vectors of the whole Gram
matrix once, then for each class the fixed-point steps, each with a product with the features. `--public` is the path of
LogME.py from github.com/thuml/LogME; it is timed too, in both of its forms, and needs numba.
"""

import argparse
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from record import keep
from threadpoolctl import threadpool_limits

from featx.transfer import log_evidence

Floats = NDArray[np.float64]
STEPS = 11
"""Most fixed-point steps of a class, as published."""
CLOSE = 0.01
"""The steps end when the ratio of precisions changes by less than this part, as published."""
LEAST = 1e-5
"""What is added to the squared norm and to the residual before anything is divided by them, as published."""


def make_features(rows: int, columns: int, *, classes: int) -> tuple[Floats, NDArray[np.int64]]:
    """Classes that overlap, in columns that are correlated and not negative, as pooled activations are."""
    rng = np.random.default_rng(0)
    labels = rng.integers(classes, size=rows)
    mixed = rng.normal(size=(columns, columns)) / np.sqrt(columns)
    means = rng.normal(size=(classes, columns)) / 4
    return np.maximum(rng.normal(size=(rows, columns)) @ mixed + means[labels], 0), labels


def published(features: Floats, labels: NDArray[np.int64]) -> float:
    """The score as the paper computes it, in nats per row, averaged over the classes."""
    vectors, values, _ = np.linalg.svd(features.T @ features)
    found = [
        _one_class(features, (labels == one).astype(np.float64), vectors, values) for one in range(labels.max() + 1)
    ]
    return float(np.mean(found))


def _one_class(features: Floats, target: Floats, vectors: Floats, values: Floats) -> float:
    rows, columns = features.shape
    moments = vectors.T @ (features.T @ target)
    ratio, alpha, beta = 1.0, 1.0, 1.0
    for _ in range(STEPS):
        gamma = (values / (values + ratio)).sum()
        mean = vectors @ (moments * beta / (alpha + beta * values))
        size = mean @ mean
        residual = float(np.square(target - features @ mean).sum())
        alpha, beta = gamma / (size + LEAST), (rows - gamma) / (residual + LEAST)
        before, ratio = ratio, alpha / beta
        if abs(ratio - before) / before < CLOSE:
            break
    evidence = columns * np.log(alpha) + rows * np.log(beta) - np.log(alpha + beta * values).sum()
    evidence -= beta * (residual + LEAST) + alpha * (size + LEAST) + rows * np.log(2 * np.pi)
    return float(evidence / 2 / rows)


def load_public(path: Path) -> dict[str, Callable[[Floats, NDArray[np.int64]], float]]:
    """The two forms of the public code at this path, of which the fixed-point form is what `fit` runs."""
    spec = importlib.util.spec_from_file_location("public_logme", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path}: not a Python file; give LogME.py from github.com/thuml/LogME")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def icml(features: Floats, labels: NDArray[np.int64]) -> float:
        return float(module.LogME()._fit_icml(features, labels))

    def fixed_point(features: Floats, labels: NDArray[np.int64]) -> float:
        return float(module.LogME()._fit_fixed_point(features, labels))

    return {"public, ICML form": icml, "public, fixed-point form": fixed_point}


def measure(features: Floats, labels: NDArray[np.int64], *, repeats: int, public: Path | None) -> dict[str, Any]:
    """Seconds and value of each implementation, in turn."""
    runs = {"featx": lambda x, y: log_evidence(x, y, intercept=False), "published": published}
    if public is not None:
        runs |= load_public(public)
    small = features[:200, :50], labels[:200] % 3
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    values = {}
    for run in runs.values():
        run(*small)  # imports and compiles
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            values[name] = run(features, labels)
            seconds[name].append(time.perf_counter() - start)
        print({name: round(times[-1], 2) for name, times in seconds.items()}, flush=True)
    own = seconds["featx"]
    ratios = {
        name: [one / featx for one, featx in zip(times, own, strict=True)]
        for name, times in seconds.items()
        if name != "featx"
    }
    by_featx = {name: {"median": median(one), "least": min(one), "most": max(one)} for name, one in ratios.items()}
    return {"seconds": seconds, "values": values, "by_featx": by_featx}


def main() -> None:
    """Measure, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--columns", type=int, default=1280)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--public", type=Path, metavar="LogME.py")
    options = parser.parse_args()
    shape = {"rows": options.rows, "columns": options.columns, "classes": options.classes}
    features, labels = make_features(options.rows, options.columns, classes=options.classes)
    with threadpool_limits(1):
        measured = measure(features, labels, repeats=options.repeats, public=options.public)
    print(measured["by_featx"], measured["values"])
    keep("logme", shape | {"threads": 1} | measured, beside=["numba"])


if __name__ == "__main__":
    main()
