"""What adapting costs: every adapter beside two Gram matrices with eigendecompositions, and the most memory.

    python benchmarks/adaptation_speed.py [--rows N] [--columns D] [--repeats R]

Source and target are N x D float32 each, memory maps of files. Time: in each repeat numpy forms the Gram matrix of each
domain and decomposes it, once in float64 and once in float32, and featx fits each adapter alone and maps the domain
that it changes, weighs the source, measures the gap, and does all of this with one DomainPair. Memory: a process of its
own for each; the numbers are what Python and numpy allocated at most, and the largest resident size, which has the
pages of both files too.
"""

import argparse
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from memory import peak_bytes
from record import keep
from scores import make_features, table_of
from timing import Run, interleave, ratios

from featx.estimators import (
    CoralAdapter,
    DomainAdapter,
    DomainPair,
    DomainStandardiser,
    TransportAdapter,
    importance_weights,
)
from featx.transfer import measure_gap

CLASSES = 10
ALL = "all"
ADAPTERS: Mapping[str, Callable[[], DomainAdapter]] = {
    "standardise": DomainStandardiser,
    "coral": CoralAdapter,
    "transport": TransportAdapter,
}
REFERENCES: Mapping[str, type] = {"numpy, float64": np.float64, "numpy, float32": np.float32}


class Task:
    """The features of two domains in a folder, and what can be done with them."""

    def __init__(self, folder: Path) -> None:
        self.source, self.target = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("source", "target"))
        self.labels = np.load(folder / "labels.npy")

    def runs(self) -> dict[str, Callable[[], None]]:
        """What is measured, by its name."""
        adapters = {name: partial(self.adapt_alone, make) for name, make in ADAPTERS.items()}
        return {**adapters, "weights": self.weigh, "gap": self.measure_gap, ALL: self.do_all}

    def adapt_alone(self, make: Callable[[], DomainAdapter]) -> None:
        """Adapt, with two domains of which nothing is known yet."""
        self.adapt(make(), DomainPair(self.source, self.target))

    def adapt(self, adapter: DomainAdapter, pair: DomainPair) -> None:
        """Fit the adapter, and map all rows of the domain that it changes."""
        adapter.fit_pair(pair)
        if adapter.maps_target:
            adapter.transform(self.target)
        else:
            adapter.transform(self.source, sample_domain=np.ones(len(self.source)))

    def weigh(self) -> None:
        """Weigh all rows of the source."""
        importance_weights(self.source, self.target)

    def measure_gap(self) -> None:
        """Measure the gap, as is done before anything is adapted."""
        measure_gap(*(table_of(rows, self.labels, classes=CLASSES) for rows in (self.source, self.target)))

    def do_all(self) -> None:
        """Everything, with one pair."""
        self.measure_gap()
        pair = DomainPair(self.source, self.target)
        for make in ADAPTERS.values():
            self.adapt(make(), pair)
        self.weigh()

    def decompose(self, kind: type) -> None:
        """The Gram matrix of each domain, and its eigendecomposition."""
        for rows in (self.source, self.target):
            exact = rows.astype(kind)
            exact -= exact.mean(axis=0)
            np.linalg.eigh(exact.T @ exact)


def write_domains(folder: Path, rows: int, columns: int) -> None:
    """A source, a target that is the same but for scale and offset of its columns, and labels."""
    features, labels = make_features(rows, columns, classes=CLASSES)
    np.save(folder / "source.npy", features)
    np.save(folder / "labels.npy", labels)
    rng = np.random.default_rng(1)
    features *= np.exp(rng.normal(0, 0.3, columns)).astype(np.float32)
    features += rng.normal(0, 0.3, columns).astype(np.float32)
    np.save(folder / "target.npy", features[rng.permutation(rows)])


def measure_time(folder: Path, repeats: int) -> dict[str, Any]:
    """Seconds of each, in turn, and ratios to the references, repeat by repeat."""
    task = Task(folder)
    runs = {name: Run(partial(task.decompose, kind)) for name, kind in REFERENCES.items()}
    took, _ = interleave(runs | {name: Run(do) for name, do in task.runs().items()}, repeats)
    over = {
        name: {reference: _spread(ratios(took[name].wall, took[reference].wall)) for reference in REFERENCES}
        for name in task.runs()
    }
    return {"seconds": {name: seconds.wall for name, seconds in took.items()}, "ratios": over}


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": median(values), "least": min(values), "most": max(values)}


def measure_memory(folder: Path) -> dict[str, Any]:
    """Bytes of each, in a process of its own, and how many times the features of one domain that is."""
    size = (folder / "source.npy").stat().st_size
    peaks: dict[str, Any] = {}
    for name in Task(folder).runs():
        command = [sys.executable, __file__, "--run", name, str(folder)]
        ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=3600)
        allocated, resident = map(int, ran.stdout.split())
        peaks[name] = {"allocated": allocated, "resident": resident, "by_features": allocated / size}
        print(name, peaks[name], flush=True)
    return {"feature_bytes": size, "peaks": peaks}


def measure_here(name: str, folder: Path) -> None:
    """Print the bytes that were allocated at most, and the largest resident size."""
    do = Task(folder).runs()[name]
    tracemalloc.start()
    do()
    print(tracemalloc.get_traced_memory()[1], peak_bytes())


def main() -> None:
    """Measure, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--columns", type=int, default=1280)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        measure_here(options.run[0], Path(options.run[1]))
        return
    with tempfile.TemporaryDirectory() as name:
        write_domains(Path(name), options.rows, options.columns)
        timed = measure_time(Path(name), options.repeats)
        print({name: ratio["numpy, float32"]["median"] for name, ratio in timed["ratios"].items()}, flush=True)
        memory = measure_memory(Path(name))
    keep("adaptation_speed", {"rows": options.rows, "columns": options.columns} | timed | {"memory": memory})


if __name__ == "__main__":
    main()
