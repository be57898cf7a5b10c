"""Tuning a head, as featx does it, against what scikit-learn's users do.

    python benchmarks/heads.py --cache fashion-lite0.h5 [--rows N] [--values N] [--anew] [--peaks]

Needs a cache with an official split, such as that of Fashion-MNIST; without one, features are made up, for a look.

The same values of l2, the same split (a stratified fifth of the training rows for validation), the same tol and number
of iterations: featx's scaler and sweep, against GridSearchCV over StandardScaler and LogisticRegression, value by
value, which adds up to one search. Both then fit the best value to all training rows, and are measured on the test
rows. featx's sweep is timed at the beginning, in the middle and at the end of the long time that the other takes; what
is done is kept in results/heads.partial.jsonl, and not done again after an interruption. Peaks of memory are those of
processes of their own, from when the training features lie in memory and the cache is closed; --peaks measures these
alone.
"""

import argparse
import json
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from memory import peak_bytes
from numpy.typing import NDArray
from record import RESULTS, keep, read
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from featx.cache import read_features
from featx.estimators import (
    PENALTIES,
    FeatureScaler,
    SoftmaxRegression,
    sweep,
)
from featx.hardware import usable_cores
from featx.provenance import versions

FEATX, PEER = "featx", "scikit-learn"
TOL, MAX_ITER = 1e-4, 5000
"""Of both sides, which ask for different things by it: scikit-learn that no number of the mean gradient be above it,
featx that its norm be below it relative to what cancels in it, which is more where residuals are small."""
PARTIAL = RESULTS / "heads.partial.jsonl"


@dataclass(frozen=True)
class Task:
    """Features and labels of all training rows, which of them are for validation, and the test rows."""

    features: NDArray[np.float32]
    labels: NDArray[np.int32]
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test_features: NDArray[np.float32]
    test_labels: NDArray[np.int32]


def open_task(cache: Path | None, rows: int | None) -> Task:
    """The cache's official split, or made-up features; of the training rows this number, all classes among them."""
    features, labels, test_features, test_labels = _read(cache) if cache else _make_up()
    if rows and rows < len(labels):
        some = np.sort(train_test_split(np.arange(len(labels)), train_size=rows, stratify=labels, random_state=0)[0])
        features, labels = features[some], labels[some]
    train, validation = train_test_split(np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=0)
    return Task(features, labels, np.sort(train), np.sort(validation), test_features, test_labels)


def _read(cache: Path) -> tuple[NDArray[Any], ...]:
    table = read_features(cache)
    if table.splits is None:
        raise SystemExit(f"{cache}: no official split; extract from a manifest with a column `split`")
    train, test = np.flatnonzero(table.splits == b"train"), np.flatnonzero(table.splits == b"test")
    return table.take(train), table.labels[train], table.take(test), table.labels[test]


def _make_up(count: int = 8_000, dim: int = 1_280, classes: int = 10) -> tuple[NDArray[Any], ...]:
    """Pooled rectified projections of Gaussian classes: non-negative, correlated, with a spectrum that decays."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, count).astype(np.int32)
    means, scale = rng.normal(size=(classes, 80)), np.arange(1, 81) ** -0.6
    hidden = (0.35 * means[labels] + 1.3 * rng.normal(size=(count, 80))) * scale
    mixing, bias = rng.normal(size=(80, dim)) / 3, rng.normal(size=dim) / 2 - 0.5
    features = np.mean(
        [np.maximum(hidden @ mixing + bias + rng.normal(size=(count, dim)), 0) for _ in range(4)], axis=0
    )
    features, rest = features.astype(np.float32), count // 4
    return features[rest:], labels[rest:], features[:rest], labels[:rest]


def tune(task: Task, values: list[float]) -> dict[float, float]:
    """Accuracy on validation rows of every l2, by featx."""
    fit = task.features[task.train]
    scaler = FeatureScaler(copy=False).fit(fit)
    fit = scaler.transform(fit)
    held_out = scaler.transform(task.features[task.validation])
    classifier, truth = SoftmaxRegression(tol=TOL, max_iter=MAX_ITER), task.labels[task.validation]
    found = sweep(classifier, fit, task.labels[task.train], held_out, grid={"l2": values})
    return {params["l2"]: float((scores.argmax(axis=1) == truth).mean()) for params, scores in found}


def tune_peer(task: Task, value: float) -> tuple[float, bool]:
    """Accuracy on validation rows of one l2, by scikit-learn, and whether it converged."""
    search = GridSearchCV(
        _peer(), {"logisticregression__C": [1 / value]}, cv=[(task.train, task.validation)], refit=False
    )
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", ConvergenceWarning)
        search.fit(task.features, task.labels)
    return float(search.best_score_), not any(issubclass(one.category, ConvergenceWarning) for one in warned)


def _peer(l2: float = 1.0) -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(C=1 / l2, tol=TOL, max_iter=MAX_ITER))


def accuracy(task: Task, pipeline: Pipeline) -> float:
    """On test rows, once fitted to all training rows."""
    return float(pipeline.fit(task.features, task.labels).score(task.test_features, task.test_labels))


class Ledger:
    """What was measured of one task, in a file that outlives an interruption."""

    def __init__(self, key: dict[str, Any], *, anew: bool) -> None:
        self._key = json.dumps(key, sort_keys=True)
        RESULTS.mkdir(exist_ok=True)
        if anew:
            PARTIAL.unlink(missing_ok=True)

    def rows(self, side: str) -> list[dict[str, Any]]:
        """What there is of this side."""
        lines = PARTIAL.read_text(encoding="utf-8").splitlines() if PARTIAL.exists() else []
        found = [json.loads(line) for line in lines]
        return [row["row"] for row in found if row["key"] == self._key and row["side"] == side]

    def add(self, side: str, **row: Any) -> None:
        """Keep what was measured, and show it."""
        with PARTIAL.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": self._key, "side": side, "row": row}) + "\n")
        print(side, row, flush=True)


def measure_sweep(task: Task, values: list[float], ledger: Ledger) -> None:
    """Both sides in turn: the one whole, some times; the other value by value."""
    stops = {0, len(values) // 2, len(values) - 1}
    done = {row["l2"] for row in ledger.rows(PEER)}
    for index, value in enumerate(values):
        if value not in done:
            start = time.perf_counter()
            score, converged = tune_peer(task, value)
            seconds = time.perf_counter() - start
            ledger.add(PEER, l2=value, seconds=seconds, accuracy=score, converged=converged)
        if index in stops and len(ledger.rows(FEATX)) <= sorted(stops).index(index):
            start = time.perf_counter()
            found = tune(task, values)
            ledger.add(FEATX, seconds=time.perf_counter() - start, accuracy=[found[value] for value in values])


def conclude(task: Task, values: list[float], ledger: Ledger) -> dict[str, Any]:
    """Seconds, their ratio, what was chosen, and how good it is on test rows."""
    peer, ours = {row["l2"]: row for row in ledger.rows(PEER)}, ledger.rows(FEATX)
    scores = {FEATX: ours[0]["accuracy"], PEER: [peer[value]["accuracy"] for value in values]}
    chosen = {side: values[int(np.argmax(of_side))] for side, of_side in scores.items()}
    seconds = sum(peer[value]["seconds"] for value in values)
    fitted = {
        FEATX: make_pipeline(FeatureScaler(), SoftmaxRegression(chosen[FEATX], tol=TOL, max_iter=MAX_ITER)),
        PEER: _peer(chosen[PEER]),
    }
    return {
        "l2": values,
        "validation_accuracy": scores,
        "chosen_l2": chosen,
        "test_accuracy": {side: accuracy(task, pipeline) for side, pipeline in fitted.items()},
        "seconds": {FEATX: [row["seconds"] for row in ours], PEER: seconds},
        "seconds_of_values": {PEER: [peer[value]["seconds"] for value in values]},
        "not_converged": sum(not peer[value]["converged"] for value in values),
        "peer_over_featx": [seconds / row["seconds"] for row in ours],
    }


def measure_peaks(arguments: list[str], task: Task) -> dict[str, Any]:
    """Bytes at the peak of a process that holds the task and tunes, and of one that holds it alone."""
    found = {}
    for side in (FEATX, PEER, "loading"):
        command = [sys.executable, __file__, *arguments, "--side", side]
        found[side] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {"bytes": found, "over_features": {side: peak / task.features.nbytes for side, peak in found.items()}}


def tune_alone(task: Task, side: str, values: list[float]) -> None:
    """Tune a few values, which takes as much memory as many; what loading took is forgotten."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    if side == FEATX:
        tune(task, values)
    elif side == PEER:
        tune_peer(task, max(values))


def _values(count: int) -> list[float]:
    chosen = np.linspace(0, len(PENALTIES) - 1, count).round().astype(int)
    return [PENALTIES[index] for index in reversed(chosen)]


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--rows", type=int, help="of the training rows, for a look")
    parser.add_argument("--values", type=int, default=len(PENALTIES), help="of l2, for a look")
    parser.add_argument("--anew", action="store_true", help="forget what an interrupted run has done")
    parser.add_argument("--peaks", action="store_true", help="measure the peaks alone anew")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure and keep."""
    arguments = _parse()
    task, values = open_task(arguments.cache, arguments.rows), _values(arguments.values)
    if arguments.side:
        task = replace(task, test_features=task.test_features[:0].copy())  # tuning needs none
        tune_alone(task, arguments.side, values[:5])
        print(json.dumps(peak_bytes()))
        return
    command = [word for word in sys.argv[1:] if word not in ("--anew", "--peaks")]
    if arguments.peaks:
        keep("heads", {"sweep": read("heads")["sweep"] | {"peaks": measure_peaks(command, task)}})
        return
    name = arguments.cache.stem if arguments.cache else "made up"
    about = {
        "features": name,
        "rows": len(task.labels),
        "dim": task.features.shape[1],
        "classes": len(np.unique(task.labels)),
    }
    about |= {"tol": TOL, "max_iter": MAX_ITER, "cores": usable_cores()}
    ledger = Ledger(about | {"versions": versions(), "values": values}, anew=arguments.anew)
    measure_sweep(task, values, ledger)
    keep("heads", {"sweep": about | conclude(task, values, ledger) | {"peaks": measure_peaks(command, task)}})
    PARTIAL.unlink()


if __name__ == "__main__":
    main()
